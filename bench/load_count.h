/* What the load generator counts, and the JSON that it prints. */
#ifndef BENCH_LOAD_COUNT_H
#define BENCH_LOAD_COUNT_H

#include "load_queries.h"

/* Latencies in logarithmic buckets of STEPS a doubling: a percentile is right to 1/STEPS (3 %), in 16 KiB and without sorting. */
enum { STEP_BITS = 5, STEPS = 1 << STEP_BITS, BUCKETS = 64 * STEPS, RCODES = 16 };

typedef struct {
    uint64_t sent[CLASSES], answered[CLASSES], lost[CLASSES], empty[CLASSES], rcode[CLASSES][RCODES];
    uint64_t late;     /* answered after the timeout, or never asked: the ID is of no query in flight */
    uint64_t mismatch; /* the ID is right and the question is another: not counted as an answer */
    uint64_t refused;  /* ECONNREFUSED: nobody listens */
    uint64_t in_time;  /* answers before the sending ended: what the rate is made of */
    uint64_t bucket[BUCKETS], latency_max_ns;
    uint64_t last_answer_ns, gap_max_ns, idle_ns;
} counts;

static inline unsigned bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    return ((top - STEP_BITS + 1) << STEP_BITS) + (unsigned)((ns >> (top - STEP_BITS)) & (STEPS - 1));
}

/* The least latency of a bucket, in ns. */
static inline uint64_t bucket_ns(unsigned bucket)
{
    if (bucket < STEPS)
        return bucket;
    return (uint64_t)(STEPS + (bucket & (STEPS - 1))) << ((bucket >> STEP_BITS) - 1);
}

static inline void count_latency(counts *c, uint64_t ns)
{
    c->bucket[bucket_of(ns)]++;
    if (ns > c->latency_max_ns)
        c->latency_max_ns = ns;
}

static inline void count_gap(counts *c, uint64_t now)
{
    if (now - c->last_answer_ns > c->gap_max_ns)
        c->gap_max_ns = now - c->last_answer_ns;
    c->last_answer_ns = now;
}

static inline double percentile_us(const counts *c, double share)
{
    uint64_t all = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        all += c->bucket[i];
    for (unsigned i = 0; i < BUCKETS; i++)
        if ((seen += c->bucket[i]) && (double)seen >= share * (double)all)
            return (double)bucket_ns(i) / 1e3;
    return 0;
}

static inline uint64_t sum(const uint64_t *of_class)
{
    return of_class[BLOCKED] + of_class[CACHED] + of_class[MISS];
}

static inline void print_counts(const counts *c, double seconds, double cpu_seconds)
{
    printf("{\"seconds\": %.4f, \"cpu_seconds\": %.4f, \"idle_share\": %.4f, \"rate\": %.1f, ", seconds, cpu_seconds,
           (double)c->idle_ns / 1e9 / seconds, (double)c->in_time / seconds);
    printf("\"sent\": %llu, \"answered\": %llu, \"lost\": %llu, \"late\": %llu, \"mismatch\": %llu, \"refused\": %llu, ",
           (unsigned long long)sum(c->sent), (unsigned long long)sum(c->answered), (unsigned long long)sum(c->lost),
           (unsigned long long)c->late, (unsigned long long)c->mismatch, (unsigned long long)c->refused);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"gap_max_ms\": %.3f, \"classes\": {", percentile_us(c, 0.5),
           percentile_us(c, 0.99), (double)c->latency_max_ns / 1e3, (double)c->gap_max_ns / 1e6);
    for (int k = 0; k < CLASSES; k++) {
        const char *comma = "";
        printf("%s\"%s\": {\"sent\": %llu, \"answered\": %llu, \"lost\": %llu, \"empty\": %llu, \"rcodes\": {", k ? ", " : "", CLASS_NAMES[k],
               (unsigned long long)c->sent[k], (unsigned long long)c->answered[k], (unsigned long long)c->lost[k],
               (unsigned long long)c->empty[k]);
        for (int r = 0; r < RCODES; r++)
            if (c->rcode[k][r]) {
                printf("%s\"%d\": %llu", comma, r, (unsigned long long)c->rcode[k][r]);
                comma = ", ";
            }
        printf("}}");
    }
    printf("}}\n");
}

#endif
