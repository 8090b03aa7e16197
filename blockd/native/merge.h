/* Walk several compiled lists at once, in the order of fingerprints: what each fingerprint's set of rules is.
 *
 * A heap of the lists' next records; one list alone is walked straight. Sets are interned: equal ones are one number, numbered
 * in the order in which they first occur, which follows from the entries alone.
 */
#ifndef BLOCKD_MERGE_H
#define BLOCKD_MERGE_H

#include <stdlib.h>

#include "compiled_list.h"
#include "table.h"

enum {
    MERGE_LISTS_MAX = 4096,
    MERGE_RULES_MAX = 1 << 20, /* global rules */
};

typedef struct {
    const list_record *at, *end;
    const int32_t *global; /* the global rule of each rule of the list; -1: not in this table */
} merge_source;

typedef struct {
    merge_source *heap; /* the least record's source is heap[0] */
    size_t n;
    uint32_t *members; /* of the current fingerprint: global rules, ascending, each once */
    size_t n_members, room;
    uint8_t depth;
    int failed; /* out of memory */
} merge;

static inline int merge_before(const merge_source *a, const merge_source *b)
{
    return a->at->hi != b->at->hi ? a->at->hi < b->at->hi : a->at->lo < b->at->lo;
}

static inline void merge_sink(merge *m, size_t i)
{
    for (;;) {
        size_t least = 2 * i + 1;
        if (least >= m->n)
            return;
        if (least + 1 < m->n && merge_before(&m->heap[least + 1], &m->heap[least]))
            least++;
        if (!merge_before(&m->heap[least], &m->heap[i]))
            return;
        merge_source moved = m->heap[i];
        m->heap[i] = m->heap[least];
        m->heap[least] = moved;
        i = least;
    }
}

static inline void merge_free(merge *m)
{
    free(m->heap);
    free(m->members);
    *m = (merge){ 0 };
}

/* Start at the beginning of all sources. Returns 0 when there is no memory. */
static inline int merge_begin(merge *m, const merge_source *sources, size_t n)
{
    *m = (merge){ .room = 64 };
    m->heap = calloc(n ? n : 1, sizeof *m->heap);
    m->members = malloc(m->room * sizeof *m->members);
    if (!m->heap || !m->members) {
        merge_free(m);
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        if (sources[i].at < sources[i].end)
            m->heap[m->n++] = sources[i];
    for (size_t i = m->n / 2; i-- > 0;)
        merge_sink(m, i);
    return 1;
}

static inline void merge_push(merge *m, uint32_t rule)
{
    size_t i = m->n_members;
    if (i == m->room) {
        uint32_t *more = realloc(m->members, 2 * m->room * sizeof *more);
        if (!more) {
            m->failed = 1;
            return;
        }
        m->members = more;
        m->room *= 2;
    }
    while (i && m->members[i - 1] > rule) /* few rules speak about one name */
        i--;
    if (i && m->members[i - 1] == rule)
        return;
    memmove(m->members + i + 1, m->members + i, (m->n_members - i) * sizeof *m->members);
    m->members[i] = rule;
    m->n_members++;
}

/* The next fingerprint that any rule speaks about. Returns 0 at the end, and when memory failed. */
static inline int merge_next(merge *m, fingerprint *f)
{
    m->n_members = 0;
    while (m->n && !m->n_members) {
        *f = (fingerprint){ m->heap[0].at->hi, m->heap[0].at->lo };
        m->depth = m->heap[0].at->depth;
        while (m->n && m->heap[0].at->hi == f->hi && m->heap[0].at->lo == f->lo) {
            merge_source *s = &m->heap[0];
            int32_t rule = s->global[s->at->rule];
            if (rule >= 0)
                merge_push(m, (uint32_t)rule);
            if (++s->at == s->end)
                *s = m->heap[--m->n];
            merge_sink(m, 0);
        }
    }
    return m->n_members && !m->failed;
}

typedef struct {
    uint32_t *offsets, *members; /* of set i: members[offsets[i] .. offsets[i + 1]) */
    size_t n, room, members_room;
    uint32_t *slots; /* hash table of set number + 1 */
    size_t mask;
    uint32_t *alone; /* for each rule: the number + 1 of the set that holds it alone */
} sets;

static inline void sets_free(sets *s)
{
    free(s->offsets);
    free(s->members);
    free(s->slots);
    free(s->alone);
    *s = (sets){ 0 };
}

static inline int sets_begin(sets *s, size_t n_rules)
{
    *s = (sets){ .room = 255, .members_room = 1024, .mask = 1023 };
    s->offsets = calloc(s->room + 1, sizeof *s->offsets);
    s->members = malloc(s->members_room * sizeof *s->members);
    s->slots = calloc(s->mask + 1, sizeof *s->slots);
    s->alone = calloc(n_rules ? n_rules : 1, sizeof *s->alone);
    if (s->offsets && s->members && s->slots && s->alone)
        return 1;
    sets_free(s);
    return 0;
}

static inline size_t sets_hash(const uint32_t *members, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++)
        h = (h ^ members[i]) * 0x9e3779b97f4a7c15ULL, h ^= h >> 29;
    return (size_t)h;
}

static inline int sets_grow(sets *s, size_t more)
{
    size_t used = s->offsets[s->n];
    if (s->n == s->room) {
        uint32_t *grown = realloc(s->offsets, (2 * s->room + 1) * sizeof *grown);
        if (!grown)
            return 0;
        s->offsets = grown;
        s->room *= 2;
    }
    if (used + more > s->members_room) {
        size_t room = 2 * s->members_room + more;
        uint32_t *grown = realloc(s->members, room * sizeof *grown);
        if (!grown)
            return 0;
        s->members = grown;
        s->members_room = room;
    }
    if (2 * s->n <= s->mask)
        return 1;
    size_t mask = 2 * s->mask + 1;
    uint32_t *slots = calloc(mask + 1, sizeof *slots);
    if (!slots)
        return 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t at = sets_hash(s->members + s->offsets[i], s->offsets[i + 1] - s->offsets[i]) & mask;
        while (slots[at])
            at = (at + 1) & mask;
        slots[at] = (uint32_t)i + 1;
    }
    free(s->slots);
    s->slots = slots;
    s->mask = mask;
    return 1;
}

/* The number + 1 of the set of these rules; 0 when there is no memory or no number left. */
static inline uint32_t sets_number(sets *s, const uint32_t *members, size_t n)
{
    if (n == 1 && s->alone[members[0]])
        return s->alone[members[0]];
    size_t at = sets_hash(members, n) & s->mask;
    for (; s->slots[at]; at = (at + 1) & s->mask) {
        size_t i = s->slots[at] - 1, from = s->offsets[i];
        if (s->offsets[i + 1] - from == n && memcmp(s->members + from, members, n * sizeof *members) == 0)
            return s->slots[at];
    }
    if (s->n + 1 >= TABLE_SET_MASK || s->offsets[s->n] + (uint64_t)n > UINT32_MAX || !sets_grow(s, n))
        return 0;
    for (at = sets_hash(members, n) & s->mask; s->slots[at];)
        at = (at + 1) & s->mask;
    memcpy(s->members + s->offsets[s->n], members, n * sizeof *members);
    s->offsets[s->n + 1] = s->offsets[s->n] + (uint32_t)n;
    s->slots[at] = (uint32_t)++s->n;
    if (n == 1)
        s->alone[members[0]] = (uint32_t)s->n;
    return (uint32_t)s->n;
}

#endif
