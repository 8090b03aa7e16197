/* Plain forwarding of misses in a native thread: which questions are under way, who waits for each, when its time is up.
 *
 * Equal questions share one way (RFC 9520 §1.2, RFC 5452 §5). A query goes to the first of the upstreams that Python named; when no answer is
 * there after that upstream's 95th percentile, to the next one too, within a budget of one in FORWARD_HEDGE_EVERY. What has no answer after
 * FORWARD_TIMEOUT_MS goes up to Python, which knows more ways. Which answers are worth anything is reply.h's, what is done with them
 * worker_upstream.h's.
 *
 * The 95th percentile is followed, not sorted for: each round trip moves the figure up or down by a fraction of itself, in a proportion
 * of 19 to 1, so that it comes to rest where one in twenty is above it (stochastic approximation, Robbins and Monro 1951).
 */
#ifndef BLOCKD_FORWARD_H
#define BLOCKD_FORWARD_H

#include "asked.h"
#include "forward_socket.h"
#include "pending.h"

enum {
    FORWARD_MAX = 8192,          /* different questions under way in one thread */
    FORWARD_WAITERS_MAX = 16384, /* clients that wait for them */
    FORWARD_WAITERS_EACH = 256,  /* clients of one question */
    FORWARD_TIMEOUT_MS = 1000,
    FORWARD_HEDGE_EVERY = 20,    /* queries for each that may be sent twice */
    FORWARD_HEDGES_SAVED = 50,
    FORWARD_LATE_US_MIN = 5000, FORWARD_LATE_US_MAX = 500000,
};

#define FORWARD_NOBODY 0xffffffffu

typedef struct {
    uint16_t socket;
    uint8_t slot, upstream, open;
    uint64_t sent_ns;
} forward_sent;

typedef struct {
    uint32_t first, last; /* waiters */
    uint16_t waiters;
    uint8_t n_sent, hedge_next; /* the next deadline is the hedge's */
    int64_t handle;
    uint64_t until_ms;
    forward_sent sent[2];
} forward_query;

typedef struct {
    asked a;
    uint32_t next; /* of the same question; of a free place: the next free one */
} forward_waiter;

typedef struct {
    pending open;
    forward_query *queries;  /* FORWARD_MAX, by pending's places */
    forward_waiter *waiters; /* FORWARD_WAITERS_MAX */
    uint32_t free_waiter, n_waiters, waiters_used; /* places beyond the last were never touched, and cost no memory */
    forward_sockets sockets;
    forward_upstream upstreams[FORWARD_SLOTS];
    uint8_t order[FORWARD_UPSTREAMS_MAX]; /* places in `upstreams`, the first choice first */
    uint32_t n_order;                     /* 0: nothing is forwarded from here */
    uint32_t hedge_budget; /* in parts of FORWARD_HEDGE_EVERY */
    /* queries that are made and not sent yet: all on one socket */
    uint16_t out_socket;
    uint32_t n_out;
    struct mmsghdr out[UDP_BATCH];
    struct iovec out_vec[UDP_BATCH];
    uint8_t out_query[UDP_BATCH][QUESTION_BYTES_MAX + 16];
    uint64_t forwarded, coalesced, hedged;
} forward;

