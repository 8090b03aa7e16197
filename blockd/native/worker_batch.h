/* A batch of queries from one door: each stage for all of them before the next, so that memory is waited for once (core.h), then one
 * system call for all answers, one for each socket that queries leave by.
 */
#ifndef BLOCKD_WORKER_BATCH_H
#define BLOCKD_WORKER_BATCH_H

#include "worker_upstream.h"

/* The first look at datagram `i`: may its sender ask, and how often; then the core's first stage. */
static inline void worker_open(worker *w, unsigned i, uint64_t now_ms)
{
    udp_batch *b = &w->batch;
    core_work *work = &w->work[i];
    core_outcome *o = &w->outcome[i];
    uint8_t address[16], *out = b->answer[i];
    unsigned family = udp_sender(&b->address[i], address);
    size_t n = b->in[i].msg_len;
    work->going = 0;
    o->kind = CORE_SILENCE;
    if (!family)
        return;
    int rate = w->rate.limit ? rate_take(&w->rate, address, family, now_ms) : RATE_PASS;
    if (rate != RATE_PASS) {
        counts_limit(&w->core.counts, LIMIT_RATE, 1);
        worker_figure(&w->figures.rate_limited, 1);
        core_slip(&w->core, b->packet[i], n, TRANSPORT_UDP, family, &work->q, rate == RATE_SLIP ? out : 0, o);
    } else if (acl_allows(w->list, address))
        core_begin(&w->core, b->packet[i], n, TRANSPORT_UDP, family, work, out, o);
    else
        core_prohibit(&w->core, b->packet[i], n, TRANSPORT_UDP, family, &work->q, out, o);
}

/* A question that nothing here answers, in a place of its own: forwarded from here, or handed to Python. */
static inline void worker_miss(worker *w, unsigned i, const udp_client *client, uint16_t *refused)
{
    forward *f = &w->forward;
    core_work *work = &w->work[i];
    const core_outcome *o = &w->outcome[i];
    asked up;
    int plain = o->kind == CORE_ASK_MISS && f->n_order && !worker_is_local(w, &work->q.name);
    int64_t place = plain ? forward_join(f, work->key, w->now_ns / 1000000) : PENDING_NONE;
    asked *a = place != PENDING_NONE ? forward_wait(f, (uint32_t)place) : &up;
    if (!a || !plain || place == PENDING_NONE)
        a = &up;
    asked_fill(a, &work->q, w->batch.packet[i], &o->hits, work->key, w->core.policy.epoch, w->now_ns);
    a->why = o->kind == CORE_ASK_HITS ? ASKED_HITS : ASKED_MISS;
    a->client = *client;
    if (!plain) {
        worker_up(w, a, a->why, -1);
        return;
    }
    if (a == &up) {
        counts_limit(&w->core.counts, place == PENDING_NONE ? LIMIT_PENDING : LIMIT_FORWARD_WAITERS, 1);
        if (place != PENDING_NONE && !f->queries[place].waiters) /* it was opened for this client */
            forward_forget(f, (uint32_t)place);
        worker_fail(w, a, RCODE_SERVFAIL, EDE_NONE);
        return;
    }
    forward_query *query = &f->queries[place];
    if (query->waiters > 1) {
        f->coalesced++;
        return;
    }
    query->hedge_next = f->n_order > 1;
    if (f->hedge_budget < FORWARD_HEDGES_SAVED * FORWARD_HEDGE_EVERY)
        f->hedge_budget++;
    f->forwarded++;
    forward_rearm(f, (uint32_t)place, forward_due(f, query, w->now_ns / 1000000));
    if (!forward_send(f, (uint32_t)place, f->order[0], w->now_ns, refused)) {
        counts_limit(&w->core.counts, LIMIT_UPSTREAM_SOCKETS, 1);
        worker_escalate(w, (uint32_t)place, ASKED_MISS, -1);
    }
}

/* Lay the answer to datagram `i`. */
static inline void worker_lay_own(worker *w, unsigned i)
{
    udp_batch *b = &w->batch;
    size_t bytes = 0;
    if (b->in[i].msg_hdr.msg_controllen) {
        uint8_t control[UDP_REPLY_CONTROL_BYTES] __attribute__((aligned(8)));
        bytes = udp_reply_from(&b->in[i].msg_hdr, control);
        memcpy(b->control[i], control, bytes); /* what was received there has been read */
    }
    udp_lay(b, w->n_out++, &b->address[i], b->in[i].msg_hdr.msg_namelen, b->control[i], bytes, b->answer[i], w->outcome[i].size);
}

/* What could not be answered. Answers that are ready have left by now, so the places for answers are free. */
static inline void worker_misses(worker *w, unsigned door, unsigned n)
{
    uint16_t refused = FORWARD_NO_SOCKET;
    for (unsigned i = 0; i < n; i++) {
        udp_client client = { .door = (uint16_t)door };
        if (w->outcome[i].kind != CORE_ASK_MISS && w->outcome[i].kind != CORE_ASK_HITS)
            continue;
        client.address = w->batch.address[i];
        client.address_bytes = (uint8_t)w->batch.in[i].msg_hdr.msg_namelen;
        client.control_bytes = (uint8_t)udp_reply_from(&w->batch.in[i].msg_hdr, client.control);
        worker_miss(w, i, &client, &refused);
    }
    forward_flush(&w->forward, &refused);
    worker_send(w);
    if (refused != FORWARD_NO_SOCKET)
        worker_abandon(w, refused, ASKED_FAILED);
    worker_send(w);
}

/* Datagrams have been received into the batch: answer them. The lock is held. */
static inline void worker_batch(worker *w, unsigned door, unsigned n)
{
    uint64_t by_source[COUNTS_SOURCES] = { 0 }, now_ms = w->now_ns / 1000000;
    unsigned misses = 0;
    worker_figure(&w->figures.batches, 1);
    worker_figure(&w->figures.packets, n);
    for (unsigned i = 0; i < n; i++)
        worker_open(w, i, now_ms);
    for (unsigned i = 0; i < n; i++)
        if (w->work[i].going)
            core_decide(&w->core, &w->work[i], w->batch.answer[i], &w->outcome[i]);
    for (unsigned i = 0; i < n; i++)
        if (w->work[i].going)
            shared_hint(w->core.shared, w->work[i].key);
    w->out_door = door;
    for (unsigned i = 0; i < n; i++) {
        core_outcome *o = &w->outcome[i];
        if (w->work[i].going)
            core_recall(&w->core, &w->work[i], now_ms, w->batch.answer[i], o);
        misses += o->kind == CORE_ASK_MISS || o->kind == CORE_ASK_HITS;
        if (o->kind != CORE_ANSWER)
            continue;
        counts_response(&w->core.counts, o->rcode, o->source);
        by_source[o->source]++;
        worker_lay_own(w, i);
    }
    worker_send(w);
    uint64_t took_ns = worker_clock_ns() - w->now_ns; /* of the batch: each answer left with it */
    for (unsigned s = 0; s < COUNTS_SOURCES; s++)
        if (by_source[s])
            counts_duration(&w->core.counts, s, took_ns, by_source[s]);
    if (misses)
        worker_misses(w, door, n);
    counts_flush(&w->core.counts);
}

#endif
