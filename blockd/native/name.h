/* Domain names on the wire: walk, fold, and the fingerprint of every suffix in one pass from the right.
 *
 * The fingerprint of a name is SipHash-1-3-128 over its labels from the right, each label as it stands on
 * the wire (length byte, folded octets) padded with zeros to a multiple of eight. The length byte makes the
 * encoding injective, the padding makes each suffix end on a block, so a suffix costs one finalisation.
 * The root is the empty message. A URL key is the byte 0xff followed by its octets: no label starts so.
 */
#ifndef BLOCKD_NAME_H
#define BLOCKD_NAME_H

#include "siphash.h"

enum {
    NAME_WIRE_MAX = 255,   /* octets, the root's zero included (RFC 1035 §2.3.4) */
    NAME_LABEL_MAX = 63,   /* octets (RFC 1035 §2.3.4) */
    NAME_LABELS_MAX = 127, /* labels, the root not counted: follows from the two above */
};

typedef struct {
    uint8_t wire[NAME_WIRE_MAX + 9]; /* folded; zeros behind the name, so that eight octets can be loaded anywhere */
    uint8_t at[NAME_LABELS_MAX + 1]; /* where each label's length byte is, from the left */
    uint8_t length;                  /* octets of wire, the root's zero included */
    uint8_t labels;                  /* without the root */
} dns_name;

static inline uint8_t name_fold(uint8_t c) { return (uint8_t)(c - 'A') < 26 ? c | 0x20 : c; }

/* Walk an uncompressed name that starts at `p` and must end before `end`.
 * Returns the octets consumed, or -1: a pointer, a label over 63, a name over 255, or the end of input.
 * (RFC 1035 §3.1; a question's name is never compressed, RFC 9267 says why that matters.) */
static inline int name_walk(const uint8_t *p, const uint8_t *end, dns_name *out)
{
    unsigned at = 0, labels = 0;
    for (;;) {
        if (p + at >= end)
            return -1;
        unsigned n = p[at];
        if (n > NAME_LABEL_MAX || at + 1 + n > NAME_WIRE_MAX || (size_t)(end - p) < at + 1 + n)
            return -1;
        if (n == 0)
            break;
        if (labels == NAME_LABELS_MAX)
            return -1;
        out->at[labels++] = (uint8_t)at;
        out->wire[at] = (uint8_t)n;
        for (unsigned i = 1; i <= n; i++)
            out->wire[at + i] = name_fold(p[at + i]);
        at += 1 + n;
    }
    memset(out->wire + at, 0, 9);
    out->length = (uint8_t)(at + 1);
    out->labels = (uint8_t)labels;
    return (int)at + 1;
}

/* Absorb the label at `label` (its length byte first, at least eight readable octets behind any part of it). */
static inline unsigned name_absorb(sip_state *s, const uint8_t *label)
{
    unsigned n = 1u + label[0], i = 0;
    for (; i + 8 <= n; i += 8)
        sip_absorb(s, sip_load64(label + i));
    if (i < n) {
        uint64_t m = sip_load64(label + i);
        sip_absorb(s, m & (~0ULL >> (8 * (8 - (n - i)))));
        i += 8;
    }
    return i;
}

/* out[d] is the fingerprint of the last d+1 labels; out must have room for name->labels of them. */
static inline void name_suffixes(sip_key key, const dns_name *name, fingerprint *out)
{
    sip_state s = sip_begin(key);
    uint64_t length = 0;
    for (unsigned d = 0; d < name->labels; d++) {
        length += name_absorb(&s, name->wire + name->at[name->labels - 1 - d]);
        out[d] = sip_end(s, 0, length);
    }
}

static inline fingerprint name_fingerprint(sip_key key, const dns_name *name)
{
    sip_state s = sip_begin(key);
    uint64_t length = 0;
    for (unsigned d = name->labels; d-- > 0;)
        length += name_absorb(&s, name->wire + name->at[d]);
    return sip_end(s, 0, length);
}

static inline fingerprint url_fingerprint(sip_key key, const uint8_t *p, size_t n)
{
    sip_state s = sip_begin(key);
    uint64_t block = 0xff;
    unsigned filled = 1;
    for (size_t i = 0; i < n; i++) {
        block |= (uint64_t)p[i] << (8 * filled);
        if (++filled == 8) {
            sip_absorb(&s, block);
            block = 0;
            filled = 0;
        }
    }
    return sip_end(s, block, n + 1);
}

#endif
