/* A client's question that could not be answered at once: what is needed to answer it later, whoever does that. And the ring that takes such
 * questions from a native thread up to Python.
 *
 * One thread puts, one takes; a place belongs to the taker from the moment that `head` passes it until `tail` does. When the ring is full the
 * question is answered with SERVFAIL, and a counter goes up.
 */
#ifndef BLOCKD_ASKED_H
#define BLOCKD_ASKED_H

#include "core.h"
#include "udp.h"

enum { ASKED_RING_MAX = 2048 }; /* questions; a power of two */

enum { ASKED_MISS, ASKED_HITS, ASKED_TIMEOUT, ASKED_TRUNCATED, ASKED_FAILED, ASKED_SPOOFED, ASKED_WHYS };

static const char *const ASKED_WORDS[ASKED_WHYS] = { "miss", "hits", "timeout", "truncated", "failed", "spoofed" };

typedef struct {
    dns_question q;
    uint8_t question[QUESTION_BYTES_MAX]; /* header and question as they came */
    uint8_t why;
    int16_t upstream;  /* that was tried; -1: none */
    uint32_t epoch;    /* of the table that judged the name */
    fingerprint key;   /* of the caches */
    uint64_t since_ns;
    verdict_hits hits;
    udp_client client;
} asked;

static inline void asked_fill(asked *a, const dns_question *q, const uint8_t *question, const verdict_hits *hits, fingerprint key, uint32_t epoch, uint64_t since_ns)
{
    a->q = *q;
    memcpy(a->question, question, q->end);
    a->why = ASKED_MISS;
    a->upstream = -1;
    a->epoch = epoch;
    a->key = key;
    a->since_ns = since_ns;
    a->hits = *hits;
}

/* The query to send upstream under `id`: RD=1, CD and DO copied, our own OPT without options, the name's case as asked.
 * `out` has QUESTION_BYTES_MAX + 16 octets. Returns its octets. */
static inline size_t asked_upstream(const dns_question *q, const uint8_t *question, uint16_t id, uint8_t *out)
{
    dns_question ours = { .opt = 1, .dnssec_ok = q->dnssec_ok, .end = q->end };
    memcpy(out, question, q->end);
    writer w = answer_begin(out, QUESTION_BYTES_MAX + 16, &ours);
    store_u16(out, id);
    store_u16(out + 2, FLAG_RD | (q->flags & FLAG_CD));
    store_u16(out + 4, 1);
    answer_count(out, 0, 0, answer_opt(&w, &ours, 0, EDE_NONE));
    return writer_at(&w);
}

typedef struct {
    asked *places; /* ASKED_RING_MAX */
    uint32_t head __attribute__((aligned(64))); /* next to be put; the putter's */
    uint32_t tail __attribute__((aligned(64))); /* next to be taken; the taker's */
} asked_ring;

/* The place to fill, or 0 when the ring is full. */
static inline asked *ring_place(asked_ring *r)
{
    uint32_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
    return r->head - tail < ASKED_RING_MAX ? &r->places[r->head % ASKED_RING_MAX] : 0;
}

static inline void ring_put(asked_ring *r) { __atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE); }

/* The oldest question, or 0. It stays until ring_took. */
static inline const asked *ring_peek(const asked_ring *r)
{
    return __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) != r->tail ? &r->places[r->tail % ASKED_RING_MAX] : 0;
}

static inline void ring_took(asked_ring *r) { __atomic_store_n(&r->tail, r->tail + 1, __ATOMIC_RELEASE); }

#endif
