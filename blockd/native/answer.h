/* Write an answer behind the question that it answers, in place.
 *
 * The header: ID, opcode, RD and CD as they came, QR=1, RA=1; AA, Z and AD are 0. AD stays 0 on everything, forwarded answers too:
 * nothing proves the path to the upstream (RFC 6840 §5.7, §5.8). The question's octets, letter case included, are the client's own.
 *
 * A blocked answer is the same for every type, class, DO and CD: nothing of the upstream's is left to see (RFC 9460 §7.3 hints,
 * DS, ANY). Negative ones carry an SOA that names nobody, so that stubs can cache them (RFC 2308 §3); its owner is the name asked.
 *
 *   action      A, AAAA with an address of that family   any other type               client with structured errors
 *   stop_page   the addresses                            NODATA (no address: NXDOMAIN)  NXDOMAIN
 *   nxdomain    NXDOMAIN
 *   nodata      NODATA
 *   refused     REFUSED, no SOA
 *
 * No allocation and no libc beyond memcpy: compiles for user space and BPF.
 */
#ifndef BLOCKD_ANSWER_H
#define BLOCKD_ANSWER_H

#include "question.h"

enum {
    ANSWER_ADDRESSES_MAX = 16, /* stop-page addresses of one family */
    ANSWER_SMALL_MAX = 1024,   /* octets that hold any answer of this file; those without addresses fit 512 */
    ANSWER_MAX = 65535,        /* octets of a message */
    EDE_NONE = -1,
    EDE_STALE = 3, EDE_STALE_NXDOMAIN = 19, EDE_NOT_READY = 14, EDE_BLOCKED = 15, EDE_PROHIBITED = 18, EDE_CACHED_ERROR = 13, EDE_UPSTREAM_BLOCKED = 35, /* RFC 8914 §4 */
};

enum { ACTION_NONE, ACTION_STOP_PAGE, ACTION_NXDOMAIN, ACTION_NODATA, ACTION_REFUSED, ACTION_DROP, ACTION_END };

typedef struct {
    uint8_t addresses4[ANSWER_ADDRESSES_MAX][4], addresses6[ANSWER_ADDRESSES_MAX][16];
    uint8_t n4, n6;
    uint32_t ttl_s;
    uint16_t udp_max; /* octets */
} answer_settings;

/* mname localhost., rname nobody.invalid.; the five numbers follow. */
static const uint8_t ANSWER_SOA_NAMES[] = "\011localhost\0\006nobody\007invalid";

enum { ANSWER_SOA_SERIAL = 1, ANSWER_SOA_REFRESH_S = 3600, ANSWER_SOA_RETRY_S = 1200, ANSWER_SOA_EXPIRE_S = 604800 };

/* The room of this client's answer, octets. `stream`: anything but UDP. */
static inline uint32_t answer_room(const dns_question *q, unsigned udp_max, int stream)
{
    if (stream)
        return ANSWER_MAX;
    return q->udp_size < udp_max ? q->udp_size : udp_max;
}

/* Begin: `out` holds the query's first q->end octets already. `room` is at least UDP_SIZE_MIN. */
static inline writer answer_begin(uint8_t *out, size_t room, const dns_question *q)
{
    return (writer){ out, out + q->end, out + room, 0 };
}

static inline void answer_header(uint8_t *out, const dns_question *q, unsigned rcode, unsigned truncated)
{
    uint16_t flags = (uint16_t)(FLAG_QR | FLAG_RA | (q->flags & (FLAG_OPCODE | FLAG_RD | FLAG_CD)) | (truncated ? FLAG_TC : 0) | (rcode & 15));
    store_u16(out, q->id);
    store_u16(out + 2, flags);
    store_u16(out + 4, q->end > HEADER_BYTES);
    memset(out + 6, 0, 6);
}

static inline void answer_count(uint8_t *out, unsigned answers, unsigned authority, unsigned additional)
{
    store_u16(out + 6, (uint16_t)answers);
    store_u16(out + 8, (uint16_t)authority);
    store_u16(out + 10, (uint16_t)additional);
}

/* Octets of our OPT, as answer_opt writes it. */
static inline size_t answer_opt_bytes(const dns_question *q, int ede) { return !q->opt ? 0 : ede == EDE_NONE ? 11 : 17; }

/* Our own OPT, when the client sent one (RFC 6891 §7). The EDE's text is empty. */
static inline unsigned answer_opt(writer *w, const dns_question *q, unsigned rcode, int ede)
{
    if (!q->opt)
        return 0;
    put_u8(w, 0);
    put_u16(w, TYPE_OPT);
    put_u16(w, UDP_SIZE_OURS);
    put_u32(w, (uint32_t)(rcode >> 4) << 24 | (q->dnssec_ok ? 0x8000 : 0));
    put_u16(w, ede == EDE_NONE ? 0 : 6);
    if (ede != EDE_NONE) {
        put_u16(w, OPTION_EDE);
        put_u16(w, 2);
        put_u16(w, (uint16_t)ede);
    }
    return 1;
}

