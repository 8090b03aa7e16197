/* A query: its header, its one question, its OPT record. Every field that blockd uses is checked here, once.
 *
 *   silence   under 12 octets, or QR=1: answering an answer makes loops
 *   NOTIMP    any opcode but QUERY; the opcode is echoed and nothing behind the header is read (other opcodes have other forms)
 *   FORMERR   not one question (RFC 9619 §4), records in answer or authority, more than two additional records, a compressed or
 *             overlong name, two OPT, an OPT that is not at the root, an option that leaves its OPT, octets behind the last
 *             record, more than QUESTION_MESSAGE_MAX octets, OPT, TKEY or TSIG as the type that is asked for
 *   BADVERS   an EDNS version above 0 (RFC 6891 §6.1.3)
 *
 * Decisions where the standards leave room:
 *   - A second additional record that is not an OPT (TSIG, SIG(0)) is passed over and never forwarded: blockd shares no key with
 *     anyone, its answer is unsigned, and a client that insists on a signature drops it.
 *   - QDCOUNT=0 is FORMERR: its one use, the cookie probe (RFC 7873 §5.4), is not offered.
 *   - The option STRUCTURED-DNS-ERROR (26) counts as sent whatever its data: a server ignores the data.
 *   - AD, TC, AA, RA and Z of a query are ignored; of the EDNS flags only DO is read. Other options are ignored (RFC 6891 §6.1.2).
 */
#ifndef BLOCKD_QUESTION_H
#define BLOCKD_QUESTION_H

#include "cursor.h"
#include "name.h"

enum {
    HEADER_BYTES = 12,
    QUESTION_MESSAGE_MAX = 4096,   /* octets of a query; the longest useful one is under 600 */
    QUESTION_ADDITIONAL_MAX = 2,   /* records */
    QUESTION_BYTES_MAX = HEADER_BYTES + NAME_WIRE_MAX + 4,
    UDP_SIZE_MIN = 512,            /* octets: RFC 1035 §4.2.1, RFC 6891 §6.2.3 */
    UDP_SIZE_OURS = 1232,          /* octets: what blockd advertises */
};

enum { FLAG_QR = 0x8000, FLAG_OPCODE = 0x7800, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080, FLAG_AD = 0x0020, FLAG_CD = 0x0010 };

enum {
    RCODE_NOERROR = 0, RCODE_FORMERR = 1, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, RCODE_NOTIMP = 4, RCODE_REFUSED = 5,
    RCODE_NOTAUTH = 9, RCODE_BADVERS = 16, RCODE_BADCOOKIE = 23, RCODE_MAX = 4095,
};

enum {
    TYPE_A = 1, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_AAAA = 28, TYPE_DNAME = 39, TYPE_OPT = 41, TYPE_SVCB = 64, TYPE_HTTPS = 65,
    TYPE_TKEY = 249, TYPE_TSIG = 250, TYPE_IXFR = 251, TYPE_AXFR = 252, TYPE_ANY = 255,
};

enum { CLASS_IN = 1, CLASS_CH = 3, CLASS_ANY = 255 };

enum { OPTION_EDE = 15, OPTION_STRUCTURED_ERROR = 26 };

enum { QUESTION_SILENCE = -1 };

typedef struct {
    dns_name name;     /* folded; whole when end > HEADER_BYTES */
    uint16_t id, flags; /* as they came */
    uint16_t type, qclass;
    uint16_t end;      /* octets of header and question; HEADER_BYTES when there is no question to give back */
    uint16_t udp_size; /* what the client takes; UDP_SIZE_MIN without OPT */
    uint8_t opt;       /* it sent an OPT */
    uint8_t dnssec_ok;
    uint8_t structured_error; /* it reads structured errors: never send it a forged address */
} dns_question;

