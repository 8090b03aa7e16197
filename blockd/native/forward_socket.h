/* Sockets to upstreams, for a thread that forwards a hundred thousand queries a second.
 *
 * What a guesser must hit (RFC 5452 §9) is a port and an ID. A socket a query would cost more than all the rest of its way, so a socket carries
 * FORWARD_USES queries at most, each under an ID of its own that is drawn at random, and lives FORWARD_LIFE_MS at most; the kernel
 * draws its port. Each batch takes one of FORWARD_POOL such sockets at random. So every query has one right pair among 2^16 IDs times the
 * ephemeral ports, as with a socket of its own, and a port that was found out is of no use a moment later. Sockets are connected: what
 * other addresses send never gets here.
 *
 * After FORWARD_WRONG_MAX packets on one socket that are not the answer to anything somebody may be guessing: its queries go up, to be asked
 * over TCP, and it is closed.
 */
#ifndef BLOCKD_FORWARD_SOCKET_H
#define BLOCKD_FORWARD_SOCKET_H

#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "udp.h"

enum {
    FORWARD_UPSTREAMS_MAX = 8,
    FORWARD_SLOTS = 16,         /* upstreams that are followed, and that still have queries under way */
    FORWARD_POOL = 8,           /* sockets of one upstream that take queries */
    FORWARD_USES = 64,          /* queries on one socket */
    FORWARD_LIFE_MS = 5000,     /* how long it takes new ones */
    FORWARD_WRONG_MAX = 16,     /* packets */
    FORWARD_SOCKETS_MAX = 1024, /* of one thread */
    FORWARD_RANDOM_BYTES = 4096,
    FORWARD_RECEIVE_BYTES = 1 << 19, /* asked of the kernel for each */
};

enum { FORWARD_NO_SOCKET = 0xffff };

typedef struct {
    int fd;                     /* -1: this place is free */
    uint8_t upstream, taking;   /* it is in the pool */
    uint8_t wrong;
    uint16_t uses, open;        /* queries sent; of those without an answer yet */
    uint64_t born_ms;
    uint16_t id[FORWARD_USES];
    uint32_t query[FORWARD_USES]; /* place of the query plus one; 0: it has its answer, or waits no more */
} forward_socket;

typedef struct {
    uint8_t bytes[FORWARD_RANDOM_BYTES];
    uint32_t left;
} forward_random;

/* Unpredictable bits; each is handed out once and wiped. */
static inline uint16_t random_u16(forward_random *r)
{
    uint16_t v;
    if (r->left < 2) {
        while (getrandom(r->bytes, sizeof r->bytes, 0) != (ssize_t)sizeof r->bytes)
            ;
        r->left = sizeof r->bytes;
    }
    r->left -= 2;
    memcpy(&v, r->bytes + r->left, 2);
    memset(r->bytes + r->left, 0, 2);
    return v;
}

typedef struct {
    udp_address address;
    socklen_t address_bytes;
    int16_t number;                      /* what Python calls it; -1: this place is free */
    uint16_t pool[FORWARD_POOL];         /* sockets; FORWARD_NO_SOCKET: none yet */
    uint64_t ok, timeouts, failures, mismatches, malformed; /* answers and their lack, since follow */
    double rtt_us, late_us;              /* a smoothed round trip; its 95th percentile */
} forward_upstream;

typedef struct {
    forward_socket *sockets; /* FORWARD_SOCKETS_MAX */
    uint16_t free[FORWARD_SOCKETS_MAX];
    uint32_t n_free;
    forward_random random;
    int epoll;
} forward_sockets;

/* Returns its place, or FORWARD_NO_SOCKET with errno. */
static inline uint16_t forward_open(forward_sockets *f, const forward_upstream *u, uint8_t upstream, uint64_t now_ms)
{
    if (!f->n_free) {
        errno = EMFILE;
        return FORWARD_NO_SOCKET;
    }
    int fd = socket(u->address.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return FORWARD_NO_SOCKET;
    uint16_t place = f->free[f->n_free - 1];
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = 0x10000u | place };
    (void)udp_option(fd, SOL_SOCKET, SO_RCVBUF, FORWARD_RECEIVE_BYTES);
    if (connect(fd, &u->address.any, u->address_bytes) != 0 || epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return FORWARD_NO_SOCKET;
    }
    forward_socket *s = &f->sockets[place];
    f->n_free--;
    s->fd = fd;
    s->upstream = upstream;
    s->taking = 1;
    s->wrong = 0;
    s->uses = s->open = 0;
    s->born_ms = now_ms;
    return place;
}

static inline void forward_close(forward_sockets *f, uint16_t place)
{
    forward_socket *s = &f->sockets[place];
    (void)close(s->fd); /* it leaves the epoll set by that */
    s->fd = -1;
    f->free[f->n_free++] = place;
}

/* A socket that takes at least one more query, or FORWARD_NO_SOCKET. */
static inline uint16_t forward_pick(forward_sockets *f, forward_upstream *u, uint8_t upstream, uint64_t now_ms)
{
    uint16_t *place = &u->pool[random_u16(&f->random) % FORWARD_POOL];
    if (*place != FORWARD_NO_SOCKET) {
        forward_socket *s = &f->sockets[*place];
        if (s->uses < FORWARD_USES && now_ms - s->born_ms < FORWARD_LIFE_MS)
            return *place;
        s->taking = 0;
        if (!s->open)
            forward_close(f, *place);
        *place = FORWARD_NO_SOCKET;
    }
    return *place = forward_open(f, u, upstream, now_ms);
}

/* A new ID on this socket for the query at `query`. Returns its slot. */
static inline unsigned forward_use(forward_sockets *f, forward_socket *s, uint32_t query)
{
    unsigned slot = s->uses++, same;
    do { /* until it is one that this socket has not had */
        s->id[slot] = random_u16(&f->random);
        for (same = 0; s->id[same] != s->id[slot]; same++)
            ;
    } while (same != slot);
    s->query[slot] = query + 1;
    s->open++;
    return slot;
}

/* This query waits on this slot no more. */
static inline void forward_unuse(forward_sockets *f, uint16_t place, unsigned slot)
{
    forward_socket *s = &f->sockets[place];
    s->query[slot] = 0;
    s->open--;
    if (!s->open && !s->taking)
        forward_close(f, place);
}

/* The slot of an ID, or -1. */
static inline int forward_slot(const forward_socket *s, uint16_t id)
{
    for (unsigned i = 0; i < s->uses; i++)
        if (s->id[i] == id)
            return (int)i;
    return -1;
}

#endif
