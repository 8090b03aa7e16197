/* Records of a message that stands in memory whole: read names through pointers, step from record to record.
 *
 * A pointer must point below the start of the run of labels that it ends ("a prior occurrence", RFC 1035 §4.1.4), so each hop goes
 * strictly down and no chain is a loop; a name stops at 255 octets whatever it is made of (RFC 9267).
 */
#ifndef BLOCKD_RECORD_H
#define BLOCKD_RECORD_H

#include "question.h"

enum { RECORD_HOPS_MAX = NAME_LABELS_MAX }; /* pointers in one name */

typedef struct {
    size_t ttl_at, rdata, end; /* offsets into the message */
    uint32_t ttl_s;            /* a set top bit reads as zero (RFC 2181 §8) */
    uint16_t type, rclass;
} dns_record;

/* The name at `at`, folded. Returns the octets that it takes there, or -1. */
static inline int record_name(const uint8_t *message, size_t size, size_t at, dns_name *out)
{
    size_t p = at, run = at, taken = 0;
    unsigned length = 0, labels = 0, hops = 0;
    for (;;) {
        if (p >= size)
            return -1;
        unsigned n = message[p];
        if (n >= 0xc0) {
            if (size - p < 2 || hops++ == RECORD_HOPS_MAX)
                return -1;
            size_t to = (n & 0x3f) << 8 | message[p + 1];
            if (to >= run || to < HEADER_BYTES)
                return -1;
            if (!taken)
                taken = p + 2 - at;
            p = run = to;
            continue;
        }
        if (n > NAME_LABEL_MAX || length + 1 + n > NAME_WIRE_MAX || size - p < 1 + n)
            return -1;
        if (n == 0)
            break;
        if (labels == NAME_LABELS_MAX)
            return -1;
        out->at[labels++] = (uint8_t)length;
        out->wire[length] = (uint8_t)n;
        for (unsigned i = 1; i <= n; i++)
            out->wire[length + i] = name_fold(message[p + i]);
        length += 1 + n;
        p += 1 + n;
    }
    memset(out->wire + length, 0, 9);
    out->length = (uint8_t)(length + 1);
    out->labels = (uint8_t)labels;
    return (int)(taken ? taken : p + 1 - at);
}

/* Read the record at *at and step behind it; its owner is passed over. Returns 0 when it does not fit. */
static inline int record_next(const uint8_t *message, size_t size, size_t *at, dns_record *r)
{
    cursor c = { message + *at, message + size };
    uint16_t n;
    if (!cursor_skip_name(&c) || !cursor_u16(&c, &r->type) || !cursor_u16(&c, &r->rclass))
        return 0;
    r->ttl_at = (size_t)(c.p - message);
    if (!cursor_u32(&c, &r->ttl_s) || !cursor_u16(&c, &n))
        return 0;
    if (r->ttl_s >> 31)
        r->ttl_s = 0;
    r->rdata = (size_t)(c.p - message);
    if (!cursor_skip(&c, n))
        return 0;
    r->end = r->rdata + n;
    *at = r->end;
    return 1;
}

/* The name that an answer sends its reader to: CNAME, DNAME, SVCB, HTTPS. Returns 1 with the name, 0 when the record has none
 * (another type, or a target that is the root: "." says the owner itself, RFC 9460 §2.5), -1 when the record is malformed. */
static inline int record_target(const uint8_t *message, const dns_record *r, dns_name *name)
{
    size_t at = r->rdata;
    if (r->rclass == CLASS_IN && (r->type == TYPE_SVCB || r->type == TYPE_HTTPS)) {
        if (r->end - at < 3)
            return -1;
        at += 2;
        if (name_walk(message + at, message + r->end, name) < 0) /* never compressed: RFC 9460 §2.2 */
            return -1;
        return name->labels != 0;
    }
    if (r->type != TYPE_CNAME && r->type != TYPE_DNAME)
        return 0;
    int n = record_name(message, r->end, at, name);
    return n < 0 || (size_t)n != r->end - at ? -1 : name->labels != 0;
}

/* Give every TTL this value. The message is one that blockd wrote. */
static inline void record_set_ttl(uint8_t *message, size_t size, size_t at, unsigned records, uint32_t ttl_s)
{
    dns_record r;
    for (unsigned i = 0; i < records && record_next(message, size, &at, &r); i++)
        store_u32(message + r.ttl_at, ttl_s);
}

/* Take `elapsed_s` off every TTL. The message is one that blockd wrote. */
static inline void record_age(uint8_t *message, size_t size, size_t at, unsigned records, uint32_t elapsed_s)
{
    dns_record r;
    for (unsigned i = 0; i < records && record_next(message, size, &at, &r); i++)
        store_u32(message + r.ttl_at, r.ttl_s > elapsed_s ? r.ttl_s - elapsed_s : 0);
}

#endif