/* Pass over a name that may be compressed. A pointer ends it and is not followed (RFC 1035 §4.1.4). */
static inline int cursor_skip_name(cursor *c)
{
    for (unsigned i = 0; i <= NAME_LABELS_MAX; i++) {
        uint8_t n;
        if (!cursor_u8(c, &n))
            return 0;
        if (n >= 0xc0)
            return cursor_skip(c, 1);
        if (n == 0)
            return 1;
        if (n > NAME_LABEL_MAX || !cursor_skip(c, n))
            return 0;
    }
    return 0;
}

static inline int question_options(cursor c, dns_question *q)
{
    while (cursor_left(&c)) {
        uint16_t code, n;
        if (!cursor_u16(&c, &code) || !cursor_u16(&c, &n) || !cursor_skip(&c, n))
            return 0;
        if (code == OPTION_STRUCTURED_ERROR)
            q->structured_error = 1;
    }
    return 1;
}

/* One additional record; `version` is that of an OPT. */
static inline int question_additional(cursor *c, dns_question *q, uint8_t *version)
{
    const uint8_t *owner = c->p;
    uint16_t type, rclass, n;
    uint32_t ttl;
    if (!cursor_skip_name(c))
        return 0;
    size_t owner_bytes = (size_t)(c->p - owner);
    if (!cursor_u16(c, &type) || !cursor_u16(c, &rclass) || !cursor_u32(c, &ttl) || !cursor_u16(c, &n))
        return 0;
    cursor rdata = { c->p, c->p + n };
    if (!cursor_skip(c, n))
        return 0;
    if (type != TYPE_OPT)
        return 1;
    if (q->opt)
        return 0;
    q->opt = 1;
    q->udp_size = rclass < UDP_SIZE_MIN ? UDP_SIZE_MIN : rclass;
    q->dnssec_ok = (ttl >> 15) & 1;
    *version = (uint8_t)(ttl >> 16);
    return owner_bytes == 1 && question_options(rdata, q);
}

static inline int question_body(cursor *c, const uint8_t *message, dns_question *q, unsigned additional)
{
    uint8_t version = 0;
    int n = name_walk(c->p, c->end, &q->name);
    if (n < 0 || !cursor_skip(c, (size_t)n) || !cursor_u16(c, &q->type) || !cursor_u16(c, &q->qclass))
        return RCODE_FORMERR;
    q->end = (uint16_t)(c->p - message);
    for (unsigned i = 0; i < additional; i++)
        if (!question_additional(c, q, &version))
            return RCODE_FORMERR;
    if (cursor_left(c))
        return RCODE_FORMERR;
    if (version)
        return RCODE_BADVERS;
    return q->type == TYPE_OPT || q->type == TYPE_TKEY || q->type == TYPE_TSIG ? RCODE_FORMERR : RCODE_NOERROR;
}

/* Returns RCODE_NOERROR, the rcode to answer with, or QUESTION_SILENCE. `q` is filled as far as it is known. */
static inline int question_walk(const uint8_t *message, size_t size, dns_question *q)
{
    uint16_t questions, answers, authority, additional;
    cursor c = { message, message + size };
    q->end = HEADER_BYTES;
    q->udp_size = UDP_SIZE_MIN;
    q->type = q->qclass = 0;
    q->opt = q->dnssec_ok = q->structured_error = 0;
    if (!cursor_u16(&c, &q->id) || !cursor_u16(&c, &q->flags) || !cursor_u16(&c, &questions) || !cursor_u16(&c, &answers)
        || !cursor_u16(&c, &authority) || !cursor_u16(&c, &additional) || (q->flags & FLAG_QR))
        return QUESTION_SILENCE;
    if (q->flags & FLAG_OPCODE)
        return RCODE_NOTIMP;
    if (size > QUESTION_MESSAGE_MAX || questions != 1 || answers || authority || additional > QUESTION_ADDITIONAL_MAX)
        return RCODE_FORMERR;
    return question_body(&c, message, q, additional);
}

#endif
