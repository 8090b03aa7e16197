/* Sort a list's records by (fingerprint, rule, row): two radix passes over the leading bits, then an insertion sort.
 *
 * Fingerprints are uniform, and keyed, so nobody who writes a list can choose where they fall: after the first pass (over
 * at most 4,096 parts that threads share out) a part fits the second cache, after the second a bucket holds a few records. Only equal
 * fingerprints can crowd a bucket (one name listed a million times); such a bucket is merge-sorted by the C library.
 */
#ifndef BLOCKD_SORT_H
#define BLOCKD_SORT_H

#include <stdlib.h>

#include "compiled_list.h"
#include "threads.h"

enum {
    SORT_PARTS_BITS_MAX = 12,
    SORT_PART_RECORDS = 2048, /* aimed at */
    SORT_FEW_RECORDS = 24,    /* above it a bucket is not for insertion sort */
};

static inline int sort_compare(const void *a, const void *b)
{
    return record_before(a, b) ? -1 : record_before(b, a);
}

static inline void sort_insertion(list_record *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (!record_before(a + i, a + i - 1))
            continue;
        list_record moving = a[i];
        size_t j = i;
        do {
            a[j] = a[j - 1];
            j--;
        } while (j && record_before(&moving, a + j - 1));
        a[j] = moving;
    }
}

static inline unsigned sort_log2(size_t n)
{
    unsigned bits = 0;
    while (n >>= 1)
        bits++;
    return bits;
}

/* Sort `n` records that agree in their leading `skip` bits from `from` into `to`. */
static inline void sort_part(list_record *to, const list_record *from, size_t n, unsigned skip)
{
    uint32_t starts[(1 << SORT_PARTS_BITS_MAX) + 1];
    unsigned bits = sort_log2(n);
    bits = bits < 3 ? 0 : bits - 2 > SORT_PARTS_BITS_MAX ? SORT_PARTS_BITS_MAX : bits - 2;
    if (!bits) {
        memcpy(to, from, n * sizeof *to);
        sort_insertion(to, n);
        return;
    }
    unsigned shift = 64 - bits;
    memset(starts, 0, (((size_t)1 << bits) + 1) * sizeof *starts);
    for (size_t i = 0; i < n; i++)
        starts[(from[i].hi << skip >> shift) + 1]++;
    for (size_t i = 0; i < (size_t)1 << bits; i++)
        starts[i + 1] += starts[i];
    for (size_t i = 0; i < n; i++)
        to[starts[from[i].hi << skip >> shift]++] = from[i];
    /* starts[b] is now the end of bucket b */
    for (size_t b = 0, at = 0; b < (size_t)1 << bits; at = starts[b++])
        if (starts[b] - at > SORT_FEW_RECORDS)
            qsort(to + at, starts[b] - at, sizeof *to, sort_compare);
    sort_insertion(to, n);
}

typedef struct {
    list_record *records, *scratch;
    size_t n;
    unsigned bits, threads;
    uint64_t *starts; /* [thread][part]: first a count, then where the thread writes */
    uint64_t *parts;  /* [part + 1] */
    unsigned next;    /* the part that the next free thread takes */
} sort_job;

typedef struct {
    sort_job *job;
    unsigned number;
} sort_worker;

static inline uint64_t *sort_own(const sort_worker *w) { return w->job->starts + ((size_t)w->number << w->job->bits); }

static inline void sort_share(const sort_worker *w, size_t *from, size_t *to)
{
    *from = w->job->n * w->number / w->job->threads;
    *to = w->job->n * (w->number + 1) / w->job->threads;
}

static inline void *sort_count(void *item)
{
    const sort_worker *w = item;
    uint64_t *counts = sort_own(w);
    size_t i, to;
    for (sort_share(w, &i, &to); i < to; i++)
        counts[w->job->records[i].hi >> (64 - w->job->bits)]++;
    return 0;
}

static inline void sort_starts(sort_job *j)
{
    uint64_t at = 0;
    for (size_t p = 0; p < (size_t)1 << j->bits; p++) {
        j->parts[p] = at;
        for (unsigned t = 0; t < j->threads; t++) {
            uint64_t count = j->starts[((size_t)t << j->bits) + p];
            j->starts[((size_t)t << j->bits) + p] = at;
            at += count;
        }
    }
    j->parts[(size_t)1 << j->bits] = at;
}

static inline void *sort_scatter(void *item)
{
    const sort_worker *w = item;
    uint64_t *starts = sort_own(w);
    size_t i, to;
    for (sort_share(w, &i, &to); i < to; i++)
        w->job->scratch[starts[w->job->records[i].hi >> (64 - w->job->bits)]++] = w->job->records[i];
    return 0;
}

static inline void *sort_parts(void *item)
{
    sort_job *j = ((const sort_worker *)item)->job;
    for (;;) {
        unsigned p = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
        if (p >> j->bits)
            return 0;
        sort_part(j->records + j->parts[p], j->scratch + j->parts[p], j->parts[p + 1] - j->parts[p], j->bits);
    }
}

/* `scratch` has room for `n` records. Returns 0 when there is no memory. */
static inline int sort_records(list_record *records, list_record *scratch, size_t n, unsigned threads)
{
    sort_worker worker[THREADS_MAX];
    sort_job j = { .records = records, .scratch = scratch, .n = n };
    if (n < (size_t)2 * SORT_PART_RECORDS) {
        memcpy(scratch, records, n * sizeof *records);
        sort_part(records, scratch, n, 0);
        return 1;
    }
    j.bits = sort_log2(n / SORT_PART_RECORDS);
    j.bits = j.bits > SORT_PARTS_BITS_MAX ? SORT_PARTS_BITS_MAX : j.bits;
    j.threads = threads > THREADS_MAX ? THREADS_MAX : threads < 1 ? 1 : threads;
    j.starts = calloc((size_t)j.threads << j.bits, sizeof *j.starts);
    j.parts = calloc(((size_t)1 << j.bits) + 1, sizeof *j.parts);
    int ok = j.starts && j.parts;
    if (ok) {
        for (unsigned t = 0; t < j.threads; t++)
            worker[t] = (sort_worker){ &j, t };
        threads_run(sort_count, worker, sizeof *worker, j.threads);
        sort_starts(&j);
        threads_run(sort_scatter, worker, sizeof *worker, j.threads);
        threads_run(sort_parts, worker, sizeof *worker, j.threads);
    }
    free(j.starts);
    free(j.parts);
    return ok;
}

#endif
