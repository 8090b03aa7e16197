/* One message in; an answer, a question for Python, or silence out. All that a worker's DNS half knows is in a `dns_core`.
 *
 * The order: is it a query (question.h) -> may this core answer at all -> the table speaks about the name -> the answer cache ->
 * a failure that holds -> ask. Policy comes before the cache and is never cached (RFC 8767 §5): a name that a swap blocks is blocked
 * in the next answer. What an answer leads to is policy too: targets are judged when it comes in, and again at its next use after
 * each swap; an answer with a target that speaks is judged at every use, so that shadow hits are counted for cached answers as well.
 *
 * A question of class CH and a zone transfer are refused. Other classes go upstream as they are (RFC 3597 §3); a blocked name is
 * blocked in every class, since QCLASS=ANY would carry the IN records.
 */
#ifndef BLOCKD_CORE_H
#define BLOCKD_CORE_H

#include "cache_key.h"
#include "counts.h"
#include "reply.h"
#include "shared_cache.h"
#include "verdicts.h"

/* What is in force. A swap makes another; each thread takes it between two batches (worker.h). */
typedef struct {
    table_view table;
    uint8_t has_table, not_ready;
    verdicts verdicts;
    uint8_t *url_hosts; /* by set: the mark on hosts of URL entries is in force; 0: every mark is */
    answer_settings settings;
    uint32_t epoch; /* of the table: one up at each swap */
} core_policy;

/* One thread's half: nobody else touches it but for `shared`, which has locks. */
typedef struct {
    core_policy policy;
    shared_cache *shared;
    counts counts;
    sip_key key;           /* of cache keys: the same in all threads of a process */
    reply_map *map;
    uint8_t *scratch;      /* ANSWER_MAX octets */
    uint64_t hits, misses; /* of the cache */
} dns_core;

enum { CORE_STALE_TTL_S = 30 }; /* of an old answer (RFC 8767 §4) */

enum { CORE_SILENCE, CORE_ANSWER, CORE_ASK_MISS, CORE_ASK_HITS };

typedef struct {
    uint8_t kind, source;
    uint16_t rcode;
    uint32_t size; /* octets of the answer */
    verdict_hits hits;
} core_outcome;

/* The part of an answer behind its question, and what goes around it. */
typedef struct {
    const uint8_t *bytes;
    uint32_t size, additional; /* octets; the latter are the last of it */
    uint16_t counts[3];
    uint16_t rcode;
    int16_t ede;
} core_body;

static inline void core_answered(core_outcome *o, size_t size, unsigned rcode, unsigned source)
{
    o->kind = CORE_ANSWER;
    o->size = (uint32_t)size;
    o->rcode = (uint16_t)rcode;
    o->source = (uint8_t)source;
}

/* `out` holds the question. Additional records that don't fit are left out (RFC 2181 §9); if that is not enough, TC=1 and nothing else. */
static inline void core_write(uint8_t *out, size_t room, const dns_question *q, const core_body *b, uint32_t elapsed_s, unsigned source, core_outcome *o)
{
    unsigned rcode = answer_rcode(q, b->rcode);
    size_t opt = answer_opt_bytes(q, b->ede), size = b->size, additional = b->counts[2];
    if (q->end + size + opt > room) {
        size -= b->additional;
        additional = 0;
    }
    if (q->end + size + opt > room) {
        core_answered(o, answer_bare(out, room, q, rcode, b->ede, 1), rcode, source);
        return;
    }
    writer w = answer_begin(out, room, q);
    answer_header(out, q, rcode, 0);
    put_bytes(&w, b->bytes, size);
    if (elapsed_s)
        record_age(out, writer_at(&w), q->end, (unsigned)(b->counts[0] + b->counts[1] + additional), elapsed_s);
    additional += answer_opt(&w, q, rcode, b->ede);
    answer_count(out, b->counts[0], b->counts[1], (unsigned)additional);
    core_answered(o, writer_at(&w), rcode, source);
}

static inline void core_take_hits(const dns_core *c, const dns_name *name, table_asks *a, verdict_hits *h)
{
    table_hit found[TABLE_HITS_MAX];
    unsigned n = table_answer(&c->policy.table, name, a, found);
    if (n == TABLE_HITS_MAX) /* there may have been more: the most specific ones are judged */
        counts_limit(&c->counts, LIMIT_HITS, 1);
    verdicts_take(&c->policy.verdicts, found, n, h);
}

static inline void core_look_up(const dns_core *c, const dns_name *name, verdict_hits *h)
{
    table_asks a;
    h->n = h->url_host = 0;
    if (!c->policy.has_table || !name->labels)
        return;
    table_begin(&c->policy.table, &a);
    table_ask(&c->policy.table, name, &a);
    core_take_hits(c, name, &a, h);
}

