/* Answers and failures that are known without asking, shared by every thread of a process.
 *
 * Parts with a lock each, chosen by bits of the key that neither half of a part uses for its own places. A lock is held while one answer is
 * written, so two threads meet in one only when they answer from the same 64th of the cache in the same microsecond; nobody holds two.
 */
#ifndef BLOCKD_SHARED_CACHE_H
#define BLOCKD_SHARED_CACHE_H

#include <pthread.h>
#include <stdlib.h>

#include "cache.h"
#include "failures.h"
#include "pages.h"

enum {
    SHARED_PARTS_MAX = 64,
    SHARED_PART_BYTES_MIN = 1 << 20, /* a quarter of a part must hold the largest answer */
};

typedef struct {
    pthread_mutex_t lock __attribute__((aligned(64))); /* each part on lines of its own */
    cache cache;
    failures failures;
} shared_part;

typedef struct {
    shared_part *parts;
    uint32_t n;   /* a power of two */
    pages memory; /* of all caches: a look-up at random would miss the TLB in small pages */
} shared_cache;

static inline shared_part *shared_lock(const shared_cache *s, fingerprint key)
{
    shared_part *p = &s->parts[(uint32_t)key.hi & (s->n - 1)];
    (void)pthread_mutex_lock(&p->lock);
    return p;
}

static inline void shared_unlock(shared_part *p) { (void)pthread_mutex_unlock(&p->lock); }

/* Ask memory for what a look-up of this key will read: first its part of the index, then, when that is there, the entry. No lock: the arrays
 * never move. */
static inline void shared_prefetch(const shared_cache *s, fingerprint key) { cache_prefetch(&s->parts[(uint32_t)key.hi & (s->n - 1)].cache, key); }

static inline void shared_hint(const shared_cache *s, fingerprint key) { cache_hint(&s->parts[(uint32_t)key.hi & (s->n - 1)].cache, key); }

static inline void shared_free(shared_cache *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        free(s->parts[i].failures.entries);
        (void)pthread_mutex_destroy(&s->parts[i].lock);
    }
    free(s->parts);
    pages_free(&s->memory);
    *s = (shared_cache){ 0 };
}

/* Zeroed by the kernel as it is used, so a large cache costs nothing until it fills. Returns 0 when there is no memory. */
static inline int shared_make(shared_cache *s, uint64_t cache_bytes)
{
    uint32_t n = SHARED_PARTS_MAX, buckets, units;
    while (n > 1 && cache_bytes / n < SHARED_PART_BYTES_MIN)
        n /= 2;
    *s = (shared_cache){ .parts = aligned_alloc(64, n * sizeof *s->parts) };
    if (!s->parts)
        return 0;
    memset(s->parts, 0, n * sizeof *s->parts);
    cache_plan(cache_bytes / n, &buckets, &units);
    size_t index_bytes = buckets * sizeof(cache_bucket), ring_bytes = (size_t)units * CACHE_UNIT_BYTES;
    int ok = !buckets || pages_reserve(&s->memory, n * (index_bytes + ring_bytes));
    for (; s->n < n; s->n++) {
        shared_part *p = &s->parts[s->n];
        (void)pthread_mutex_init(&p->lock, 0);
        if (ok && buckets)
            p->cache = (cache){ .buckets = (cache_bucket *)(void *)(s->memory.at + s->n * index_bytes), .ring = s->memory.at + n * index_bytes + s->n * ring_bytes,
                                .units = units, .bucket_mask = buckets - 1 };
        p->failures.sets = FAILURES_MAX / FAILURES_WAYS / n;
        p->failures.entries = calloc((size_t)p->failures.sets * FAILURES_WAYS, sizeof(failure));
        ok = ok && p->failures.entries;
    }
    if (!ok)
        shared_free(s);
    return ok;
}

static inline void shared_clear(const shared_cache *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        shared_part *p = &s->parts[i];
        (void)pthread_mutex_lock(&p->lock);
        cache_clear(&p->cache);
        failures_clear(&p->failures);
        (void)pthread_mutex_unlock(&p->lock);
    }
}

typedef struct {
    uint64_t entries, bytes, bytes_max, evictions, failures;
} shared_figures;

static inline shared_figures shared_measure(const shared_cache *s)
{
    shared_figures f = { 0 };
    for (uint32_t i = 0; i < s->n; i++) {
        shared_part *p = &s->parts[i];
        (void)pthread_mutex_lock(&p->lock);
        f.entries += p->cache.entries;
        f.bytes += (uint64_t)p->cache.filled * CACHE_UNIT_BYTES;
        f.bytes_max += (uint64_t)p->cache.units * CACHE_UNIT_BYTES;
        f.evictions += p->cache.evictions;
        f.failures += failures_held(&p->failures);
        (void)pthread_mutex_unlock(&p->lock);
    }
    return f;
}

#endif
