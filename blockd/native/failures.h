/* Questions that no upstream could answer: not asked again for 5 s, then 10 s, doubling up to 5 min while they keep failing
 * (RFC 9520 §3.2). Fixed memory; the set of four that a key falls into gives up the failure that ends first.
 */
#ifndef BLOCKD_FAILURES_H
#define BLOCKD_FAILURES_H

#include "siphash.h"

enum {
    FAILURES_MAX = 16384, /* entries of 32 octets, in all parts of the store together */
    FAILURES_WAYS = 4,
    FAILURE_FIRST_MS = 5000,
    FAILURE_LONGEST_MS = 300000, /* also how long after its end a failure counts as the one before */
};

typedef struct {
    uint64_t hi, lo, until_ms;
    uint32_t interval_ms; /* 0: empty */
} failure;

typedef struct {
    failure *entries; /* `sets` times FAILURES_WAYS */
    uint32_t sets;
    uint64_t evictions;
} failures;

static inline failure *failures_set(const failures *f, fingerprint key) { return f->entries + (key.lo % f->sets) * FAILURES_WAYS; }

static inline failure *failures_find(const failures *f, fingerprint key)
{
    failure *set = failures_set(f, key);
    for (unsigned i = 0; i < FAILURES_WAYS; i++)
        if (set[i].interval_ms && set[i].hi == key.hi && set[i].lo == key.lo)
            return &set[i];
    return 0;
}

/* Is this question's failure still to be told without asking? */
static inline int failures_hold(const failures *f, fingerprint key, uint64_t now_ms)
{
    const failure *e = failures_find(f, key);
    return e && now_ms < e->until_ms;
}

/* It failed (again). Returns how long it holds, milliseconds. A failure that is told of while one holds changes nothing. */
static inline uint32_t failures_add(failures *f, fingerprint key, uint64_t now_ms)
{
    failure *e = failures_find(f, key);
    if (e && now_ms < e->until_ms)
        return (uint32_t)(e->until_ms - now_ms);
    uint32_t interval = FAILURE_FIRST_MS;
    if (e && now_ms - e->until_ms < FAILURE_LONGEST_MS)
        interval = e->interval_ms * 2 < FAILURE_LONGEST_MS ? e->interval_ms * 2 : FAILURE_LONGEST_MS;
    if (!e) {
        e = failures_set(f, key);
        for (unsigned i = 0; i < FAILURES_WAYS; i++) {
            failure *other = failures_set(f, key) + i;
            if (!other->interval_ms || (e->interval_ms && other->until_ms < e->until_ms))
                e = other;
        }
        if (e->interval_ms && now_ms < e->until_ms)
            f->evictions++;
    }
    *e = (failure){ key.hi, key.lo, now_ms + interval, interval };
    return interval;
}

static inline void failures_forget(failures *f, fingerprint key)
{
    failure *e = failures_find(f, key);
    if (e)
        e->interval_ms = 0;
}

/* How many questions have one remembered. Reads them all: not for the hot path. */
static inline uint32_t failures_held(const failures *f)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < f->sets * FAILURES_WAYS; i++)
        n += f->entries[i].interval_ms != 0;
    return n;
}

static inline void failures_clear(failures *f) { memset(f->entries, 0, (size_t)f->sets * FAILURES_WAYS * sizeof *f->entries); }

#endif