static inline void core_count(const dns_core *c, const verdict *v)
{
    if (v->hit_cell >= 0)
        counts_add(&c->counts, (uint32_t)v->hit_cell, 1);
    for (uint32_t i = 0; i < v->n_shadow; i++)
        counts_add(&c->counts, c->policy.verdicts.cells[v->shadow_at + i], 1);
}

/* The answer of a verdict that acts, counted. */
static inline void core_block(const dns_core *c, const dns_question *q, const verdict *v, uint8_t *out, size_t room, core_outcome *o)
{
    core_count(c, v);
    o->kind = CORE_SILENCE;
    if (v->action == ACTION_DROP)
        return;
    unsigned rcode = RCODE_NXDOMAIN;
    size_t size = answer_blocked(out, room, q, &c->policy.settings, v->action, v->ede, &rcode);
    core_answered(o, size, rcode, SOURCE_POLICY);
}

typedef struct {
    const uint8_t *message;
    size_t size, at;
    unsigned records, targets; /* left */
} target_walk;

/* The next target of an answer section that reply_copy wrote. Returns 1 with its hits, 0 at the end, -1 when malformed or too many. */
static inline int core_next_target(const dns_core *c, target_walk *t, verdict_hits *h)
{
    dns_record r;
    dns_name name;
    while (t->records) {
        t->records--;
        if (!record_next(t->message, t->size, &t->at, &r))
            return -1;
        int is = record_target(t->message, &r, &name);
        if (is < 0 || (is && !t->targets))
            return -1;
        if (!is)
            continue;
        t->targets--;
        core_look_up(c, &name, h);
        return 1;
    }
    return 0;
}

/* Judge a cached answer's targets by the table of now. Returns 0 when it may not be used; else what its shadow hits are is counted. */
static inline int core_judge_cached(dns_core *c, cache_entry *e, const dns_question *q, const uint8_t *question)
{
    const verdict *spoken[REPLY_TARGETS_MAX], *v = 0;
    unsigned n = 0, i;
    memcpy(c->scratch, question, q->end);
    memcpy(c->scratch + q->end, cache_body(e), e->body_bytes);
    target_walk t = { c->scratch, (size_t)q->end + e->body_bytes, q->end, e->counts[0], REPLY_TARGETS_MAX };
    verdict_hits h;
    int more;
    while ((more = core_next_target(c, &t, &h)) > 0) {
        int judged = verdicts_judge(&c->policy.verdicts, &h, &v);
        if (judged == JUDGED_NOTHING)
            continue;
        if (judged == JUDGED_ASK || v->action != ACTION_NONE)
            return 0;
        for (i = 0; i < n && spoken[i] != v; i++)
            ;
        if (i == n)
            spoken[n++] = v;
    }
    if (more < 0)
        return 0;
    e->epoch = c->policy.epoch;
    e->speaks = n != 0;
    for (i = 0; i < n; i++)
        core_count(c, spoken[i]);
    return 1;
}

/* Write a cached answer whose targets may be told of. `stale`: its time is up (RFC 8767 §4). */
static inline void core_write_cached(cache_entry *e, const dns_question *q, uint64_t now_ms, int stale, uint8_t *out, size_t room, core_outcome *o)
{
    int ede = !stale ? e->ede : e->rcode == RCODE_NXDOMAIN ? EDE_STALE_NXDOMAIN : EDE_STALE;
    core_body b = { cache_body(e), e->body_bytes, e->additional_bytes, { e->counts[0], e->counts[1], e->counts[2] }, e->rcode, (int16_t)ede };
    uint32_t elapsed_s = now_ms > e->stored_ms ? (uint32_t)((now_ms - e->stored_ms) / 1000) : 0;
    core_write(out, room, q, &b, stale ? 0 : elapsed_s, SOURCE_CACHE, o);
    if (stale)
        record_set_ttl(out, o->size, q->end, (unsigned)(load_u16(out + 6) + load_u16(out + 8) + load_u16(out + 10) - (q->opt != 0)), CORE_STALE_TTL_S);
}

/* What is known without asking: a cached answer, a failure that holds (then rather an old answer than none); else CORE_ASK_MISS.
 * `out` holds the question. `stale_now`: an old answer is wanted at once. */
