/* The file of queries that bench/queries.py writes, read whole and checked before the first query leaves.
 *
 *   "BLQ1"  count:u32le  count * { class:u8  octets:u16le  message[octets] }
 *
 * A message is one query with an ID of zero: it is copied, and its ID written over, for each query that is sent. A message of the class `miss`
 * begins its name with a label of at least UNIQUE_DIGITS octets, whose first UNIQUE_DIGITS are written over with a number that never comes twice.
 */
#ifndef BENCH_LOAD_QUERIES_H
#define BENCH_LOAD_QUERIES_H

#include "loopback.h"

enum { BLOCKED, CACHED, MISS, CLASSES };
enum { QUERIES_MAX = 4 << 20, QUERY_OCTETS_MAX = 512, UNIQUE_DIGITS = 12, FILE_HEADER_OCTETS = 8, RECORD_HEADER_OCTETS = 3 };

static const char *const CLASS_NAMES[CLASSES] = { "blocked", "cached", "miss" };

typedef struct {
    const uint8_t *message;
    uint16_t octets, question_octets; /* the question: name, type, class */
    uint8_t class;
} query;

typedef struct {
    uint8_t *file;
    query *all;       /* grouped by class, in the file's order within one */
    uint32_t first[CLASSES + 1];
    uint32_t next[CLASSES];
} queries;

/* The octets of the one question of a query, or 0 when the message is not one. */
static inline size_t question_octets(const uint8_t *m, size_t n)
{
    static const uint8_t one_question[] = { 0, 1, 0, 0, 0, 0 };
    size_t at = HEADER_OCTETS;
    if (n < HEADER_OCTETS + 5 || (m[2] & 0xf8) || memcmp(m + 4, one_question, sizeof one_question))
        return 0;
    while (at < n && m[at] && m[at] < 64)
        at += 1u + m[at];
    return at + 5 <= n && !m[at] ? at + 5 - HEADER_OCTETS : 0;
}

/* One record at p, of which `left` octets remain; the octets that it takes, or 0. */
static inline size_t read_query(const uint8_t *p, size_t left, query *q)
{
    if (left < RECORD_HEADER_OCTETS)
        return 0;
    size_t n = (size_t)(p[1] | p[2] << 8);
    if (p[0] >= CLASSES || n > QUERY_OCTETS_MAX || n > left - RECORD_HEADER_OCTETS)
        return 0;
    q->class = p[0];
    q->message = p + RECORD_HEADER_OCTETS;
    q->octets = (uint16_t)n;
    q->question_octets = (uint16_t)question_octets(q->message, n);
    if (!q->question_octets || (q->class == MISS && q->message[HEADER_OCTETS] < UNIQUE_DIGITS))
        return 0;
    return RECORD_HEADER_OCTETS + n;
}

/* The queries of data[0..n), which must be malloc's; NULL, or what is wrong with them. queries_free in either case. */
static inline const char *queries_parse(queries *set, uint8_t *data, size_t n)
{
    memset(set, 0, sizeof *set);
    set->file = data;
    if (n < FILE_HEADER_OCTETS || memcmp(data, "BLQ1", 4))
        return "not a file of queries";
    uint32_t count = data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 | (uint32_t)data[7] << 24;
    if (!count || count > QUERIES_MAX || !(set->all = malloc(count * sizeof *set->all)))
        return "no queries, or too many";
    /* twice over the file: count each class, then place each query behind those of its class */
    uint32_t at_class[CLASSES] = { 0 };
    for (int placing = 0; placing < 2; placing++) {
        size_t at = FILE_HEADER_OCTETS;
        for (uint32_t i = 0; i < count; i++) {
            query q;
            size_t took = read_query(data + at, n - at, &q);
            if (!took)
                return "a record that is cut or malformed";
            at += took;
            if (placing)
                set->all[set->first[q.class] + at_class[q.class]] = q;
            at_class[q.class]++;
        }
        if (at != n)
            return "octets behind the last record";
        for (int c = 0; c < CLASSES && !placing; c++) {
            set->first[c + 1] = set->first[c] + at_class[c];
            at_class[c] = 0;
        }
    }
    return NULL;
}

static inline void queries_free(queries *set)
{
    free(set->all);
    free(set->file);
}

static inline const char *queries_read(queries *set, const char *path)
{
    FILE *f = fopen(path, "rb");
    long size = -1;
    uint8_t *data = NULL;
    memset(set, 0, sizeof *set);
    if (!f)
        return strerror(errno);
    if (!fseek(f, 0, SEEK_END) && (size = ftell(f)) > 0 && !fseek(f, 0, SEEK_SET) && (data = malloc((size_t)size))
        && fread(data, 1, (size_t)size, f) == (size_t)size) {
        fclose(f);
        return queries_parse(set, data, (size_t)size);
    }
    free(data);
    fclose(f);
    return "can't be read";
}

/* The next query of a class, round and round. The class must not be empty. */
static inline const query *queries_next(queries *set, int class)
{
    const query *q = &set->all[set->first[class] + set->next[class]];
    if (++set->next[class] == set->first[class + 1] - set->first[class])
        set->next[class] = 0;
    return q;
}

/* UNIQUE_DIGITS hexadecimal digits of `value` at p. */
static inline void unique_label(uint8_t *p, uint64_t value)
{
    for (int i = UNIQUE_DIGITS - 1; i >= 0; i--, value >>= 4)
        p[i] = (uint8_t)"0123456789abcdef"[value & 15];
}

#endif
