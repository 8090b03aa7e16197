/* The thread of a worker: its loop, its beginning and end, and how Python changes it.
 *
 * The loop waits for doors, upstreams, deadlines and Python's wake in one epoll set; whatever is readable is taken a batch at a time, so no
 * door and no upstream waits for another. A thread ends when it is told to, or when the kernel refuses something that it cannot do without;
 * then `error` says what, Python is told, and starts it again: doors, questions under way and their clients are still there.
 */
#ifndef BLOCKD_WORKER_H
#define BLOCKD_WORKER_H

#include <signal.h>
#include <sys/eventfd.h>

#include "worker_batch.h"

enum {
    WORKER_EVENTS = 64,
    WORKER_SLEEP_MS_MAX = 1000,
    WORKER_CHECK_MS = 1000, /* between two looks at whether its sockets are still sockets */
};

enum { WORKER_WAKE_EVENT = 0x20000 }; /* epoll's data: below 0x10000 a door, below this an upstream's socket */

static inline void worker_wake(worker *w)
{
    uint64_t one = 1;
    if (write(w->wake, &one, sizeof one) < 0) {
        /* the count is at its top: it has been woken often enough */
    }
}

/* Take what a door has. Returns 0 with errno when the door is broken. */
static inline int worker_take(worker *w, unsigned number)
{
    worker_door *door = &w->doors[number];
    unsigned state = worker_door_state(w, number);
    if (state != DOOR_OPEN && state != DOOR_DRAINING) /* what comes now is the next reader's: nobody waits for what this one would take */
        return 1;
    int n = udp_receive(&w->batch, door->fd);
    if (n < 0)
        return 0;
    w->now_ns = worker_clock_ns();
    worker_lock(w);
    if (n)
        worker_batch(w, number, (unsigned)n);
    if (!n && door->state == DOOR_DRAINING) {
        __atomic_store_n(&door->state, DOOR_DRAINED, __ATOMIC_RELEASE);
        worker_wake(w); /* to take it out of the epoll set */
    }
    worker_unlock(w);
    return 1;
}

/* Bring the epoll set in line with the doors' states. */
static inline int worker_follow_doors(worker *w)
{
    int ok = 1;
    worker_lock(w);
    for (unsigned i = 0; i < WORKER_DOORS_MAX && ok; i++) {
        worker_door *d = &w->doors[i];
        int wanted = d->state == DOOR_OPEN || d->state == DOOR_DRAINING;
        struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
        if (wanted && !d->in_epoll)
            ok = d->in_epoll = epoll_ctl(w->epoll, EPOLL_CTL_ADD, d->fd, &event) == 0;
        if (!wanted && d->in_epoll) {
            (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, d->fd, 0);
            d->in_epoll = 0;
        }
        if (d->state == DOOR_LEAVING)
            __atomic_store_n(&d->state, DOOR_FREE, __ATOMIC_RELEASE);
    }
    worker_unlock(w);
    return ok;
}

/* Now and then: are the doors still sockets (a descriptor that was closed under us leaves the epoll set without a word), and what has the
 * kernel dropped? Returns 0 with errno. */
