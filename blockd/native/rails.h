/* Names that no entry may block, as a set of fingerprints: public suffixes, protected names and their parents.
 *
 * A record is {fingerprint, uint64 flags} in 24 octets. A bitmap of 32 KiB, which stays in the first cache, answers for almost
 * every name of a list that it is not in the set, so that the rails cost a row a few nanoseconds.
 */
#ifndef BLOCKD_RAILS_H
#define BLOCKD_RAILS_H

#include <stdlib.h>

#include "name.h"

enum {
    RAIL_PROTECTED = 1, /* the name itself */
    RAIL_WILDCARD = 2,  /* every name one label under it is a public suffix ("*.ck") */
    RAIL_EXCEPTION = 4, /* but not this one ("!www.ck") */
    RAIL_FLAGS = 7,
    RAIL_BYTES = 24,
    RAILS_MAX = 1 << 22, /* records */
    RAILS_MAP_BITS = 18,
};

typedef struct { uint64_t hi, lo, flags; } rail;

typedef struct {
    rail *slots; /* open addressing, at most half full; flags 0: free */
    uint64_t mask;
    uint64_t wildcards;
    uint8_t *map;
} rails;

static inline unsigned rails_find(const rails *r, fingerprint f)
{
    uint64_t bit = f.hi >> (64 - RAILS_MAP_BITS);
    if (!(r->map[bit >> 3] >> (bit & 7) & 1))
        return 0;
    for (uint64_t i = f.lo & r->mask; r->slots[i].flags; i = (i + 1) & r->mask)
        if (r->slots[i].hi == f.hi && r->slots[i].lo == f.lo)
            return (unsigned)r->slots[i].flags;
    return 0;
}

static inline void rails_add(rails *r, rail record)
{
    uint64_t i = record.lo & r->mask, bit = record.hi >> (64 - RAILS_MAP_BITS);
    r->map[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    while (r->slots[i].flags && (r->slots[i].hi != record.hi || r->slots[i].lo != record.lo))
        i = (i + 1) & r->mask;
    record.flags |= r->slots[i].flags;
    r->slots[i] = record;
}

static inline void rails_free(rails *r)
{
    free(r->slots);
    free(r->map);
    memset(r, 0, sizeof *r);
}

/* Returns 0, or a phrase that says what is wrong with the records. */
static inline const char *rails_load(rails *r, const uint8_t *data, size_t size)
{
    size_t n = size / RAIL_BYTES, slots = 16;
    memset(r, 0, sizeof *r);
    if (size % RAIL_BYTES)
        return "rails are records of 24 octets";
    if (n > RAILS_MAX)
        return "too many rails";
    while (slots < 2 * n + 2)
        slots *= 2;
    r->slots = calloc(slots, sizeof *r->slots);
    r->map = calloc(1, 1u << (RAILS_MAP_BITS - 3));
    r->mask = slots - 1;
    if (!r->slots || !r->map) {
        rails_free(r);
        return "out of memory";
    }
    for (size_t i = 0; i < n; i++) {
        rail record;
        memcpy(&record, data + i * RAIL_BYTES, RAIL_BYTES);
        if (!record.flags || record.flags & ~(uint64_t)RAIL_FLAGS) {
            rails_free(r);
            return "a rail has unknown flags";
        }
        r->wildcards += record.flags >> 1 & 1;
        rails_add(r, record);
    }
    return 0;
}

/* May no blocking entry stand on this name? The root and top-level names are always protected. */
static inline int rails_protect(const rails *r, unsigned labels, fingerprint self, fingerprint parent)
{
    if (labels < 2)
        return 1;
    unsigned flags = rails_find(r, self);
    if (flags & RAIL_PROTECTED)
        return 1;
    return r->wildcards && !(flags & RAIL_EXCEPTION) && (rails_find(r, parent) & RAIL_WILDCARD);
}

#endif