static inline int forward_make(forward *f)
{
    f->open.capacity = FORWARD_MAX;
    f->open.index_mask = pending_index_size(FORWARD_MAX) - 1;
    f->open.places = calloc(FORWARD_MAX, sizeof *f->open.places);
    f->open.heap = calloc(FORWARD_MAX, sizeof *f->open.heap);
    f->open.index = calloc(f->open.index_mask + 1u, sizeof *f->open.index);
    f->queries = calloc(FORWARD_MAX, sizeof *f->queries);
    f->waiters = calloc(FORWARD_WAITERS_MAX, sizeof *f->waiters);
    f->sockets.sockets = calloc(FORWARD_SOCKETS_MAX, sizeof *f->sockets.sockets);
    if (!f->open.places || !f->open.heap || !f->open.index || !f->queries || !f->waiters || !f->sockets.sockets)
        return 0;
    pending_init(&f->open);
    f->free_waiter = FORWARD_NOBODY;
    for (uint32_t i = 0; i < FORWARD_SOCKETS_MAX; i++) {
        f->sockets.sockets[i].fd = -1;
        f->sockets.free[i] = (uint16_t)(FORWARD_SOCKETS_MAX - 1 - i);
    }
    f->sockets.n_free = FORWARD_SOCKETS_MAX;
    f->out_socket = FORWARD_NO_SOCKET;
    return 1;
}

static inline void forward_free(forward *f)
{
    for (uint32_t i = 0; f->sockets.sockets && i < FORWARD_SOCKETS_MAX; i++)
        if (f->sockets.sockets[i].fd >= 0)
            (void)close(f->sockets.sockets[i].fd);
    free(f->open.places);
    free(f->open.heap);
    free(f->open.index);
    free(f->queries);
    free(f->waiters);
    free(f->sockets.sockets);
}

static inline uint32_t forward_place(const forward *f, int64_t handle) { return (uint32_t)(handle % f->open.capacity); }

/* Send what is made. `*refused` becomes the socket when the other side refused it. What the kernel has no room for counts as sent: it is
 * lost like any datagram, and its time runs out. */
