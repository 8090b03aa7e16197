/* What comes back from upstreams, and what does not come back in time.
 *
 * An answer is worth something when it came on the socket and under the ID of a query that is open, asks that question, and passes the walk
 * (reply.h). Then its targets are judged by the table of now, it is cached, and everybody who waits gets an answer of his own. A listed target
 * makes it the blocked answer, whole; one that needs thought sends the question up. Failures, truncation, silence and packets that look like
 * guesses go up too: Python knows more upstreams and more transports.
 */
#ifndef BLOCKD_WORKER_UPSTREAM_H
#define BLOCKD_WORKER_UPSTREAM_H

#include "worker_state.h"

/* What an answer's targets come to. */
typedef struct {
    const verdict *blocks, *notes[REPLY_TARGETS_MAX];
    uint8_t n_notes, speaks, ask, malformed;
} worker_targets;

static inline void worker_judge_targets(const worker *w, const reply *r, const dns_question *q, worker_targets *t)
{
    const dns_core *c = &w->core;
    target_walk walk = { w->answer, r->size, q->end, r->counts[0], REPLY_TARGETS_MAX };
    verdict_hits h;
    int more;
    *t = (worker_targets){ 0 };
    while ((more = core_next_target(c, &walk, &h)) > 0) {
        const verdict *v = 0;
        int judged = verdicts_judge(&c->policy.verdicts, &h, &v);
        unsigned i = 0;
        if (judged == JUDGED_NOTHING)
            continue;
        t->speaks = 1;
        if (judged == JUDGED_ASK || v->action != ACTION_NONE) {
            t->ask = judged == JUDGED_ASK;
            t->blocks = judged == JUDGED_ASK ? 0 : v;
            return;
        }
        while (i < t->n_notes && t->notes[i] != v)
            i++;
        if (i == t->n_notes)
            t->notes[t->n_notes++] = v; /* counted once, however many targets it has */
    }
    t->malformed = more < 0;
    if (more < 0)
        counts_limit(&c->counts, LIMIT_ANSWER_RECORDS, !walk.targets);
}

/* One who waited since before a swap: what does the table of now say of the name? Returns 0 when he has been dealt with. */
static inline int worker_still_passes(worker *w, asked *a)
{
    const verdict *v = 0;
    core_outcome o;
    if (a->epoch == w->core.policy.epoch)
        return 1;
    a->epoch = w->core.policy.epoch;
    core_look_up(&w->core, &a->q.name, &a->hits);
    int judged = verdicts_judge(&w->core.policy.verdicts, &a->hits, &v);
    if (judged == JUDGED_ASK) {
        worker_up(w, a, ASKED_HITS, -1);
        return 0;
    }
    int blocks = judged == JUDGED_VERDICT && v->action != ACTION_NONE;
    if (!blocks && !core_url_host(&w->core, &a->q, &a->hits))
        return 1;
    uint8_t *out = worker_room(w, &a->client);
    size_t room = answer_room(&a->q, w->core.policy.settings.udp_max, 0);
    memcpy(out, a->question, a->q.end);
    if (blocks)
        core_block(&w->core, &a->q, v, out, room, &o);
    else
        core_answered(&o, answer_negative(out, room, &a->q, RCODE_NOERROR, EDE_NONE, w->core.policy.settings.ttl_s), RCODE_NOERROR, SOURCE_POLICY);
    worker_answer(w, a, &o);
    return 0;
}

static inline void worker_give(worker *w, const asked *a, const core_body *b, const worker_targets *t)
{
    core_outcome o;
    uint8_t *out = worker_room(w, &a->client);
    size_t room = answer_room(&a->q, w->core.policy.settings.udp_max, 0);
    memcpy(out, a->question, a->q.end);
    if (t->blocks)
        core_block(&w->core, &a->q, t->blocks, out, room, &o);
    else {
        for (unsigned i = 0; i < t->n_notes; i++)
            core_count(&w->core, t->notes[i]);
        core_write(out, room, &a->q, b, 0, SOURCE_UPSTREAM, &o);
    }
    worker_answer(w, a, &o);
}

/* An answer that can be used: keep it, give it to everybody. */
static inline void worker_finish(worker *w, uint32_t place, const reply *r)
{
    forward *f = &w->forward;
    const asked *first = &f->waiters[f->queries[place].first].a;
    fingerprint key = first->key;
    worker_targets t;
    worker_judge_targets(w, r, &first->q, &t);
    if (t.ask || t.malformed) {
        worker_escalate(w, place, t.ask ? ASKED_MISS : ASKED_FAILED, t.ask ? -1 : (int)f->queries[place].sent[0].upstream);
        return;
    }
    uint32_t end = first->q.end;
    core_body b = { w->answer + end, r->size - end, r->size - r->additional_at, { r->counts[0], r->counts[1], r->counts[2] }, core_client_rcode(r->rcode), r->ede };
    core_recovered(&w->core, key);
    if (!t.blocks)
        core_keep(&w->core, key, &first->q, &b, r->ttl_s, w->core.policy.epoch, t.speaks, w->now_ns / 1000000);
    uint32_t waiter = f->queries[place].first;
    forward_forget(f, place);
    while (waiter != FORWARD_NOBODY) {
        asked *a = &f->waiters[waiter].a;
        if (worker_still_passes(w, a))
            worker_give(w, a, &b, &t);
        waiter = forward_leave(f, waiter);
    }
}

