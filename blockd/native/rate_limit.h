/* How many answers one client prefix gets over UDP: a token bucket a prefix, /24 or /56, so that nobody can make this node flood a victim
 * whose addresses he forges. Above the limit every second query is answered with TC=1 and nothing else, which is no larger than the query
 * and takes a real client to TCP; the others get nothing.
 *
 * Fixed memory: sets of four, chosen by a hash under a key of this process. A prefix that finds its set full takes the place of the one that
 * has been silent longest. A new prefix begins with a full bucket, one second's worth.
 */
#ifndef BLOCKD_RATE_LIMIT_H
#define BLOCKD_RATE_LIMIT_H

#include "siphash.h"

enum {
    RATE_PREFIXES_MAX = 65536, /* of 16 octets each */
    RATE_WAYS = 4,
    RATE_MAX = 1 << 24, /* answers a second */
};

typedef struct {
    uint32_t tag;      /* of the prefix; 0: empty */
    uint32_t seen_ms;  /* lower half of the clock */
    uint32_t tokens;   /* answers that it may have at once; `limit` is full */
    uint32_t limited;  /* queries above the limit, for the slip */
} rate_bucket;

typedef struct {
    rate_bucket *buckets; /* RATE_PREFIXES_MAX of them; 0: no limit */
    sip_key key;
    uint32_t limit;       /* answers a second; 0: no limit */
} rate_limit;

enum { RATE_PASS, RATE_SLIP, RATE_DROP };

static inline rate_bucket *rate_find(const rate_limit *r, const uint8_t address[16], unsigned family, uint32_t now_ms)
{
    uint8_t prefix[16] = { (uint8_t)family };
    if (family == 4)
        memcpy(prefix + 1, address + 12, 3); /* /24 */
    else
        memcpy(prefix + 1, address, 7);      /* /56 */
    fingerprint f = sip_hash(r->key, prefix, sizeof prefix);
    rate_bucket *set = r->buckets + (f.hi % (RATE_PREFIXES_MAX / RATE_WAYS)) * RATE_WAYS, *oldest = set;
    uint32_t tag = (uint32_t)f.lo | 1;
    for (unsigned i = 0; i < RATE_WAYS; i++) {
        if (set[i].tag == tag)
            return &set[i];
        if (!set[i].tag || (oldest->tag && now_ms - set[i].seen_ms > now_ms - oldest->seen_ms))
            oldest = &set[i];
    }
    *oldest = (rate_bucket){ tag, now_ms, r->limit, 0 };
    return oldest;
}

/* One query of this client at `now_ms`. */
static inline int rate_take(const rate_limit *r, const uint8_t address[16], unsigned family, uint64_t now_ms)
{
    if (!r->limit)
        return RATE_PASS;
    rate_bucket *b = rate_find(r, address, family, (uint32_t)now_ms);
    uint64_t gained = (uint64_t)((uint32_t)now_ms - b->seen_ms) * r->limit / 1000;
    if (gained) { /* what is less than one answer stays on the clock */
        b->tokens = gained + b->tokens > r->limit ? r->limit : (uint32_t)(gained + b->tokens);
        b->seen_ms = gained >= r->limit ? (uint32_t)now_ms : b->seen_ms + (uint32_t)(gained * 1000 / r->limit);
    }
    if (b->tokens) {
        b->tokens--;
        b->limited = 0;
        return RATE_PASS;
    }
    return b->limited++ % 2 ? RATE_DROP : RATE_SLIP;
}

#endif