static inline void forward_flush(forward *f, uint16_t *refused)
{
    uint32_t at = 0, n = f->n_out;
    f->n_out = 0;
    while (at < n) {
        int sent = sendmmsg(f->sockets.sockets[f->out_socket].fd, f->out + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            at += (uint32_t)sent;
        else if (errno == EINTR)
            continue;
        else if (errno == EAGAIN || errno == ENOBUFS)
            break;
        else {
            *refused = f->out_socket;
            break;
        }
    }
}

/* Make this question's query for an upstream; forward_flush sends it. Returns 0 without a socket, with errno. `refused` as forward_flush. */
static inline int forward_send(forward *f, uint32_t place, uint8_t upstream, uint64_t now_ns, uint16_t *refused)
{
    forward_query *query = &f->queries[place];
    const forward_socket *out = f->n_out ? &f->sockets.sockets[f->out_socket] : 0;
    if (out && (f->n_out == UDP_BATCH || out->upstream != upstream || out->uses == FORWARD_USES))
        forward_flush(f, refused);
    if (!f->n_out) {
        uint16_t picked = forward_pick(&f->sockets, &f->upstreams[upstream], upstream, now_ns / 1000000);
        if (picked == FORWARD_NO_SOCKET)
            return 0;
        f->out_socket = picked;
    }
    forward_socket *s = &f->sockets.sockets[f->out_socket];
    const asked *a = &f->waiters[query->first].a;
    unsigned slot = forward_use(&f->sockets, s, place);
    f->out_vec[f->n_out] = (struct iovec){ f->out_query[f->n_out], asked_upstream(&a->q, a->question, s->id[slot], f->out_query[f->n_out]) };
    f->out[f->n_out].msg_hdr = (struct msghdr){ .msg_iov = &f->out_vec[f->n_out], .msg_iovlen = 1 };
    f->n_out++;
    query->sent[query->n_sent++] = (forward_sent){ f->out_socket, (uint8_t)slot, upstream, 1, now_ns };
    return 1;
}

/* Another place for one who waits, or 0. */
static inline asked *forward_wait(forward *f, uint32_t place)
{
    forward_query *query = &f->queries[place];
    uint32_t at = f->free_waiter;
    if (query->waiters == FORWARD_WAITERS_EACH || (at == FORWARD_NOBODY && f->waiters_used == FORWARD_WAITERS_MAX))
        return 0;
    if (at == FORWARD_NOBODY)
        at = f->waiters_used++;
    else
        f->free_waiter = f->waiters[at].next;
    f->waiters[at].next = FORWARD_NOBODY;
    if (query->waiters++)
        f->waiters[query->last].next = at;
    else
        query->first = at;
    query->last = at;
    f->n_waiters++;
    return &f->waiters[at].a;
}

/* When the hedge goes out, or the time is up. */
static inline uint64_t forward_due(const forward *f, const forward_query *query, uint64_t now_ms)
{
    if (!query->hedge_next || !f->n_order)
        return query->until_ms;
    uint64_t due = now_ms + (uint64_t)(f->upstreams[f->order[0]].late_us / 1000) + 1;
    return due < query->until_ms ? due : query->until_ms;
}

/* The place of this key's question, which is new when it has no waiter yet; PENDING_NONE: too many are under way. */
static inline int64_t forward_join(forward *f, fingerprint key, uint64_t now_ms)
{
    int is_new;
    int64_t handle = pending_open(&f->open, key, now_ms + FORWARD_TIMEOUT_MS, &is_new);
    if (handle == PENDING_NONE)
        return handle;
    uint32_t place = forward_place(f, handle);
    if (is_new)
        f->queries[place] = (forward_query){ .first = FORWARD_NOBODY, .last = FORWARD_NOBODY, .handle = handle, .until_ms = now_ms + FORWARD_TIMEOUT_MS };
    return place;
}

/* Move this question's deadline. */
static inline void forward_rearm(forward *f, uint32_t place, uint64_t due_ms)
{
    f->open.places[place].deadline_ms = due_ms;
    pending_settle(&f->open, f->open.places[place].heap_at);
}

/* The first question whose deadline is here, or PENDING_NONE. It stays open. */
static inline int64_t forward_due_place(const forward *f, uint64_t now_ms)
{
    return f->open.n && f->open.places[f->open.heap[0]].deadline_ms <= now_ms ? (int64_t)f->open.heap[0] : PENDING_NONE;
}

/* Milliseconds until the next deadline, at most `longest`. */
static inline int forward_sleep_ms(const forward *f, uint64_t now_ms, int longest)
{
    if (!f->open.n)
        return longest;
    uint64_t due = f->open.places[f->open.heap[0]].deadline_ms;
    return due <= now_ms ? 0 : due - now_ms < (uint64_t)longest ? (int)(due - now_ms) : longest;
}

/* The question has its answer, or goes another way: nothing on any socket is for it now. Its waiters are freed by forward_leave. */
static inline void forward_forget(forward *f, uint32_t place)
{
    forward_query *query = &f->queries[place];
    for (unsigned i = 0; i < query->n_sent; i++)
        if (query->sent[i].open)
            forward_unuse(&f->sockets, query->sent[i].socket, query->sent[i].slot);
    query->n_sent = 0;
    (void)pending_close(&f->open, query->handle);
}

/* Free this waiter; returns the next of its question. */
static inline uint32_t forward_leave(forward *f, uint32_t waiter)
{
    uint32_t next = f->waiters[waiter].next;
    f->waiters[waiter].next = f->free_waiter;
    f->free_waiter = waiter;
    f->n_waiters--;
    return next;
}

static inline void forward_rtt(forward_upstream *u, uint64_t took_ns)
{
    double us = (double)took_ns / 1000;
    u->rtt_us = u->rtt_us > 0 ? u->rtt_us + (us - u->rtt_us) / 8 : us;
    if (u->late_us <= 0)
        u->late_us = 3 * us;
    u->late_us *= us > u->late_us ? 1 + 0.95 / 16 : 1 - 0.05 / 16;
    if (u->late_us < FORWARD_LATE_US_MIN)
        u->late_us = FORWARD_LATE_US_MIN;
    if (u->late_us > FORWARD_LATE_US_MAX)
        u->late_us = FORWARD_LATE_US_MAX;
}

#endif
