/* Collect one list's entries: rows to records by several threads, then sorted, without doubles, into a compiled list.
 *
 * A row is taken whole or not at all: when any name of a hosts row has to be judged by Python, the row is left to it.
 */
#ifndef BLOCKD_COLLECT_H
#define BLOCKD_COLLECT_H

#include "compiled_list.h"
#include "file_out.h"
#include "pages.h"
#include "rails.h"
#include "rows.h"
#include "sort.h"

enum { COLLECT_ALONE_BYTES = 1 << 16 }; /* a shorter block is not worth a second thread */

typedef enum { LEFT_ASK, LEFT_PROTECTED, LEFT_TOO_LONG } left_reason;

static const char *const left_words[] = { "python", "protected", "too_long" };

typedef struct {
    uint64_t row;
    size_t start, end; /* offsets into the block */
    left_reason why;
} left_row;

/* What one thread makes of its share of a block; kept from block to block for its memory. */
typedef struct {
    const uint8_t *data, *p, *end;
    uint64_t row;
    rows_format format;
    uint16_t rule;
    sip_key key;
    const rails *rails;
    pages records, left;
    size_t n_records, n_left, taken; /* taken: rows that gave a name, protected or not */
    int failed; /* out of memory */
} collect_share;

typedef struct {
    sip_key key;
    rails rails;
    unsigned threads;
    pages records;
    size_t n, taken;
    uint64_t next_row; /* behind the last block */
    collect_share share[THREADS_MAX];
} collector;

static inline void collect_leave(collect_share *s, const uint8_t *p, const uint8_t *end, left_reason why)
{
    if (!pages_reserve(&s->left, (s->n_left + 1) * sizeof(left_row))) {
        s->failed = 1;
        return;
    }
    ((left_row *)s->left.at)[s->n_left++] = (left_row){ s->row, (size_t)(p - s->data), (size_t)(end - s->data), why };
}

static inline void collect_name(collect_share *s, const row_cursor *c, const dns_name *name)
{
    fingerprint parent, self = row_fingerprints(s->key, name, &parent);
    if (rails_protect(s->rails, name->labels, self, parent)) {
        collect_leave(s, c->name, c->name_end, LEFT_PROTECTED);
        return;
    }
    if (!pages_reserve(&s->records, (s->n_records + 1) * sizeof(list_record))) {
        s->failed = 1;
        return;
    }
    ((list_record *)s->records.at)[s->n_records++] = (list_record){ self.hi, self.lo, (uint32_t)s->row, s->rule, name->labels, 0 };
}

static inline void collect_row(collect_share *s, const uint8_t *p, const uint8_t *end)
{
    dns_name name;
    size_t records = s->n_records, left = s->n_left;
    if (end - p > LINE_MAX_BYTES) {
        collect_leave(s, p, end, LEFT_TOO_LONG);
        return;
    }
    row_cursor c = row_begin(p, end, s->format);
    for (;;) {
        switch (row_next(&c, &name)) {
        case ROW_NAME:
            collect_name(s, &c, &name);
            break;
        case ROW_END:
            s->taken += s->n_records != records || s->n_left != left;
            return;
        case ROW_ASK:
            s->n_records = records;
            s->n_left = left;
            collect_leave(s, p, end, LEFT_ASK);
            return;
        }
    }
}

static inline void *collect_run(void *item)
{
    collect_share *s = item;
    while (s->p < s->end && !s->failed) {
        const uint8_t *feed = memchr(s->p, '\n', (size_t)(s->end - s->p));
        const uint8_t *end = feed ? feed : s->end;
        collect_row(s, s->p, end);
        s->row++;
        s->p = feed ? feed + 1 : s->end;
    }
    return 0;
}

static inline uint64_t collect_count_rows(const uint8_t *p, const uint8_t *end)
{
    uint64_t n = 0;
    for (; p < end; p++)
        n += *p == '\n';
    return n;
}

