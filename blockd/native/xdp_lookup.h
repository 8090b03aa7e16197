/* Look a name up in a policy: the fingerprints and the probe of name.h and table.h, in steps that the verifier can follow. */
#ifndef BLOCKD_XDP_LOOKUP_H
#define BLOCKD_XDP_LOOKUP_H

#include "xdp_question.h"

/* Letters A to Z of eight octets to small ones: name_fold for each. */
XDP_INLINE uint64_t xdp_fold(uint64_t x)
{
    const uint64_t each = 0x0101010101010101ULL, seven = 0x7f * each;
    uint64_t low = x & seven, from_a = low + (0x80 - 'A') * each, past_z = low + (0x80 - 'Z' - 1) * each;
    return x | ((from_a & ~past_z & ~x & 0x80 * each) >> 2);
}

XDP_INLINE void *xdp_unit(void *policy, uint32_t number) { return bpf_map_lookup(policy, &number); }

/* What a callback is given: maps, since a pointer to one can stand on the stack alone; the search itself is in work->a. */
typedef struct {
    void *policy;
    xdp_work *work;
} xdp_maps;

/* Look into one bucket. Returns 1 when the probe ends there. */
XDP_INLINE int xdp_bucket(const xdp_maps *m, uint64_t number)
{
    xdp_search *a = &m->work->a;
    if (number >= a->n_buckets)
        return 1;
    const table_bucket *k = xdp_unit(m->policy, a->buckets_at + (uint32_t)number);
    if (!k) {
        a->unsure = 1;
        return 1;
    }
    for (unsigned j = 0; j < TABLE_SLOTS; j++)
        if (k->hi[j] == a->f.lo && k->lo[j] == (uint32_t)a->f.hi && k->payload[j]) {
            a->payload = k->payload[j];
            return 1;
        }
    return !k->payload[TABLE_SLOTS - 1];
}

static long xdp_next_bucket(uint32_t number, xdp_maps *m) { return xdp_bucket(m, m->work->a.home + 1 + number) ? 1 : 0; }

/* The payload of an entry, or 0. Most probes end in their first bucket. */
XDP_INLINE uint32_t xdp_probe(xdp_maps *m, fingerprint f)
{
    xdp_search *a = &m->work->a;
    a->f = f;
    a->home = (f.hi >> 32) * a->n_home >> 32;
    a->payload = 0;
    if (!xdp_bucket(m, a->home) && a->probe_max > 1)
        bpf_repeat(a->probe_max - 1, xdp_next_bucket, m, 0);
    return a->payload;
}

XDP_INLINE void xdp_take(xdp_search *a, uint32_t payload, uint32_t full)
{
    uint32_t set = (payload & TABLE_SET_MASK) - 1;
    if (!payload || !(full || (payload & TABLE_SUBTREE)) || set >= a->n_sets)
        return;
    if (full && (payload & TABLE_URL_HOST))
        a->url_host = 1;
    if (!(payload & (TABLE_SUBTREE | TABLE_EXACT)))
        return;
    uint32_t n = a->n_hits;
    XDP_KEEP(n);
    if (n >= XDP_HITS_MAX) {
        a->unsure = 1;
        return;
    }
    a->hits[n] = set * 2 + full;
    a->n_hits = n + 1;
}

/* One label from the right; `number` 0 is the last one. */
static long xdp_suffix(uint32_t number, xdp_maps *m)
{
    xdp_search *a = &m->work->a;
    uint32_t left = a->labels - 1 - number;
    if (left > XDP_AT_MASK)
        return 1;
    const uint8_t *p = m->work->message + HEADER_BYTES + m->work->at[left & XDP_AT_MASK];
    uint32_t n = 1 + (p[0] & NAME_LABEL_MAX);
    sip_state s = a->s;
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t block = xdp_fold(sip_load64(p + 8 * i));
        if (n <= 8) {
            sip_absorb(&s, block & (~0ULL >> (64 - 8 * n)));
            a->length += 8 * (i + 1);
            break;
        }
        sip_absorb(&s, block);
        n -= 8;
    }
    a->s = s;
    uint32_t full = left == 0;
    if (full ? a->wants_full : (uint32_t)(a->wants[number >> 6 & 1] >> (number & 63)) & 1)
        xdp_take(a, xdp_probe(m, sip_end(s, 0, a->length)), full);
    return a->unsure ? 1 : 0;
}

#endif