/* Without an OPT an extended rcode can't be said: SERVFAIL stands for it. */
static inline unsigned answer_rcode(const dns_question *q, unsigned rcode) { return rcode > 15 && !q->opt ? RCODE_SERVFAIL : rcode; }

/* Header, question, OPT; nothing else. Always fits. Returns its octets. */
static inline size_t answer_bare(uint8_t *out, size_t room, const dns_question *q, unsigned rcode, int ede, unsigned truncated)
{
    writer w = answer_begin(out, room, q);
    rcode = answer_rcode(q, rcode);
    answer_header(out, q, rcode, truncated);
    answer_count(out, 0, 0, answer_opt(&w, q, rcode, ede));
    return writer_at(&w);
}

/* The class of a record in the answer: that of the question, IN when any class was asked for. */
static inline uint16_t answer_class(const dns_question *q) { return q->qclass == CLASS_ANY ? CLASS_IN : q->qclass; }

static inline void answer_owner(writer *w, const dns_question *q, uint16_t type, uint32_t ttl_s, uint16_t rdata_bytes)
{
    put_u16(w, 0xc000 | HEADER_BYTES);
    put_u16(w, type);
    put_u16(w, answer_class(q));
    put_u32(w, ttl_s);
    put_u16(w, rdata_bytes);
}

static inline void answer_soa(writer *w, const dns_question *q, uint32_t ttl_s)
{
    answer_owner(w, q, TYPE_SOA, ttl_s, sizeof ANSWER_SOA_NAMES + 20);
    put_bytes(w, ANSWER_SOA_NAMES, sizeof ANSWER_SOA_NAMES);
    put_u32(w, ANSWER_SOA_SERIAL);
    put_u32(w, ANSWER_SOA_REFRESH_S);
    put_u32(w, ANSWER_SOA_RETRY_S);
    put_u32(w, ANSWER_SOA_EXPIRE_S);
    put_u32(w, ttl_s);
}

/* NXDOMAIN, or NODATA for RCODE_NOERROR. */
static inline size_t answer_negative(uint8_t *out, size_t room, const dns_question *q, unsigned rcode, int ede, uint32_t ttl_s)
{
    writer w = answer_begin(out, room, q);
    answer_header(out, q, rcode, 0);
    answer_soa(&w, q, ttl_s);
    answer_count(out, 0, 1, answer_opt(&w, q, rcode, ede));
    return w.full ? answer_bare(out, room, q, rcode, ede, 1) : writer_at(&w);
}

static inline size_t answer_addresses(uint8_t *out, size_t room, const dns_question *q, const answer_settings *s, int ede)
{
    unsigned six = q->type == TYPE_AAAA, n = six ? s->n6 : s->n4, bytes = six ? 16 : 4;
    writer w = answer_begin(out, room, q);
    answer_header(out, q, RCODE_NOERROR, 0);
    for (unsigned i = 0; i < n && i < ANSWER_ADDRESSES_MAX; i++) {
        answer_owner(&w, q, q->type, s->ttl_s, (uint16_t)bytes);
        if (six) /* of constant size each: BPF has no memcpy to call */
            put_bytes(&w, s->addresses6[i], 16);
        else
            put_bytes(&w, s->addresses4[i], 4);
    }
    answer_count(out, n, 0, answer_opt(&w, q, RCODE_NOERROR, ede));
    return w.full ? answer_bare(out, room, q, RCODE_NOERROR, ede, 1) : writer_at(&w);
}

/* Addresses are of class IN: a question of another class has none. */
static inline int answer_has_address(const dns_question *q, const answer_settings *s)
{
    if (answer_class(q) != CLASS_IN)
        return 0;
    return (q->type == TYPE_A && s->n4) || (q->type == TYPE_AAAA && s->n6);
}

/* A blocked name's answer; ACTION_DROP and ACTION_NONE have none and must not come here. `*rcode` is what was written. */
static inline size_t answer_blocked(uint8_t *out, size_t room, const dns_question *q, const answer_settings *s, unsigned action, int ede, unsigned *rcode)
{
    *rcode = RCODE_NXDOMAIN;
    if (action == ACTION_REFUSED) {
        *rcode = RCODE_REFUSED;
        return answer_bare(out, room, q, RCODE_REFUSED, ede, 0);
    }
    if (action == ACTION_NODATA || (action == ACTION_STOP_PAGE && !q->structured_error && (s->n4 || s->n6)))
        *rcode = RCODE_NOERROR;
    if (action == ACTION_STOP_PAGE && *rcode == RCODE_NOERROR && answer_has_address(q, s))
        return answer_addresses(out, room, q, s, ede);
    return answer_negative(out, room, q, *rcode, ede, s->ttl_s);
}

#endif