static inline int worker_check_doors(worker *w)
{
    int type;
    socklen_t size = sizeof type;
    uint64_t now_ms = w->now_ns / 1000000;
    if (now_ms - w->checked_ms < WORKER_CHECK_MS)
        return 1;
    w->checked_ms = now_ms;
    for (unsigned i = 0; i < WORKER_DOORS_MAX; i++) {
        worker_door *d = &w->doors[i];
        if (!d->in_epoll)
            continue;
        if (getsockopt(d->fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_DGRAM)
            return 0;
        uint32_t dropped = udp_dropped(d->fd);
        counts_limit(&w->core.counts, LIMIT_UDP_RECEIVE, (uint32_t)(dropped - d->dropped));
        d->dropped = dropped;
    }
    counts_flush(&w->core.counts);
    return 1;
}

/* One turn. Returns 0 with errno when the thread can't go on. */
static inline int worker_turn(worker *w)
{
    struct epoll_event events[WORKER_EVENTS];
    int drain = 0;
    for (unsigned i = 0; i < WORKER_DOORS_MAX; i++)
        drain |= worker_door_state(w, i) == DOOR_DRAINING;
    int n = epoll_wait(w->epoll, events, WORKER_EVENTS, drain ? 0 : forward_sleep_ms(&w->forward, w->now_ns / 1000000, WORKER_SLEEP_MS_MAX));
    if (n < 0 && errno != EINTR)
        return 0;
    w->now_ns = worker_clock_ns();
    for (int i = 0; i < n; i++) {
        uint32_t what = events[i].data.u32;
        uint64_t ignored;
        if (what == WORKER_WAKE_EVENT) {
            if (read(w->wake, &ignored, sizeof ignored) < 0 && errno != EAGAIN)
                return 0;
            if (!worker_follow_doors(w))
                return 0;
        } else if (what < 0x10000 && w->doors[what].in_epoll && !worker_take(w, what))
            return 0;
    }
    worker_lock(w);
    for (int i = 0; i < n; i++)
        if (events[i].data.u32 >= 0x10000 && events[i].data.u32 < WORKER_WAKE_EVENT && w->forward.sockets.sockets[events[i].data.u32 & 0xffff].fd >= 0)
            worker_readable(w, (uint16_t)events[i].data.u32);
    worker_expire(w);
    worker_send(w);
    counts_flush(&w->core.counts);
    worker_unlock(w);
    for (unsigned i = 0; drain && i < WORKER_DOORS_MAX; i++) /* what the kernel holds for a door that is to close */
        if (worker_door_state(w, i) == DOOR_DRAINING && !worker_take(w, i))
            return 0;
    return worker_check_doors(w);
}

static inline void *worker_main(void *argument)
{
    worker *w = argument;
    int ok = worker_follow_doors(w);
    while (ok && !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
        ok = worker_turn(w);
    __atomic_store_n(&w->error, ok ? 0 : errno ? errno : EBADF, __ATOMIC_RELAXED);
    __atomic_store_n(&w->alive, 0, __ATOMIC_RELEASE);
    worker_tell(w);
    return 0;
}

/* Start the thread, again too. Returns 0 or an errno. */
static inline int worker_start(worker *w)
{
    sigset_t all, before;
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = WORKER_WAKE_EVENT };
    if (w->running)
        return EALREADY;
    if (w->epoll >= 0)
        (void)close(w->epoll);
    w->epoll = w->forward.sockets.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->wake, &event) != 0)
        return errno;
    for (unsigned i = 0; i < WORKER_DOORS_MAX; i++)
        w->doors[i].in_epoll = 0;
    for (uint32_t i = 0; i < FORWARD_SOCKETS_MAX; i++) { /* of a thread that died */
        event.data.u32 = 0x10000u | i;
        if (w->forward.sockets.sockets[i].fd >= 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->forward.sockets.sockets[i].fd, &event) != 0)
            return errno;
    }
    w->stop = w->error = 0;
    w->alive = 1;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are Python's */
    int failed = pthread_create(&w->thread, 0, worker_main, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, 0);
    w->running = !failed;
    if (failed) /* otherwise it is the thread's: it may have ended already */
        w->alive = 0;
    return failed;
}

static inline void worker_stop(worker *w)
{
    if (!w->running)
        return;
    __atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
    worker_wake(w);
    (void)pthread_join(w->thread, 0);
    w->running = 0;
}

