/* What the parts of worker_driver.c share: time, chance, failure, and what a query's name says about itself.
 *
 * The first label is <behaviour><zone>-<number>. The zone says what the tables hold on the name, the behaviour how the upstream treats it:
 *
 *   zone       b listed in both tables   1 in the first alone   2 in the second alone   n noted: entries that block nothing   d listed to be dropped
 *              a below two entries of both tables: a combination that must be learned   f free
 *   behaviour  g good   c, 1, 2 a CNAME to a name listed in both, the first, the second   v SERVFAIL   t truncated   q silent   l later than a second
 *              w wrong IDs, then good   x wrong question, then good   d twice   m cut   h huge   s so many wrong IDs that it looks like a guesser
 *              y good with octets changed   p good, a little later, so that swaps happen meanwhile
 *
 * The last two octets of an answer's address are the lower half of swap_done at the moment when it was sent: an answer that a client gets while
 * that is still the number of the table in force must have been judged by that table, whenever its question was asked.
 */
#ifndef DRIVER_COMMON_H
#define DRIVER_COMMON_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker.h"

enum { DRIVER_WORKERS = 2, DRIVER_DOORS = 2, DRIVER_PORTS = 3 };

typedef struct {
    uint64_t queries, answers, good, blocked, truncated, servfail, rated, silent, stable, hostile, hostile_answers, refused, ports, upstream_queries;
} driver_tally;

static struct {
    uint32_t swap_begun, swap_done; /* atomics; swap_done & 1: which table is in force when both are equal */
    uint32_t rate_begun, rate_done; /* windows in which the rate is limited */
    int stop;
    uint16_t door_port, upstream_port[DRIVER_PORTS]; /* the last: nobody listens there */
} shared_state;

static inline void die(const char *why)
{
    fprintf(stderr, "worker_driver: %s\n", why);
    _exit(3);
}

static inline void *get(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        die("no memory");
    return p;
}

static inline uint32_t load_state(const uint32_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }

static inline int stopped(void) { return __atomic_load_n(&shared_state.stop, __ATOMIC_ACQUIRE); }

static inline uint64_t chance(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline void pause_us(long us) { (void)nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, 0); }

static inline udp_address loopback(unsigned third, unsigned last, uint16_t port)
{
    udp_address a = { .in4 = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000000u | third << 8 | last) } };
    return a;
}

/* A bound socket that does not block. */
static inline int open_socket(unsigned third, unsigned last, uint16_t port, int reuse)
{
    udp_address a = loopback(third, last, port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || (reuse && udp_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) || bind(fd, &a.any, sizeof a.in4) != 0)
        die("no socket");
    (void)udp_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20);
    return fd;
}

static inline uint16_t port_of(int fd)
{
    udp_address a;
    socklen_t size = sizeof a;
    if (getsockname(fd, &a.any, &size) != 0)
        die("no port");
    return ntohs(a.in4.sin_port);
}

static inline size_t put_label(uint8_t *out, const char *text)
{
    size_t n = strlen(text);
    out[0] = (uint8_t)n;
    memcpy(out + 1, text, n);
    return n + 1;
}

/* "a.b.c" and the root. */
static inline size_t put_name(uint8_t *out, const char *dotted)
{
    char text[256];
    size_t at = 0;
    char *rest = 0;
    (void)snprintf(text, sizeof text, "%s", dotted);
    for (char *label = strtok_r(text, ".", &rest); label; label = strtok_r(0, ".", &rest))
        at += put_label(out + at, label);
    out[at] = 0;
    return at + 1;
}

#endif
