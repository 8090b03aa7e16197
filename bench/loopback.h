/* What the three benchmark programs share: the clock, an address that can only be loopback, a socket, one batch of datagrams.
 *
 * None of these programs may ever reach another machine: a load generator that takes any address is a weapon. So the address is parsed here, once,
 * and anything outside 127.0.0.0/8 and ::1 is refused before a socket exists.
 */
#ifndef BENCH_LOOPBACK_H
#define BENCH_LOOPBACK_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, DATAGRAM_OCTETS_MAX = 4096, HEADER_OCTETS = 12, SOCKET_BUFFER_BYTES = 8 << 20 };

typedef struct {
    struct sockaddr_storage at;
    socklen_t length;
} endpoint;

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A decimal number in [least, most], or the end of the program: the command line is the caller's own. */
static inline unsigned long number(const char *text, unsigned long least, unsigned long most, const char *what)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *end || end == text || *text == '-' || value < least || value > most) {
        fprintf(stderr, "%s: %s is not a number from %lu to %lu\n", what, text, least, most);
        exit(2);
    }
    return value;
}

/* Loopback or nothing: 0 and *out, or -1. */
static inline int loopback(const char *text, unsigned port, endpoint *out)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&out->at;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out->at;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1 && (ntohl(four->sin_addr.s_addr) >> 24) == 127) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        out->length = sizeof *four;
        return 0;
    }
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr)) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        out->length = sizeof *six;
        return 0;
    }
    return -1;
}

/* A UDP socket with wide buffers (as root beyond the system's limit, else up to it), or -1. */
static inline int udp_socket(const endpoint *e)
{
    int fd = socket(e->at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), wide = SOCKET_BUFFER_BYTES;
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wide, sizeof wide))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wide, sizeof wide);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wide, sizeof wide))
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wide, sizeof wide);
    return fd;
}

/* A responder's socket on 127.0.0.1 and its port on standard output, which the starter waits for; -1 when it can't be had. */
static inline int serve_on(const char *address, unsigned port)
{
    endpoint e;
    if (loopback(address, port, &e)) {
        fprintf(stderr, "%s is not a loopback address\n", address);
        return -1;
    }
    int fd = udp_socket(&e);
    if (fd < 0 || bind(fd, (struct sockaddr *)&e.at, e.length) || getsockname(fd, (struct sockaddr *)&e.at, &e.length)) {
        perror("bind");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    printf("%u\n", (unsigned)ntohs(((struct sockaddr_in *)&e.at)->sin_port)); /* the port is at one offset in both families */
    fflush(stdout);
    return fd;
}

/* One batch of datagrams and where they came from. Octets lie behind the vectors, DATAGRAM_OCTETS_MAX each. */
typedef struct {
    struct mmsghdr header[BATCH];
    struct iovec part[BATCH];
    struct sockaddr_storage from[BATCH];
    uint8_t octets[BATCH][DATAGRAM_OCTETS_MAX];
} batch;

/* All of the batch ready to receive into. `names` 0: the socket is connected, no address is wanted. */
static inline void batch_reset(batch *b, int names)
{
    for (int i = 0; i < BATCH; i++) {
        b->part[i] = (struct iovec){ b->octets[i], DATAGRAM_OCTETS_MAX };
        b->header[i].msg_hdr = (struct msghdr){
            .msg_iov = &b->part[i],
            .msg_iovlen = 1,
            .msg_name = names ? &b->from[i] : NULL,
            .msg_namelen = names ? sizeof b->from[i] : 0,
        };
    }
}

/* Send header[0..n) as they stand; what the kernel refuses (ECONNREFUSED of a peer that is gone, a full buffer) is dropped, as on a wire. */
static inline void batch_send(int fd, batch *b, int n)
{
    for (int done = 0; done < n;) {
        int sent = sendmmsg(fd, b->header + done, (unsigned)(n - done), 0);
        done += sent > 0 ? sent : 1;
    }
}

#endif
