/* The query, as far as XDP answers it itself: less than question.h takes, never more. Whatever is unusual goes up to user space.
 *
 * The message stands in memory of ours, copied, so that the kernel's verifier sees constant bounds: offsets are masked, and loops
 * are bpf_loop or short. The walk of the name is in the order of name.h; folding is done eight octets at a time where they are hashed.
 */
#ifndef BLOCKD_XDP_QUESTION_H
#define BLOCKD_XDP_QUESTION_H

#include "answer.h"
#include "xdp_bpf.h"
#include "xdp_policy.h"

enum {
    XDP_QUERY_MAX = 512,   /* octets; the longest name with an OPT and some options */
    XDP_OPTIONS_MAX = 8,
    XDP_TAIL_MAX = 160,    /* octets of an answer behind its question: 4 AAAA records and an OPT, or SOA and OPT */
    XDP_MASK = 511,
    XDP_AT_MASK = 127,
};

/* A name on its way through a table (xdp_lookup.h). */
typedef struct {
    sip_state s;
    uint64_t length;
    uint64_t n_home, home;
    fingerprint f; /* what is looked for now, from bucket `home` on */
    uint64_t wants[2];   /* bits by depth: the table has subtrees there */
    uint32_t wants_full; /* it has something that could speak about the whole name */
    uint32_t n_buckets, probe_max, buckets_at, n_sets, labels, payload;
    uint32_t hits[XDP_HITS_MAX];
    uint32_t n_hits, url_host, unsure;
} xdp_search;

/* One for each CPU: programs on one CPU do not interrupt each other. */
typedef struct {
    uint8_t message[XDP_QUERY_MAX + 16]; /* room for eight octets from any place in it */
    uint8_t tail[XDP_TAIL_MAX + 16];
    uint8_t headers[80]; /* of the frame, on their way to another place */
    uint8_t at[128];  /* where each label's length octet is, from the left, counted from the name's start */
    xdp_search a;
    dns_question q;   /* its name stays empty: the message has it */
} xdp_work;

typedef struct {
    xdp_work *work;
    uint32_t at, labels;
    int32_t state; /* 0: goes on, 1: at the root, -1: not a name */
} xdp_name_walk;

static long xdp_next_label(uint32_t number, xdp_name_walk *w)
{
    uint32_t at = w->at;
    XDP_KEEP(at);
    at &= 255;
    uint32_t n = w->work->message[HEADER_BYTES + at];
    (void)number;
    if (n == 0) {
        w->state = 1;
        return 1;
    }
    if (n > NAME_LABEL_MAX || at + 1 + n >= NAME_WIRE_MAX) {
        w->state = -1;
        return 1;
    }
    w->work->at[number & XDP_AT_MASK] = (uint8_t)at;
    w->labels = number + 1;
    w->at = at + 1 + n;
    return 0;
}

/* Read a byte pair of the message at `at`, which may be anything below 512. */
XDP_INLINE uint16_t xdp_u16(const xdp_work *work, uint32_t at)
{
    XDP_KEEP(at);
    at &= XDP_MASK;
    return load_u16(work->message + at);
}

/* The options of an OPT from `at` to `end`. Returns 0 when they are not what they should be, or too many. */
XDP_INLINE int xdp_options(const xdp_work *work, uint32_t at, uint32_t end, dns_question *q)
{
    for (int i = 0; i < XDP_OPTIONS_MAX; i++) {
        if (at == end)
            return 1;
        if (at + 4 > end)
            return 0;
        if (xdp_u16(work, at) == OPTION_STRUCTURED_ERROR)
            q->structured_error = 1;
        at += 4 + xdp_u16(work, at + 2);
        if (at > end)
            return 0;
    }
    return at == end;
}

/* The OPT that begins at `at` and must end the message. */
XDP_INLINE int xdp_opt(const xdp_work *work, uint32_t at, uint32_t end, dns_question *q)
{
    if (at + 11 > end || xdp_u16(work, at) != TYPE_OPT >> 8)
        return 0; /* the root's zero, then the type's upper octet */
    if (xdp_u16(work, at + 1) != TYPE_OPT)
        return 0;
    uint16_t size = xdp_u16(work, at + 3), flags = xdp_u16(work, at + 7), n = xdp_u16(work, at + 9);
    if (xdp_u16(work, at + 5) & 0xff) /* a version that is not 0 */
        return 0;
    q->opt = 1;
    q->udp_size = size < UDP_SIZE_MIN ? UDP_SIZE_MIN : size;
    q->dnssec_ok = flags >> 15;
    at += 11;
    return at + n == end && xdp_options(work, at, end, q);
}

/* Read the message in `work`, `size` octets of it. Returns the labels of the name, 0 for what user space must see. */
XDP_INLINE uint32_t xdp_question(xdp_work *work, uint32_t size, dns_question *q)
{
    const uint8_t *m = work->message;
    q->id = load_u16(m);
    q->flags = load_u16(m + 2);
    q->udp_size = UDP_SIZE_MIN;
    q->opt = q->dnssec_ok = q->structured_error = 0;
    uint16_t additional = load_u16(m + 10);
    if ((q->flags & (FLAG_QR | FLAG_OPCODE)) || load_u16(m + 4) != 1 || load_u32(m + 6) != 0 || additional > 1)
        return 0;
    xdp_name_walk w = { .work = work };
    bpf_repeat(NAME_LABELS_MAX + 1, xdp_next_label, &w, 0);
    uint32_t labels = w.labels, end = w.at;
    XDP_KEEP(labels);
    XDP_KEEP(end);
    if (w.state != 1 || labels == 0 || labels > NAME_LABELS_MAX || end > NAME_WIRE_MAX - 1)
        return 0;
    end += HEADER_BYTES + 1;
    q->type = xdp_u16(work, end);
    q->qclass = xdp_u16(work, end + 2);
    end += 4;
    if (end > size || q->qclass != CLASS_IN)
        return 0;
    if (q->type == TYPE_OPT || q->type == TYPE_TKEY || q->type == TYPE_TSIG || q->type == TYPE_AXFR || q->type == TYPE_IXFR)
        return 0;
    q->end = (uint16_t)end;
    if (additional ? !xdp_opt(work, end, size, q) : end != size)
        return 0;
    return labels;
}

#endif