static inline void core_known(dns_core *c, const dns_question *q, fingerprint key, uint64_t now_ms, int stale_now, uint8_t *out, size_t room, core_outcome *o)
{
    shared_part *p = shared_lock(c->shared, key);
    cache_entry *e = cache_find(&p->cache, key, now_ms);
    int stale = e && cache_expired(e, now_ms), held = (!e || stale) && failures_hold(&p->failures, key, now_ms);
    int wanted = e && (!stale || stale_now || held);
    o->kind = CORE_ASK_MISS;
    if (wanted && (e->question_bytes != q->end || ((e->epoch != c->policy.epoch || e->speaks) && !core_judge_cached(c, e, q, out)))) {
        cache_drop(&p->cache, e);
        wanted = 0;
    }
    if (wanted) {
        c->hits++;
        core_write_cached(e, q, now_ms, stale, out, room, o);
    } else if (!stale_now) {
        c->misses++;
        if (held)
            core_answered(o, answer_bare(out, room, q, RCODE_SERVFAIL, EDE_CACHED_ERROR, 0), RCODE_SERVFAIL, SOURCE_ERROR);
    }
    shared_unlock(p);
}

static inline int core_url_host(const dns_core *c, const dns_question *q, const verdict_hits *h)
{
    return h->url_host && (q->type == TYPE_HTTPS || q->type == TYPE_SVCB) && (!c->policy.url_hosts || c->policy.url_hosts[h->url_set]);
}

/* What needs no look at the table. Returns 0 when the question goes on. */
static inline int core_refuse(const dns_core *c, const dns_question *q, int rcode, uint8_t *out, size_t room, core_outcome *o)
{
    int ede = EDE_NONE;
    if (!rcode && (q->qclass == CLASS_CH || q->type == TYPE_AXFR || q->type == TYPE_IXFR))
        rcode = RCODE_REFUSED;
    if (!rcode && c->policy.not_ready) {
        rcode = RCODE_SERVFAIL;
        ede = EDE_NOT_READY;
    }
    if (rcode)
        core_answered(o, answer_bare(out, room, q, (unsigned)rcode, ede, 0), (unsigned)rcode, SOURCE_ERROR);
    return rcode != 0;
}

/* One message on its way through the core. */
typedef struct {
    dns_question q;
    table_asks asks;
    fingerprint key; /* of the caches, once the table has let it pass */
    uint32_t room;   /* octets that the answer may have */
    uint8_t going;   /* the next stage has something to do */
} core_work;

/* The three stages of a message from a client. A thread takes a whole batch through each before the next, so that what one stage has
 * asked memory for is there in the next; core_handle takes one message through all.
 *
 * `out` has ANSWER_MAX octets, over UDP ANSWER_SMALL_MAX or udp_max, the larger. Counts the request; what comes of it is the caller's to
 * count (core_counted), since the caller has the clock. `w->q` is filled unless the outcome is silence. */
static inline void core_begin(dns_core *c, const uint8_t *in, size_t n, unsigned transport, unsigned family, core_work *w, uint8_t *out, core_outcome *o)
{
    int rcode = question_walk(in, n, &w->q);
    o->kind = CORE_SILENCE;
    o->hits.n = o->hits.url_host = 0;
    w->going = 0;
    if (rcode == QUESTION_SILENCE)
        return;
    counts_request(&c->counts, transport, family, w->q.type);
    memcpy(out, in, w->q.end);
    w->room = answer_room(&w->q, c->policy.settings.udp_max, transport != TRANSPORT_UDP);
    if (core_refuse(c, &w->q, rcode, out, w->room, o))
        return;
    w->going = 1;
    if (!c->policy.has_table || !w->q.name.labels)
        return;
    table_begin(&c->policy.table, &w->asks);
    table_ask(&c->policy.table, &w->q.name, &w->asks);
}

/* What the table says. */
static inline void core_decide(dns_core *c, core_work *w, uint8_t *out, core_outcome *o)
{
    const verdict *v = 0;
    const dns_question *q = &w->q;
    if (c->policy.has_table && q->name.labels)
        core_take_hits(c, &q->name, &w->asks, &o->hits);
    int judged = verdicts_judge(&c->policy.verdicts, &o->hits, &v);
    w->going = 0;
    if (judged == JUDGED_ASK) {
        o->kind = CORE_ASK_HITS;
        w->key = cache_key(c->key, q);
        return;
    }
    if (judged == JUDGED_VERDICT && v->action != ACTION_NONE) {
        core_block(c, q, v, out, w->room, o);
        return;
    }
    if (judged == JUDGED_VERDICT)
        core_count(c, v);
    if (core_url_host(c, q, &o->hits)) {
        core_answered(o, answer_negative(out, w->room, q, RCODE_NOERROR, EDE_NONE, c->policy.settings.ttl_s), RCODE_NOERROR, SOURCE_POLICY);
        return;
    }
    w->key = cache_key(c->key, q);
    w->going = 1;
    shared_prefetch(c->shared, w->key);
}

