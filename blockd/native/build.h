/* Build a table file from compiled lists, in one pass over them after one that counts.
 *
 * Entries come in the order of their fingerprints, so the place of each is at or behind that of the one before: the buckets
 * are written front to back, and nothing is sorted or held in memory but the sets.
 */
#ifndef BLOCKD_BUILD_H
#define BLOCKD_BUILD_H

#include "file_out.h"
#include "merge.h"

enum { BUILD_LOAD_PERCENT = 78 }; /* of the slots that are homes: 20.5 octets an entry */

typedef struct {
    const merge_source *sources;
    size_t n_sources;
    const uint8_t *kinds; /* of each global rule: a TABLE_* bit, shifted down to bit 0..7 */
    size_t n_rules;
    const uint8_t *rules; /* the JSON */
    size_t rules_bytes;
    sip_key key;
} build_plan;

typedef struct {
    file_out *out;
    table_bucket bucket;
    uint64_t number; /* of `bucket` */
    unsigned used;   /* slots of it */
} build_place;

static inline uint64_t build_home(fingerprint f, uint64_t n_home) { return (f.hi >> 32) * n_home >> 32; }

static inline void build_close_bucket(build_place *p)
{
    memcpy(file_out_room(p->out, sizeof p->bucket), &p->bucket, sizeof p->bucket);
    memset(&p->bucket, 0, sizeof p->bucket);
    p->number++;
    p->used = 0;
}

/* Returns how many buckets a probe for the entry reads. */
static inline uint64_t build_put(build_place *p, fingerprint f, uint32_t payload, uint64_t home)
{
    while (p->number < home || p->used == TABLE_SLOTS)
        build_close_bucket(p);
    p->bucket.hi[p->used] = f.lo;
    p->bucket.lo[p->used] = (uint32_t)f.hi;
    p->bucket.payload[p->used++] = payload;
    return p->number - home + 1;
}

static inline void build_depth(uint64_t bits[2], unsigned depth)
{
    if (depth)
        bits[(depth - 1) >> 6] |= 1ULL << ((depth - 1) & 63);
}

static inline uint32_t build_kinds(const build_plan *plan, const merge *m)
{
    uint32_t kinds = 0;
    for (size_t i = 0; i < m->n_members; i++)
        kinds |= plan->kinds[m->members[i]];
    return kinds << 24;
}

static inline void build_note(table_header *h, uint32_t kinds, unsigned depth)
{
    h->kinds |= kinds;
    if (kinds & TABLE_SUBTREE)
        build_depth(h->subtree_depths, depth);
    if (kinds & TABLE_EXACT)
        build_depth(h->exact_depths, depth);
    if (kinds & TABLE_URL_HOST)
        build_depth(h->url_host_depths, depth);
}

/* Returns 0 or a phrase. */
static inline const char *build_entries(const build_plan *plan, table_header *h, sets *sets, file_out *out)
{
    build_place place = { .out = out };
    fingerprint f;
    merge m;
    if (!merge_begin(&m, plan->sources, plan->n_sources))
        return "out of memory";
    const char *wrong = 0;
    while (!wrong && !out->error && merge_next(&m, &f)) {
        uint32_t kinds = build_kinds(plan, &m), set = sets_number(sets, m.members, m.n_members);
        uint64_t reach = build_put(&place, f, set | kinds, build_home(f, h->n_home));
        build_note(h, kinds, m.depth);
        h->probe_max = h->probe_max > reach ? h->probe_max : (uint32_t)reach;
        if (!set)
            wrong = "out of memory, or too many combinations of rules";
    }
    if (m.failed)
        wrong = "out of memory";
    while (!wrong && !out->error && (place.used || place.number < h->n_home))
        build_close_bucket(&place);
    h->n_buckets = place.number;
    merge_free(&m);
    return wrong;
}

/* Fill n_entries and n_home. */
static inline const char *build_count(const build_plan *plan, table_header *h)
{
    fingerprint f;
    merge m;
    if (!merge_begin(&m, plan->sources, plan->n_sources))
        return "out of memory";
    while (merge_next(&m, &f))
        h->n_entries++;
    const char *wrong = m.failed ? "out of memory" : 0;
    merge_free(&m);
    h->n_home = h->n_entries * 100 / (TABLE_SLOTS * BUILD_LOAD_PERCENT) + 1;
    return wrong ? wrong : h->n_home > 1ULL << 31 ? "too many entries" : 0;
}

static inline void build_seal(const build_plan *plan, table_header *h, const sets *sets)
{
    uint64_t sets_bytes = 4 * (sets->n + 1 + (uint64_t)sets->offsets[sets->n]);
    memcpy(h->magic, TABLE_MAGIC, 8);
    h->version = TABLE_VERSION;
    h->header_bytes = TABLE_HEADER_BYTES;
    h->n_sets = sets->n;
    h->n_rules = plan->n_rules;
    h->sets_at = TABLE_HEADER_BYTES + h->n_buckets * sizeof(table_bucket);
    h->rules_at = h->sets_at + sets_bytes;
    h->rules_bytes = plan->rules_bytes;
    h->file_bytes = h->rules_at + h->rules_bytes;
    fingerprint_bytes(sip_hash(plan->key, (const uint8_t *)"blockd table key", 16), h->key_check);
    fingerprint_bytes(sip_hash(plan->key, (const uint8_t *)h, sizeof *h), h->header_check);
}

/* Write the table to `path`, durably. Returns 0 or a phrase; *error is the errno when the file system was the cause. */
static inline const char *build_table_file(const build_plan *plan, const char *path, uint64_t *entries, int *error)
{
    table_header h = { .probe_max = 1 };
    uint8_t room[TABLE_HEADER_BYTES] = { 0 };
    file_out out;
    sets s;
    *error = 0;
    const char *wrong = build_count(plan, &h);
    if (wrong)
        return wrong;
    *entries = h.n_entries;
    if (!sets_begin(&s, plan->n_rules))
        return "out of memory";
    if (!file_out_open(&out, path, TABLE_HEADER_BYTES)) {
        sets_free(&s);
        *error = out.error;
        return "the file can't be made";
    }
    wrong = build_entries(plan, &h, &s, &out);
    file_out_add(&out, s.offsets, (s.n + 1) * 4);
    file_out_add(&out, s.members, (size_t)s.offsets[s.n] * 4);
    file_out_add(&out, plan->rules, plan->rules_bytes);
    file_out_body_end(&out, h.body_sha256);
    build_seal(plan, &h, &s);
    memcpy(room, &h, sizeof h);
    sets_free(&s);
    if (wrong)
        file_out_fail(&out, ECANCELED); /* so that the file goes */
    int failed = file_out_close(&out, path, room, sizeof room);
    if (!wrong && failed) {
        *error = failed;
        wrong = "the file can't be written";
    }
    return wrong;
}

#endif
