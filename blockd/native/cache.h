/* The answer cache: a ring of octets, filled in order, with an index of one cache line a bucket. Never allocates, never stops to sweep.
 *
 *   ring    entries one behind the other in units of 16 octets. Space is made at the oldest entry; one that was used since it was written
 *           is moved to the front instead (second chance), CACHE_CHANCES_MAX for each new entry at most
 *   index   two buckets for each key, of 8 slots of {tag, place}; an entry goes into the emptier. Two full buckets, which is rare while
 *           half of all slots are free, give up the slot that was used least lately
 *
 * An entry is the part of an answer behind its question. The name has the same length for whoever asks, so its pointers hold; its owner
 * names point into the question, so each client sees its own letter case. It knows in which table (epoch) its targets were looked up.
 */
#ifndef BLOCKD_CACHE_H
#define BLOCKD_CACHE_H

#include "siphash.h"

enum {
    CACHE_UNIT_BYTES = 16,
    CACHE_SLOTS = 8,
    CACHE_CHANCES_MAX = 8,
    CACHE_BYTES_MIN = 1 << 16,   /* below it there is no cache */
    CACHE_STALE_MAX_S = 86400,   /* how long after its TTL an answer may still be given for want of a newer one (RFC 8767 §4: at most some days) */
    CACHE_BYTES_PER_BUCKET = 512, /* of all memory: 8 slots for 4 entries of 112 octets, about the smallest */
};

typedef struct {
    uint32_t units;  /* of the ring, this header included */
    uint8_t live;    /* the index points here */
    uint8_t used;    /* since it was written or moved */
    uint8_t speaks;  /* a target has entries in the table: judge it at each use */
    uint8_t rcode;
    uint64_t hi, lo; /* the key */
    uint64_t stored_ms;
    uint32_t ttl_s;
    uint32_t epoch;
    uint16_t counts[3];
    uint16_t question_bytes; /* header and question before the body */
    uint16_t body_bytes, additional_bytes; /* the latter are the body's last */
    int16_t ede;
} cache_entry;

typedef struct { uint32_t tag, place; } cache_slot; /* place: units from the start plus one; 0: empty */

typedef struct { cache_slot slots[CACHE_SLOTS]; } cache_bucket;

typedef struct {
    uint8_t *ring;
    cache_bucket *buckets;
    uint32_t units, bucket_mask; /* units 0: no cache */
    uint32_t head, tail, filled; /* units: next write, oldest entry, between them */
    uint64_t entries, evictions;
} cache;

static inline cache_entry *cache_at(const cache *c, uint32_t unit) { return (cache_entry *)(void *)(c->ring + (size_t)unit * CACHE_UNIT_BYTES); }

static inline uint8_t *cache_body(cache_entry *e) { return (uint8_t *)(e + 1); }

static inline uint32_t cache_units(size_t bytes) { return (uint32_t)((bytes + CACHE_UNIT_BYTES - 1) / CACHE_UNIT_BYTES); }

/* How `bytes` are shared out: buckets (a power of two) and units of the ring. */
static inline void cache_plan(uint64_t bytes, uint32_t *buckets, uint32_t *units)
{
    *buckets = *units = 0;
    if (bytes < CACHE_BYTES_MIN)
        return;
    uint64_t n = 1, ring;
    while (n * 2 * CACHE_BYTES_PER_BUCKET <= bytes && n < 1u << 30)
        n *= 2;
    ring = (bytes - n * sizeof(cache_bucket)) / CACHE_UNIT_BYTES;
    *buckets = (uint32_t)n;
    *units = ring < UINT32_MAX ? (uint32_t)ring : UINT32_MAX - 1;
}

/* The two buckets of a key; they may be one. */
static inline cache_bucket *cache_bucket_of(const cache *c, uint64_t lo, unsigned which) { return &c->buckets[(which ? lo >> 32 : lo) & c->bucket_mask]; }

