/* Questions on their way upstream: equal keys share one (RFC 9520 §1.2, RFC 5452 §5), each has a deadline, their number has a limit.
 *
 * A handle is generation * capacity + place, so one that was closed is never mistaken for the one that took its place. The index is open
 * addressing without tombstones; deadlines are a heap that knows where each place stands in it.
 */
#ifndef BLOCKD_PENDING_H
#define BLOCKD_PENDING_H

#include "siphash.h"

enum { PENDING_CAPACITY_MAX = 1 << 20 };

typedef struct {
    uint64_t hi, lo, deadline_ms;
    uint32_t generation;
    uint32_t heap_at; /* index in heap; of a free place: the next free one */
} pending_place;

typedef struct {
    pending_place *places; /* capacity */
    uint32_t *heap;        /* places, the earliest deadline first */
    uint32_t *index;       /* place plus one, or 0; index_mask + 1 of them, at least twice the capacity */
    uint32_t capacity, n, free, index_mask;
} pending;

enum { PENDING_NONE = -1 };

static inline uint32_t pending_index_size(uint32_t capacity)
{
    uint32_t n = 16;
    while (n < capacity * 2)
        n *= 2;
    return n;
}

static inline void pending_init(pending *p)
{
    p->n = p->free = 0;
    for (uint32_t i = 0; i < p->capacity; i++)
        p->places[i] = (pending_place){ .heap_at = i + 1 };
}

static inline void pending_put(pending *p, uint32_t at, uint32_t place)
{
    p->heap[at] = place;
    p->places[place].heap_at = at;
}

static inline int pending_before(const pending *p, uint32_t a, uint32_t b) { return p->places[a].deadline_ms < p->places[b].deadline_ms; }

static inline void pending_settle(pending *p, uint32_t at)
{
    uint32_t place = p->heap[at];
    while (at && pending_before(p, place, p->heap[(at - 1) / 2])) {
        pending_put(p, at, p->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (uint32_t child; (child = 2 * at + 1) < p->n; at = child) {
        if (child + 1 < p->n && pending_before(p, p->heap[child + 1], p->heap[child]))
            child++;
        if (!pending_before(p, p->heap[child], place))
            break;
        pending_put(p, at, p->heap[child]);
    }
    pending_put(p, at, place);
}

static inline uint32_t pending_slot(const pending *p, uint64_t hi, uint64_t lo)
{
    uint32_t i = (uint32_t)lo & p->index_mask;
    while (p->index[i] && (p->places[p->index[i] - 1].hi != hi || p->places[p->index[i] - 1].lo != lo))
        i = (i + 1) & p->index_mask;
    return i;
}

static inline int64_t pending_handle(const pending *p, uint32_t place) { return (int64_t)p->places[place].generation * p->capacity + place; }

/* The handle of this key, *is_new when it was opened now; PENDING_NONE when all places are taken. */
static inline int64_t pending_open(pending *p, fingerprint key, uint64_t deadline_ms, int *is_new)
{
    uint32_t i = pending_slot(p, key.hi, key.lo);
    *is_new = 0;
    if (p->index[i])
        return pending_handle(p, p->index[i] - 1);
    if (p->n == p->capacity)
        return PENDING_NONE;
    uint32_t place = p->free;
    pending_place *e = &p->places[place];
    p->free = e->heap_at;
    e->hi = key.hi;
    e->lo = key.lo;
    e->deadline_ms = deadline_ms;
    p->index[i] = place + 1;
    p->heap[p->n] = place;
    e->heap_at = p->n++;
    pending_settle(p, e->heap_at);
    *is_new = 1;
    return pending_handle(p, place);
}

/* Take a key out and close the gap: entries behind it move up unless they stand before their home. */
static inline void pending_unindex(pending *p, uint32_t i)
{
    for (uint32_t j = (i + 1) & p->index_mask; p->index[j]; j = (j + 1) & p->index_mask) {
        uint32_t home = (uint32_t)p->places[p->index[j] - 1].lo & p->index_mask;
        if (((j - home) & p->index_mask) >= ((j - i) & p->index_mask)) {
            p->index[i] = p->index[j];
            i = j;
        }
    }
    p->index[i] = 0;
}

static inline void pending_free(pending *p, uint32_t place)
{
    pending_place *e = &p->places[place];
    uint32_t at = e->heap_at;
    pending_unindex(p, pending_slot(p, e->hi, e->lo));
    p->n--;
    if (at != p->n) {
        pending_put(p, at, p->heap[p->n]);
        pending_settle(p, at);
    }
    e->generation++;
    e->heap_at = p->free;
    p->free = place;
}

/* Returns 0 when the handle is no longer open. */
static inline int pending_close(pending *p, int64_t handle)
{
    if (handle < 0)
        return 0;
    uint32_t place = (uint32_t)(handle % p->capacity);
    const pending_place *e = &p->places[place];
    if (pending_handle(p, place) != handle || e->heap_at >= p->n || p->heap[e->heap_at] != place)
        return 0;
    pending_free(p, place);
    return 1;
}

/* Close one whose deadline is `now_ms` or earlier and return its handle, or PENDING_NONE. */
static inline int64_t pending_expire(pending *p, uint64_t now_ms)
{
    if (!p->n || p->places[p->heap[0]].deadline_ms > now_ms)
        return PENDING_NONE;
    uint32_t place = p->heap[0];
    int64_t handle = pending_handle(p, place);
    pending_free(p, place);
    return handle;
}

#endif