/* Cut the block behind a line feed near each thread's share. Returns how many shares there are. */
static inline unsigned collect_divide(collector *c, const uint8_t *data, size_t size, rows_format format, uint64_t row, uint16_t rule)
{
    static const uint8_t mark[] = { 0xef, 0xbb, 0xbf }; /* RFC 3629 §6 */
    unsigned n = size < COLLECT_ALONE_BYTES ? 1 : c->threads;
    const uint8_t *p = data, *end = data + size;
    if (row == 1 && size >= sizeof mark && memcmp(p, mark, sizeof mark) == 0)
        p += sizeof mark;
    for (unsigned i = 0; i < n; i++) {
        collect_share *s = &c->share[i];
        const uint8_t *cut = i + 1 == n ? end : data + size / n * (i + 1);
        cut = cut < p ? p : cut;
        const uint8_t *feed = cut < end ? memchr(cut, '\n', (size_t)(end - cut)) : 0;
        cut = feed ? feed + 1 : end;
        s->data = data;
        s->p = p;
        s->end = cut;
        s->row = row;
        s->format = format;
        s->rule = rule;
        s->key = c->key;
        s->rails = &c->rails;
        s->n_records = s->n_left = s->taken = 0;
        s->failed = 0;
        if (i + 1 < n)
            row += collect_count_rows(p, cut);
        p = cut;
    }
    return n;
}

/* Read a block of whole lines; shares 0..n-1 then hold what is left. Returns n, or 0 when there is no memory. */
static inline unsigned collect_text(collector *c, const uint8_t *data, size_t size, rows_format format, uint64_t row, uint16_t rule)
{
    unsigned n = collect_divide(c, data, size, format, row, rule);
    size_t total = c->n;
    threads_run(collect_run, c->share, sizeof *c->share, n);
    for (unsigned i = 0; i < n; i++) {
        if (c->share[i].failed)
            return 0;
        total += c->share[i].n_records;
    }
    if (!pages_reserve(&c->records, total * sizeof(list_record)))
        return 0;
    for (unsigned i = 0; i < n; i++) {
        if (c->share[i].n_records)
            memcpy((list_record *)c->records.at + c->n, c->share[i].records.at, c->share[i].n_records * sizeof(list_record));
        c->n += c->share[i].n_records;
        c->taken += c->share[i].taken;
        /* a last row without a line feed counts where it was read, not in the empty share behind it */
        c->next_row = i && c->next_row > c->share[i].row ? c->next_row : c->share[i].row;
    }
    return n;
}

static inline int collect_one(collector *c, fingerprint f, uint32_t row, uint16_t rule, unsigned depth, unsigned flags)
{
    if (!pages_reserve(&c->records, (c->n + 1) * sizeof(list_record)))
        return 0;
    ((list_record *)c->records.at)[c->n++] = (list_record){ f.hi, f.lo, row, rule, (uint8_t)depth, (uint8_t)flags };
    return 1;
}

static inline void collect_free(collector *c)
{
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        pages_free(&c->share[i].records);
        pages_free(&c->share[i].left);
    }
    pages_free(&c->records);
    rails_free(&c->rails);
    c->n = 0;
}

/* Sort. Returns 0 when there is no memory. */
static inline int collect_sort(collector *c)
{
    pages scratch = { 0, 0 };
    if (!c->n)
        return 1;
    int ok = pages_reserve(&scratch, c->n * sizeof(list_record))
        && sort_records((list_record *)c->records.at, (list_record *)scratch.at, c->n, c->threads);
    pages_free(&scratch);
    return ok;
}

/* Write the compiled list of sorted records. Returns 0 or an errno. */
static inline int collect_write(collector *c, const char *path, const uint8_t *rules, size_t rules_bytes, uint64_t *entries,
                                uint64_t *doubles)
{
    const list_record *r = (const list_record *)c->records.at;
    list_header h = { .version = LIST_VERSION, .header_bytes = LIST_HEADER_BYTES };
    uint8_t room[LIST_HEADER_BYTES] = { 0 };
    file_out f;
    *entries = *doubles = 0;
    if (!file_out_open(&f, path, LIST_HEADER_BYTES))
        return f.error;
    for (size_t i = 0; i < c->n; i++) {
        unsigned mark = r[i].flags & LIST_MARK;
        if (i && record_same(r + i - 1, r + i)) {
            *doubles += !mark;
            continue;
        }
        memcpy(file_out_room(&f, sizeof *r), r + i, sizeof *r);
        h.n_records++;
        *entries += !mark;
        h.n_rules = h.n_rules > r[i].rule + 1u ? h.n_rules : r[i].rule + 1u;
    }
    file_out_add(&f, rules, rules_bytes);
    file_out_body_end(&f, h.body_sha256);
    memcpy(h.magic, LIST_MAGIC, 8);
    h.n_entries = *entries;
    h.rules_at = LIST_HEADER_BYTES + h.n_records * sizeof *r;
    h.rules_bytes = rules_bytes;
    h.file_bytes = h.rules_at + rules_bytes;
    list_key_check(c->key, h.key_check);
    list_seal(c->key, &h);
    memcpy(room, &h, sizeof h);
    return file_out_close(&f, path, room, sizeof room);
}

#endif