static inline void core_recall(dns_core *c, core_work *w, uint64_t now_ms, uint8_t *out, core_outcome *o)
{
    core_known(c, &w->q, w->key, now_ms, 0, out, w->room, o);
}

static inline void core_handle(
    dns_core *c, const uint8_t *in, size_t n, unsigned transport, unsigned family, uint64_t now_ms, core_work *w, uint8_t *out, core_outcome *o)
{
    core_begin(c, in, n, transport, family, w, out, o);
    if (w->going)
        core_decide(c, w, out, o);
    if (w->going)
        core_recall(c, w, now_ms, out, o);
}

/* A client that may not ask: REFUSED, EDE 18, whatever it asked. */
static inline void core_prohibit(dns_core *c, const uint8_t *in, size_t n, unsigned transport, unsigned family, dns_question *q, uint8_t *out, core_outcome *o)
{
    int rcode = question_walk(in, n, q);
    o->kind = CORE_SILENCE;
    if (rcode == QUESTION_SILENCE)
        return;
    counts_request(&c->counts, transport, family, q->type);
    memcpy(out, in, q->end);
    size_t room = answer_room(q, c->policy.settings.udp_max, transport != TRANSPORT_UDP);
    core_answered(o, answer_bare(out, room, q, RCODE_REFUSED, EDE_PROHIBITED, 0), RCODE_REFUSED, SOURCE_ERROR);
}

/* A client above its rate. `out` 0: nothing goes back; else TC=1 and nothing else, which takes a real client to TCP. */
static inline void core_slip(dns_core *c, const uint8_t *in, size_t n, unsigned transport, unsigned family, dns_question *q, uint8_t *out, core_outcome *o)
{
    int rcode = question_walk(in, n, q);
    o->kind = CORE_SILENCE;
    if (rcode == QUESTION_SILENCE)
        return;
    counts_request(&c->counts, transport, family, q->type);
    if (!out || rcode)
        return;
    memcpy(out, in, q->end);
    core_answered(o, answer_bare(out, answer_room(q, c->policy.settings.udp_max, 0), q, RCODE_NOERROR, EDE_NONE, 1), RCODE_NOERROR, SOURCE_ERROR);
}

static inline void core_counted(const dns_core *c, const core_outcome *o, uint64_t ns)
{
    if (o->kind == CORE_ANSWER) {
        counts_response(&c->counts, o->rcode, o->source);
        counts_duration(&c->counts, o->source, ns, 1);
    }
}

/* Keep an answer that passed the walk. `epoch`: of the table its targets were judged by. */
static inline void core_keep(dns_core *c, fingerprint key, const dns_question *q, const core_body *b, uint32_t ttl_s, uint32_t epoch, int speaks, uint64_t now_ms)
{
    cache_entry head = {
        .hi = key.hi, .lo = key.lo, .stored_ms = now_ms, .ttl_s = ttl_s, .epoch = epoch, .speaks = speaks != 0, .rcode = (uint8_t)b->rcode, .ede = b->ede,
        .counts = { b->counts[0], b->counts[1], b->counts[2] }, .question_bytes = q->end, .body_bytes = (uint16_t)b->size, .additional_bytes = (uint16_t)b->additional,
    };
    if (!ttl_s)
        return;
    shared_part *p = shared_lock(c->shared, key);
    uint64_t before = p->cache.evictions;
    if (p->cache.units)
        cache_store(&p->cache, &head, b->bytes, now_ms);
    counts_limit(&c->counts, LIMIT_CACHE, p->cache.evictions - before);
    shared_unlock(p);
}

/* No upstream could answer. */
static inline void core_fail(dns_core *c, fingerprint key, uint64_t now_ms)
{
    shared_part *p = shared_lock(c->shared, key);
    uint64_t before = p->failures.evictions;
    failures_add(&p->failures, key, now_ms);
    counts_limit(&c->counts, LIMIT_FAILURE_CACHE, p->failures.evictions - before);
    shared_unlock(p);
}

static inline void core_recovered(dns_core *c, fingerprint key)
{
    shared_part *p = shared_lock(c->shared, key);
    failures_forget(&p->failures, key);
    shared_unlock(p);
}

/* An rcode that speaks of our query, not of the client's question, is SERVFAIL to the client. */
static inline uint16_t core_client_rcode(uint16_t rcode)
{
    return rcode == RCODE_FORMERR || rcode == RCODE_NOTAUTH || rcode == RCODE_BADVERS || rcode == RCODE_BADCOOKIE ? RCODE_SERVFAIL : rcode;
}

#endif