/* Slots are written under the lock and read under it, but for cache_hint, which takes what it finds for a hint. */
static inline void cache_set(cache_slot *s, uint32_t tag, uint32_t place)
{
    __atomic_store_n(&s->tag, tag, __ATOMIC_RELAXED);
    __atomic_store_n(&s->place, place, __ATOMIC_RELAXED);
}

static inline cache_slot *cache_slot_of(const cache *c, uint64_t hi, uint64_t lo)
{
    uint32_t tag = (uint32_t)(hi >> 32);
    for (unsigned i = 0; i < 2 * CACHE_SLOTS; i++) {
        cache_slot *s = &cache_bucket_of(c, lo, i / CACHE_SLOTS)->slots[i % CACHE_SLOTS];
        if (!s->place || s->tag != tag)
            continue;
        const cache_entry *e = cache_at(c, s->place - 1);
        if (e->hi == hi && e->lo == lo)
            return s;
    }
    return 0;
}

static inline void cache_drop(cache *c, cache_entry *e)
{
    cache_slot *s = cache_slot_of(c, e->hi, e->lo);
    if (s)
        cache_set(s, 0, 0);
    e->live = 0;
    c->entries--;
}

static inline int cache_expired(const cache_entry *e, uint64_t now_ms)
{
    return now_ms > e->stored_ms && now_ms - e->stored_ms >= (uint64_t)e->ttl_s * 1000;
}

/* The entry of a key; one whose time is up too (cache_expired), for CACHE_STALE_MAX_S. */
static inline cache_entry *cache_find(cache *c, fingerprint key, uint64_t now_ms)
{
    cache_slot *s = c->units ? cache_slot_of(c, key.hi, key.lo) : 0;
    if (!s)
        return 0;
    cache_entry *e = cache_at(c, s->place - 1);
    if (now_ms > e->stored_ms && (now_ms - e->stored_ms) / 1000 >= (uint64_t)e->ttl_s + CACHE_STALE_MAX_S) {
        cache_drop(c, e);
        return 0;
    }
    e->used = 1;
    return e;
}

/* Without the lock: ask memory for the entry that a look-up of this key will most likely read. */
static inline void cache_hint(const cache *c, fingerprint key)
{
    uint32_t tag = (uint32_t)(key.hi >> 32);
    for (unsigned i = 0; c->units && i < 2 * CACHE_SLOTS; i++) {
        const cache_slot *s = &cache_bucket_of(c, key.lo, i / CACHE_SLOTS)->slots[i % CACHE_SLOTS];
        uint32_t place = __atomic_load_n(&s->place, __ATOMIC_RELAXED);
        if (place && __atomic_load_n(&s->tag, __ATOMIC_RELAXED) == tag) {
            __builtin_prefetch(cache_at(c, place - 1), 1);
            __builtin_prefetch((const uint8_t *)cache_at(c, place - 1) + 64);
            return;
        }
    }
}

static inline void cache_prefetch(const cache *c, fingerprint key)
{
    if (!c->units)
        return;
    __builtin_prefetch(cache_bucket_of(c, key.lo, 0));
    __builtin_prefetch(cache_bucket_of(c, key.lo, 1));
}

/* The rest of the ring behind `head` is left empty; the next entry starts at 0. */
static inline void cache_wrap(cache *c)
{
    uint32_t rest = c->units - c->head;
    if (rest) {
        cache_entry *filler = cache_at(c, c->head);
        filler->units = rest; /* the first eight octets of an entry fit any unit */
        filler->live = 0;
        c->filled += rest;
    }
    c->head = 0;
}

