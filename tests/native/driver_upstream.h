/* Two upstreams that do what a query's name asks for, in one thread. What is none of the names of driver_common.h gets a good answer. */
#ifndef DRIVER_UPSTREAM_H
#define DRIVER_UPSTREAM_H

#include "driver_common.h"

enum { LATER_MAX = 512, LATER_MS = 1200, PAUSED_MS = 150, HUGE_RECORDS = 200, SPOOFS = FORWARD_WRONG_MAX + 2 };

typedef struct {
    uint64_t at_ms; /* 0: free */
    udp_address to;
    int fd;
    uint32_t size;
    uint8_t packet[1024];
} later;

typedef struct {
    int fd[DRIVER_PORTS - 1];
    uint64_t chance, queries;
    later held[LATER_MAX];
    pthread_t thread;
} upstream;

static size_t put_a(uint8_t *out)
{
    static const uint8_t record[14] = { 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 2, 0, 4, 192, 0 };
    memcpy(out, record, sizeof record);
    store_u16(out + 14, (uint16_t)load_state(&shared_state.swap_done));
    return 16;
}

/* The answer to `query`, whose question ends at `end`, with so many A records; `target` 0: none, else a CNAME before them. Returns its octets. */
static size_t upstream_answer(uint8_t *out, const uint8_t *query, size_t end, unsigned flags, unsigned records, const char *target)
{
    size_t at = end;
    memcpy(out, query, end);
    store_u16(out + 2, (uint16_t)(0x8180 | flags));
    store_u16(out + 4, 1);
    store_u16(out + 6, (uint16_t)(records + (target != 0)));
    memset(out + 8, 0, 4);
    if (target) {
        memcpy(out + at, "\xc0\x0c\0\5\0\1\0\0\0\2", 10);
        size_t n = put_name(out + at + 12, target);
        store_u16(out + at + 10, (uint16_t)n);
        at += 12 + n;
    }
    for (unsigned i = 0; i < records; i++)
        at += put_a(out + at);
    return at;
}

static void upstream_say(int fd, const udp_address *to, const uint8_t *packet, size_t size) { (void)sendto(fd, packet, size, MSG_NOSIGNAL, &to->any, sizeof to->in4); }

static void upstream_hold(upstream *u, int fd, const udp_address *to, const uint8_t *packet, size_t size, unsigned delay_ms)
{
    later *l = u->held;
    while (l < u->held + LATER_MAX && l->at_ms)
        l++;
    if (l == u->held + LATER_MAX || size > sizeof l->packet)
        return;
    *l = (later){ .at_ms = worker_clock_ns() / 1000000 + delay_ms, .to = *to, .fd = fd, .size = (uint32_t)size };
    memcpy(l->packet, packet, size);
}

static const char *upstream_target(uint8_t behaviour)
{
    return behaviour == 'c' ? "t.both.example" : behaviour == '1' ? "t.first.example" : behaviour == '2' ? "t.second.example" : 0;
}

static void upstream_one(upstream *u, int fd, const udp_address *from, uint8_t *query, size_t n)
{
    uint8_t out[8192], wrong[8192];
    dns_question q;
    if (question_walk(query, n, &q) != RCODE_NOERROR)
        die("a query that went upstream is none");
    if (!q.opt || q.flags & ~(FLAG_RD | FLAG_CD) || n != (size_t)q.end + 11)
        die("a query that went upstream has more than it should");
    u->queries++;
    uint8_t b = q.end > 20 && query[12] > 3 && query[15] == '-' ? query[13] : 'g';
    size_t size = upstream_answer(out, query, q.end, b == 'v' ? RCODE_SERVFAIL : b == 't' ? FLAG_TC : 0, b == 'v' || b == 't' ? 0 : b == 'h' ? HUGE_RECORDS : 1, upstream_target(b));
    memcpy(wrong, out, size);
    for (unsigned i = 0; i < (b == 's' ? SPOOFS : b == 'w' ? 3 : 0); i++) {
        store_u16(wrong, (uint16_t)(load_u16(out) + 1 + chance(&u->chance) % 60000));
        upstream_say(fd, from, wrong, size);
    }
    if (b == 'x') {
        wrong[14] ^= 2;
        upstream_say(fd, from, wrong, size);
    }
    if (b == 'y' || b == 'm')
        for (unsigned i = 0; b == 'y' && i < 1 + chance(&u->chance) % 4; i++)
            out[2 + chance(&u->chance) % (size - 2)] ^= (uint8_t)(1u << chance(&u->chance) % 8);
    if (b == 'l' || b == 'p')
        upstream_hold(u, fd, from, out, size, b == 'l' ? LATER_MS : PAUSED_MS);
    else if (b != 'q' && b != 's')
        upstream_say(fd, from, out, b == 'm' ? size - 1 - chance(&u->chance) % (size - HEADER_BYTES) : size);
    if (b == 'd')
        upstream_say(fd, from, out, size);
}

static void *upstream_main(void *argument)
{
    upstream *u = argument;
    uint8_t query[QUESTION_MESSAGE_MAX];
    while (!stopped()) {
        struct pollfd wait[DRIVER_PORTS - 1];
        for (unsigned i = 0; i < DRIVER_PORTS - 1; i++)
            wait[i] = (struct pollfd){ .fd = u->fd[i], .events = POLLIN };
        (void)poll(wait, DRIVER_PORTS - 1, 5);
        for (unsigned i = 0; i < DRIVER_PORTS - 1; i++)
            for (unsigned k = 0; k < 64; k++) {
                udp_address from;
                socklen_t size = sizeof from;
                ssize_t n = recvfrom(u->fd[i], query, sizeof query, 0, &from.any, &size);
                if (n < 0)
                    break;
                upstream_one(u, u->fd[i], &from, query, (size_t)n);
            }
        uint64_t now_ms = worker_clock_ns() / 1000000;
        for (later *l = u->held; l < u->held + LATER_MAX; l++)
            if (l->at_ms && l->at_ms <= now_ms) {
                store_u16(l->packet + l->size - 2, (uint16_t)load_state(&shared_state.swap_done));
                upstream_say(l->fd, &l->to, l->packet, l->size);
                l->at_ms = 0;
            }
    }
    return 0;
}

static void upstream_start(upstream *u, uint64_t seed)
{
    u->chance = seed;
    for (unsigned i = 0; i < DRIVER_PORTS - 1; i++) {
        u->fd[i] = open_socket(0, 1, 0, 0);
        shared_state.upstream_port[i] = port_of(u->fd[i]);
    }
    int closed = open_socket(0, 1, 0, 0);
    shared_state.upstream_port[DRIVER_PORTS - 1] = port_of(closed);
    (void)close(closed);
    if (pthread_create(&u->thread, 0, upstream_main, u) != 0)
        die("no thread");
}

static void upstream_end(upstream *u)
{
    (void)pthread_join(u->thread, 0);
    for (unsigned i = 0; i < DRIVER_PORTS - 1; i++)
        (void)close(u->fd[i]);
}

#endif
