/* The checks of a table file that are made once, by whoever is about to put it live. A worker relies on table_open alone.
 *
 * table_verify: every octet is the one that was digested, and says something that a builder would write.
 * table_covers: the table says, for every fingerprint, exactly what the compiled lists say.
 */
#ifndef BLOCKD_TABLE_CHECK_H
#define BLOCKD_TABLE_CHECK_H

#include <stdlib.h>

#include "merge.h"

static inline uint64_t table_members(const table_header *h)
{
    return (h->rules_at - h->sets_at) / 4 - h->n_sets - 1; /* table_open has seen that it is not negative */
}

/* Where the members of set `i` are. Returns how many; 0 when the file is damaged there. */
static inline uint32_t table_set(const table_view *t, uint32_t i, const uint32_t **members)
{
    if (i >= t->header->n_sets)
        return 0;
    uint32_t from = t->set_offsets[i], to = t->set_offsets[i + 1];
    *members = t->set_members + from;
    return from < to && to <= table_members(t->header) ? to - from : 0;
}

static inline const char *table_verify_sets(const table_view *t)
{
    const table_header *h = t->header;
    uint64_t total = table_members(h);
    if (h->sets_at + 4 * (h->n_sets + 1 + total) != h->rules_at || t->set_offsets[0] != 0 || t->set_offsets[h->n_sets] != total)
        return "the sets do not fill their place";
    for (uint32_t i = 0; i < h->n_sets; i++) {
        const uint32_t *members = 0;
        uint32_t n = table_set(t, i, &members);
        if (!n)
            return "a set is empty or out of range";
        for (uint32_t j = 0; j < n; j++)
            if (members[j] >= h->n_rules || (j && members[j] <= members[j - 1]))
                return "a set's rules are out of range or out of order";
    }
    return 0;
}

typedef struct {
    uint64_t entries;
    uint32_t seen;  /* sets that occurred so far: they are numbered in that order */
    uint32_t kinds;
    uint8_t *of_set; /* the kind bits with which each set first occurred */
} table_tally;

static inline const char *table_verify_slot(const table_view *t, table_tally *y, uint32_t payload)
{
    uint32_t set = payload & TABLE_SET_MASK, kinds = payload >> 24;
    if (!set || set > t->header->n_sets || set > y->seen + 1)
        return "a slot points at no set, or out of turn";
    if (set == y->seen + 1)
        y->of_set[y->seen++] = (uint8_t)kinds;
    if (!kinds || kinds & ~0xfu || y->of_set[set - 1] != kinds)
        return "a slot's kinds are not those of its set";
    y->kinds |= kinds << 24;
    y->entries++;
    return 0;
}

static inline const char *table_verify_buckets(const table_view *t, table_tally *y)
{
    for (uint64_t b = 0; b < t->header->n_buckets; b++) {
        const table_bucket *k = &t->buckets[b];
        for (unsigned j = 0; j < TABLE_SLOTS; j++) {
            if (k->payload[j]) {
                const char *wrong = j && !k->payload[j - 1] ? "a bucket has a hole" : table_verify_slot(t, y, k->payload[j]);
                if (wrong)
                    return wrong;
            } else if (k->hi[j] || k->lo[j]) {
                return "a free slot is not empty";
            }
        }
    }
    return 0;
}

/* Returns 0 or a phrase. */
static inline const char *table_verify(const table_view *t)
{
    const table_header *h = t->header;
    const uint8_t *file = (const uint8_t *)h;
    uint8_t digest[32];
    for (size_t i = sizeof(table_header); i < TABLE_HEADER_BYTES; i++)
        if (file[i])
            return "the header is damaged";
    sha256_of(file + TABLE_HEADER_BYTES, h->file_bytes - TABLE_HEADER_BYTES, digest);
    if (memcmp(digest, h->body_sha256, 32) != 0)
        return "the table does not have its digest";
    const char *wrong = table_verify_sets(t);
    if (wrong)
        return wrong;
    table_tally y = { .of_set = calloc(h->n_sets + 1, 1) };
    if (!y.of_set)
        return "out of memory";
    wrong = table_verify_buckets(t, &y);
    free(y.of_set);
    if (!wrong && (y.entries != h->n_entries || y.seen != h->n_sets || y.kinds != h->kinds))
        wrong = "the header does not count what is there";
    return wrong;
}

static inline int table_depth_known(const table_header *h, uint32_t kinds, unsigned depth)
{
    return (!(kinds & TABLE_SUBTREE) || table_depth_set(h->subtree_depths, depth))
        && (!(kinds & TABLE_EXACT) || table_depth_set(h->exact_depths, depth))
        && (!(kinds & TABLE_URL_HOST) || table_depth_set(h->url_host_depths, depth));
}

/* Returns 0 or a phrase. `kinds` as in build.h. */
static inline const char *table_covers(const table_view *t, const merge_source *sources, size_t n, const uint8_t *kinds)
{
    uint64_t entries = 0;
    const char *wrong = 0;
    fingerprint f;
    merge m;
    if (!merge_begin(&m, sources, n))
        return "out of memory";
    while (!wrong && merge_next(&m, &f)) {
        const uint32_t *members = 0;
        uint32_t payload = table_probe(t, f), want = 0;
        for (size_t i = 0; i < m.n_members; i++)
            want |= (uint32_t)kinds[m.members[i]] << 24;
        entries++;
        if (!payload)
            wrong = "an entry of a list is not in the table";
        else if (table_set(t, (payload & TABLE_SET_MASK) - 1, &members) != m.n_members
                 || memcmp(members, m.members, m.n_members * sizeof *members) != 0 || (payload & ~(uint32_t)TABLE_SET_MASK) != want)
            wrong = "an entry's rules are not those of the lists";
        else if (!table_depth_known(t->header, want, m.depth))
            wrong = "an entry's depth is not noted";
    }
    if (!wrong && m.failed)
        wrong = "out of memory";
    if (!wrong && entries != t->header->n_entries)
        wrong = "the table has entries that no list has";
    merge_free(&m);
    return wrong;
}

#endif
