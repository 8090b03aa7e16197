/* A native thread that answers UDP: what it has, and what its parts do in common.
 *
 *   worker_state.h     this: memory, doors, answers that are ready, questions that go up
 *   worker_batch.h     a batch of queries from one door
 *   worker_upstream.h  answers from upstreams, and time that runs out
 *   worker.h           the thread: its loop, its beginning and end, and how Python changes it
 *
 * Python's thread changes a worker (a new table, other upstreams, a door) only under `lock`, which the thread holds while it works on a batch
 * and not while it waits for the kernel. `gate` makes that fair: whoever wants the lock takes the gate first, so the thread can't take the lock
 * again and again while Python waits. Between two batches the thread therefore sees either all of a change or nothing of it.
 */
#ifndef BLOCKD_WORKER_STATE_H
#define BLOCKD_WORKER_STATE_H

#include <time.h>

#include "forward.h"
#include "rate_limit.h"

enum {
    WORKER_DOORS_MAX = 64,
    WORKER_LOCAL_MAX = 16, /* names that are never forwarded from here */
};

enum { DOOR_FREE, DOOR_OPEN, DOOR_DRAINING, DOOR_DRAINED, DOOR_LEAVING };

typedef struct {
    int fd;
    uint8_t family, state, in_epoll;
    uint32_t dropped; /* datagrams that found its queue full, as last seen */
} worker_door;

/* Figures that Python reads while they grow. */
typedef struct {
    uint64_t batches, packets, escalated, rate_limited;
} worker_figures;

typedef struct {
    pthread_mutex_t gate, lock;
    pthread_t thread;
    int running;           /* the thread was started and not joined; Python's */
    int alive, stop, error; /* atomics: it runs; it shall end; errno that ended it */
    int epoll, wake, up;   /* `wake`: an eventfd that ends its wait; `up`: one that tells Python of the ring */
    int told;              /* atomic: Python has been told and has not looked yet */
    dns_core core;
    counts_own own;
    acl *list;
    rate_limit rate;
    worker_door doors[WORKER_DOORS_MAX];
    fingerprint local[WORKER_LOCAL_MAX];
    uint32_t n_local, local_labels; /* labels of the longest */
    asked_ring ring;
    forward forward;
    worker_figures figures;
    uint64_t now_ns, checked_ms;
    /* the batch */
    uint32_t n_out;        /* answers that are laid */
    uint32_t out_door;
    udp_batch batch;
    core_work work[UDP_BATCH];
    core_outcome outcome[UDP_BATCH];
    struct mmsghdr replies[UDP_BATCH]; /* from upstreams: into the batch's packets, and nothing else of it, since answers are laid there */
    uint8_t answer[ANSWER_MAX];
} worker;

static inline void worker_figure(uint64_t *figure, uint64_t n) { __atomic_store_n(figure, *figure + n, __ATOMIC_RELAXED); }

static inline uint64_t worker_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Take the lock, after whoever has asked for it before. */
static inline void worker_lock(worker *w)
{
    (void)pthread_mutex_lock(&w->gate);
    (void)pthread_mutex_lock(&w->lock);
    (void)pthread_mutex_unlock(&w->gate);
}

static inline void worker_unlock(worker *w) { (void)pthread_mutex_unlock(&w->lock); }

static inline unsigned worker_door_state(const worker *w, unsigned i) { return __atomic_load_n(&w->doors[i].state, __ATOMIC_ACQUIRE); }

/* Send the answers that are laid. */
static inline void worker_send(worker *w)
{
    if (w->n_out && w->doors[w->out_door].state != DOOR_FREE)
        (void)udp_send(&w->batch, w->doors[w->out_door].fd, w->n_out);
    w->n_out = 0;
}

/* A place for an answer to one who waited: UDP_OUT_BYTES octets. worker_lay lays what was written there. */
static inline uint8_t *worker_room(worker *w, const udp_client *client)
{
    if (w->n_out == UDP_BATCH || (w->n_out && w->out_door != client->door))
        worker_send(w);
    w->out_door = client->door;
    return w->batch.answer[w->n_out];
}

static inline void worker_lay(worker *w, const udp_client *client, size_t size)
{
    unsigned i = w->n_out++;
    w->batch.address[i] = client->address;
    memcpy(w->batch.control[i], client->control, client->control_bytes);
    udp_lay(&w->batch, i, &w->batch.address[i], client->address_bytes, w->batch.control[i], client->control_bytes, w->batch.answer[i], size);
}

/* The answer of `o`, which was written to worker_room, goes out; counted. */
static inline void worker_answer(worker *w, const asked *a, const core_outcome *o)
{
    core_counted(&w->core, o, w->now_ns > a->since_ns ? w->now_ns - a->since_ns : 0);
    if (o->kind == CORE_ANSWER)
        worker_lay(w, &a->client, o->size);
}

/* An answer that is an rcode, to one who waited. */
static inline void worker_fail(worker *w, const asked *a, unsigned rcode, int ede)
{
    core_outcome o;
    uint8_t *out = worker_room(w, &a->client);
    memcpy(out, a->question, a->q.end);
    core_answered(&o, answer_bare(out, answer_room(&a->q, w->core.policy.settings.udp_max, 0), &a->q, rcode, ede, 0), rcode, SOURCE_ERROR);
    worker_answer(w, a, &o);
}

static inline void worker_tell(worker *w)
{
    uint64_t one = 1;
    if (!__atomic_exchange_n(&w->told, 1, __ATOMIC_ACQ_REL) && write(w->up, &one, sizeof one) < 0) {
        /* the count is at its top: Python has been told often enough */
    }
}

/* Hand a question to Python. */
static inline void worker_up(worker *w, const asked *a, unsigned why, int upstream)
{
    asked *place = ring_place(&w->ring);
    if (!place) {
        counts_limit(&w->core.counts, LIMIT_RING, 1);
        worker_fail(w, a, RCODE_SERVFAIL, EDE_NONE);
        return;
    }
    *place = *a;
    place->why = (uint8_t)why;
    place->upstream = (int16_t)upstream;
    ring_put(&w->ring);
    worker_tell(w);
}

/* Hand all who wait for this question to Python, and forget it here. `upstream`: its place here, or -1. */
static inline void worker_escalate(worker *w, uint32_t place, unsigned why, int upstream)
{
    forward *f = &w->forward;
    int number = upstream < 0 ? -1 : f->upstreams[upstream].number;
    uint32_t waiter = f->queries[place].first;
    forward_forget(f, place);
    while (waiter != FORWARD_NOBODY) {
        worker_up(w, &f->waiters[waiter].a, why, number);
        worker_figure(&w->figures.escalated, 1);
        waiter = forward_leave(f, waiter);
    }
}

/* Is this a name that is answered here (special.py), or below one? */
static inline int worker_is_local(const worker *w, const dns_name *name)
{
    sip_state s = sip_begin(w->core.key);
    uint64_t length = 0;
    for (unsigned depth = 1; depth <= name->labels && depth <= w->local_labels; depth++) {
        length += name_absorb(&s, name->wire + name->at[name->labels - depth]);
        fingerprint f = sip_end(s, 0, length);
        for (uint32_t i = 0; i < w->n_local; i++)
            if (w->local[i].hi == f.hi && w->local[i].lo == f.lo)
                return 1;
    }
    return 0;
}

#endif