/* Returns 0 with errno. Zeroed memory comes in; the core is the caller's to fill, counts.own included. */
static inline int worker_make(worker *w, const uint8_t rate_key[16])
{
    (void)pthread_mutex_init(&w->gate, 0);
    (void)pthread_mutex_init(&w->lock, 0);
    w->epoll = -1;
    w->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->up = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->ring.places = calloc(ASKED_RING_MAX, sizeof *w->ring.places);
    w->core.map = calloc(1, sizeof *w->core.map);
    w->core.scratch = calloc(1, ANSWER_MAX);
    w->own.cells = calloc(w->core.counts.size, sizeof *w->own.cells);
    w->core.counts.own = &w->own;
    w->rate.key = sip_key_from(rate_key);
    for (unsigned i = 0; i < FORWARD_SLOTS; i++)
        w->forward.upstreams[i].number = -1;
    udp_init(&w->batch);
    for (unsigned i = 0; i < UDP_BATCH; i++)
        w->replies[i].msg_hdr = (struct msghdr){ .msg_iov = &w->batch.in_vec[i], .msg_iovlen = 1 };
    errno = ENOMEM;
    return w->wake >= 0 && w->up >= 0 && w->ring.places && w->core.map && w->core.scratch && w->own.cells && forward_make(&w->forward);
}

static inline void worker_free(worker *w)
{
    worker_stop(w);
    int fds[] = { w->epoll, w->wake, w->up };
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    forward_free(&w->forward);
    free(w->ring.places);
    free(w->core.map);
    free(w->core.scratch);
    free(w->own.cells);
    free(w->rate.buckets);
    (void)pthread_mutex_destroy(&w->gate);
    (void)pthread_mutex_destroy(&w->lock);
}

typedef struct {
    int16_t number;
    udp_address address;
    socklen_t address_bytes;
} worker_upstream;

/* Does nothing wait for this upstream? Then its sockets are closed. */
static inline int worker_upstream_left(forward *f, unsigned at)
{
    for (unsigned i = 0; i < FORWARD_SOCKETS_MAX; i++)
        if (f->sockets.sockets[i].fd >= 0 && f->sockets.sockets[i].upstream == at && f->sockets.sockets[i].open)
            return 0;
    for (unsigned i = 0; i < FORWARD_SOCKETS_MAX; i++)
        if (f->sockets.sockets[i].fd >= 0 && f->sockets.sockets[i].upstream == at)
            forward_close(&f->sockets, (uint16_t)i);
    return 1;
}

/* The place of this upstream, which may have one; FORWARD_SLOTS: none is free. `keep`: places that may not be taken. */
static inline unsigned worker_upstream_place(forward *f, const worker_upstream *u, uint32_t keep)
{
    for (unsigned i = 0; i < FORWARD_SLOTS; i++) {
        const forward_upstream *have = &f->upstreams[i];
        if (have->number == u->number && have->address_bytes == u->address_bytes && memcmp(&have->address, &u->address, u->address_bytes) == 0)
            return i;
    }
    for (unsigned i = 0; i < FORWARD_SLOTS; i++) {
        if (keep >> i & 1 || (f->upstreams[i].number >= 0 && !worker_upstream_left(f, i)))
            continue;
        f->upstreams[i] = (forward_upstream){ .address = u->address, .address_bytes = u->address_bytes, .number = u->number };
        for (unsigned j = 0; j < FORWARD_POOL; j++)
            f->upstreams[i].pool[j] = FORWARD_NO_SOCKET;
        return i;
    }
    return FORWARD_SLOTS;
}

/* Forward to these from now on, the first choice first; what is under way ends where it began. */
static inline void worker_follow(worker *w, const worker_upstream *upstreams, unsigned n)
{
    forward *f = &w->forward;
    uint32_t keep = 0;
    worker_lock(w);
    for (uint32_t i = 0; i < f->n_order; i++)
        keep |= 1u << f->order[i];
    f->n_order = 0;
    for (unsigned i = 0; i < n && i < FORWARD_UPSTREAMS_MAX; i++) {
        unsigned at = worker_upstream_place(f, &upstreams[i], keep);
        if (at == FORWARD_SLOTS)
            continue;
        keep |= 1u << at;
        f->order[f->n_order++] = (uint8_t)at;
    }
    worker_unlock(w);
}

#endif