/* Free the oldest entry, or move it to the front when it deserves that and fits there. */
static inline void cache_pop(cache *c, uint64_t now_ms, unsigned *chances)
{
    cache_entry *e = cache_at(c, c->tail);
    uint32_t n = e->units, from = c->tail;
    int keep = e->live && e->used && *chances && !cache_expired(e, now_ms);
    c->tail = from + n == c->units ? 0 : from + n;
    c->filled -= n;
    if (keep && c->head <= from && from + n <= c->units) { /* free from head up to the end of this entry, without a wrap */
        cache_slot *s = cache_slot_of(c, e->hi, e->lo);
        (*chances)--;
        memmove(cache_at(c, c->head), e, (size_t)n * CACHE_UNIT_BYTES);
        cache_at(c, c->head)->used = 0;
        cache_set(s, s->tag, c->head + 1);
        c->head += n;
        c->filled += n;
        if (c->head == c->units)
            c->head = 0;
        return;
    }
    if (e->live) {
        if (!cache_expired(e, now_ms))
            c->evictions++;
        cache_drop(c, e);
    }
}

/* Room for `n` units in one piece at head. */
static inline void cache_make_room(cache *c, uint32_t n, uint64_t now_ms)
{
    unsigned chances = CACHE_CHANCES_MAX;
    for (;;) {
        if (!c->filled)
            c->head = c->tail = 0;
        if (c->filled < c->units && c->head >= c->tail) { /* free: head up to the end, then 0 up to tail */
            if (c->units - c->head >= n)
                return;
            cache_wrap(c);
            continue;
        }
        if (c->filled < c->units && c->tail - c->head >= n)
            return;
        cache_pop(c, now_ms, &chances);
    }
}

static inline cache_slot *cache_free_slot(cache *c, uint64_t lo, uint64_t now_ms)
{
    cache_slot *free_slot[2] = { 0, 0 }, *worst = 0;
    unsigned taken[2] = { 0, 0 };
    uint64_t oldest = UINT64_MAX;
    for (unsigned i = 0; i < 2 * CACHE_SLOTS; i++) {
        cache_slot *s = &cache_bucket_of(c, lo, i / CACHE_SLOTS)->slots[i % CACHE_SLOTS];
        if (!s->place) {
            free_slot[i / CACHE_SLOTS] = s;
            continue;
        }
        taken[i / CACHE_SLOTS]++;
        const cache_entry *e = cache_at(c, s->place - 1);
        uint64_t age = cache_expired(e, now_ms) ? 0 : e->stored_ms + (e->used ? 1ULL << 62 : 0);
        if (age < oldest) {
            oldest = age;
            worst = s;
        }
    }
    if (free_slot[0] || free_slot[1])
        return free_slot[taken[1] < taken[0]];
    cache_entry *e = cache_at(c, worst->place - 1);
    if (!cache_expired(e, now_ms))
        c->evictions++;
    cache_drop(c, e);
    return worst;
}

/* Store an answer's body under the head `e`, of which units, live and used are set here. Returns 0 when it is too large to be kept.
 * `body` must not lie in the ring. */
static inline int cache_store(cache *c, const cache_entry *head, const uint8_t *body, uint64_t now_ms)
{
    uint32_t n = cache_units(sizeof *head + head->body_bytes);
    if (n > c->units / 4)
        return 0;
    cache_slot *old = cache_slot_of(c, head->hi, head->lo);
    if (old)
        cache_drop(c, cache_at(c, old->place - 1));
    cache_make_room(c, n, now_ms);
    cache_slot *s = cache_free_slot(c, head->lo, now_ms);
    cache_entry *e = cache_at(c, c->head);
    *e = *head;
    e->units = n;
    e->live = 1;
    e->used = 0;
    memcpy(cache_body(e), body, head->body_bytes);
    cache_set(s, (uint32_t)(head->hi >> 32), c->head + 1);
    c->head += n;
    c->filled += n;
    if (c->head == c->units)
        c->head = 0;
    c->entries++;
    return 1;
}

static inline void cache_clear(cache *c)
{
    for (size_t i = 0; c->units && i <= c->bucket_mask; i++)
        for (unsigned j = 0; j < CACHE_SLOTS; j++)
            cache_set(&c->buckets[i].slots[j], 0, 0);
    c->head = c->tail = c->filled = 0;
    c->entries = 0;
}

#endif