/* Every query of this socket goes another way. */
static inline void worker_abandon(worker *w, uint16_t at, unsigned why)
{
    forward *f = &w->forward;
    forward_socket *s = &f->sockets.sockets[at];
    forward_upstream *u = &f->upstreams[s->upstream];
    if (s->fd < 0)
        return;
    for (unsigned i = 0; i < FORWARD_POOL; i++)
        if (u->pool[i] == at)
            u->pool[i] = FORWARD_NO_SOCKET;
    s->taking = 1; /* so that it is not closed under the loop */
    for (unsigned i = 0; i < s->uses; i++)
        if (s->query[i]) {
            uint32_t place = s->query[i] - 1;
            u->timeouts += why == ASKED_FAILED;
            worker_escalate(w, place, why, s->upstream);
        }
    forward_close(&f->sockets, at);
}

/* How long the answer on socket `at` took. One that the hedge was faster than has taken at least so long. */
static inline void worker_took(worker *w, const forward_query *query, uint16_t at)
{
    for (unsigned i = 0; i < query->n_sent; i++) {
        forward_upstream *u = &w->forward.upstreams[query->sent[i].upstream];
        uint64_t took_ns = w->now_ns - query->sent[i].sent_ns;
        if (query->sent[i].socket == at || (double)took_ns / 1000 > u->late_us)
            forward_rtt(u, took_ns);
    }
}

/* One packet on a socket. Returns 0 when the socket is gone. */
static inline int worker_packet(worker *w, uint16_t at, const uint8_t *packet, size_t n)
{
    forward *f = &w->forward;
    forward_socket *s = &f->sockets.sockets[at];
    forward_upstream *u = &f->upstreams[s->upstream];
    int slot = n >= HEADER_BYTES ? forward_slot(s, load_u16(packet)) : -1;
    reply r;
    if (slot >= 0 && !s->query[slot])
        return 1; /* late, or a second time: its question has gone another way */
    uint32_t place = slot < 0 ? 0 : s->query[slot] - 1;
    const asked *first = slot < 0 ? 0 : &f->waiters[f->queries[place].first].a;
    int walked = REPLY_MISMATCH;
    if (first) {
        memcpy(w->answer, first->question, first->q.end);
        walked = reply_copy(packet, n, s->id[slot], &first->q, w->core.map, w->answer, &r);
    }
    if (walked == REPLY_MISMATCH) {
        u->mismatches++;
        if (++s->wrong < FORWARD_WRONG_MAX)
            return 1;
        worker_abandon(w, at, ASKED_SPOOFED);
        return 0;
    }
    worker_took(w, &f->queries[place], at);
    int upstream = s->upstream;
    counts_limit(&w->core.counts, LIMIT_ANSWER_RECORDS, walked == REPLY_BUDGET);
    if (walked != REPLY_OK) {
        u->malformed++;
        worker_escalate(w, place, ASKED_FAILED, upstream);
    } else if (r.truncated || r.failed) {
        u->ok += r.truncated;
        u->failures += !r.truncated;
        worker_escalate(w, place, r.truncated ? ASKED_TRUNCATED : ASKED_FAILED, upstream);
    } else {
        u->ok++;
        worker_finish(w, place, &r);
    }
    return s->fd >= 0;
}

/* What has come on an upstream's socket: a batch of it; the rest is there in the next turn. */
static inline void worker_readable(worker *w, uint16_t at)
{
    const forward_socket *s = &w->forward.sockets.sockets[at];
    int n = recvmmsg(s->fd, w->replies, UDP_BATCH, MSG_DONTWAIT, 0);
    if (n < 0 && errno != EAGAIN && errno != EINTR) /* port or host unreachable, as far as ICMP is to be believed on a connected socket */
        worker_abandon(w, at, ASKED_FAILED);
    for (int i = 0; i < n; i++)
        if (!worker_packet(w, at, w->batch.packet[i], w->replies[i].msg_len))
            return;
}

/* Deadlines: ask the next upstream too, or give the question up. */
static inline void worker_expire(worker *w)
{
    forward *f = &w->forward;
    uint64_t now_ms = w->now_ns / 1000000;
    uint16_t refused = FORWARD_NO_SOCKET;
    int64_t due;
    while ((due = forward_due_place(f, now_ms)) != PENDING_NONE) {
        uint32_t place = (uint32_t)due;
        forward_query *query = &f->queries[place];
        if (query->hedge_next && now_ms < query->until_ms) {
            query->hedge_next = 0;
            if (f->n_order > 1 && f->hedge_budget >= FORWARD_HEDGE_EVERY && forward_send(f, place, f->order[1], w->now_ns, &refused)) {
                f->hedge_budget -= FORWARD_HEDGE_EVERY;
                f->hedged++;
            }
            forward_rearm(f, place, query->until_ms);
            continue;
        }
        int upstream = query->n_sent ? query->sent[0].upstream : -1;
        for (unsigned i = 0; i < query->n_sent; i++)
            f->upstreams[query->sent[i].upstream].timeouts++;
        worker_escalate(w, place, ASKED_TIMEOUT, upstream);
    }
    forward_flush(f, &refused);
    if (refused != FORWARD_NO_SOCKET)
        worker_abandon(w, refused, ASKED_FAILED);
}

#endif
