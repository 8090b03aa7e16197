/* Datagrams in batches: receive with the address that was asked, send from it (a client drops what comes from another one).
 *
 * One recvmmsg and one sendmmsg a batch. The socket never blocks. Answers carry DF and ignore what ICMP says of the path's MTU
 * (RFC 9715 §3.1): they are small enough, and a forged ICMP message must not make them fragments.
 */
#ifndef BLOCKD_UDP_H
#define BLOCKD_UDP_H

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "acl.h"
#include "question.h"

enum {
    UDP_BATCH = 64,
    UDP_IN_BYTES = QUESTION_MESSAGE_MAX + 1, /* one more than the longest query: a longer one shows */
    UDP_OUT_BYTES = QUESTION_MESSAGE_MAX,    /* udp_max is never larger */
    UDP_CONTROL_BYTES = 128,
    UDP_REPLY_CONTROL_BYTES = 40, /* CMSG_SPACE of an in6_pktinfo, the larger one */
    UDP_SPREAD_BYTES = 192,       /* packets of a batch start on different lines of the first cache, not all on one */
};

typedef union {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
} udp_address;

/* Where an answer goes. */
typedef struct {
    udp_address address;
    uint8_t address_bytes, control_bytes;
    uint16_t door;                             /* the socket, by its number in the worker */
    uint8_t control[UDP_REPLY_CONTROL_BYTES] __attribute__((aligned(8))); /* the address that was asked, as a control message */
} udp_client;

typedef struct {
    struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
    struct iovec in_vec[UDP_BATCH], out_vec[UDP_BATCH];
    udp_address address[UDP_BATCH];
    uint8_t control[UDP_BATCH][UDP_CONTROL_BYTES] __attribute__((aligned(16)));
    uint8_t packet[UDP_BATCH][UDP_IN_BYTES - 1 + UDP_SPREAD_BYTES];
    uint8_t answer[UDP_BATCH][UDP_OUT_BYTES + UDP_SPREAD_BYTES];
} udp_batch;

static inline int udp_option(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

/* Ask the kernel for what udp_receive needs. A socket that is bound to one address answers from it by itself; one that is bound to all must
 * be told which was asked (`wildcard`), at some 100 ns a datagram. Returns 0 with errno set. */
static inline int udp_prepare(int fd, int family, int wildcard)
{
    if (family == 4) {
        (void)udp_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
        return udp_option(fd, IPPROTO_IP, IP_PKTINFO, wildcard) == 0;
    }
    (void)udp_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    return udp_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, wildcard) == 0;
}

static inline void udp_init(udp_batch *b)
{
    memset(b->in, 0, sizeof b->in);
    memset(b->out, 0, sizeof b->out);
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        b->in_vec[i] = (struct iovec){ b->packet[i], UDP_IN_BYTES };
        b->in[i].msg_hdr.msg_iov = &b->in_vec[i];
        b->in[i].msg_hdr.msg_iovlen = 1;
        b->in[i].msg_hdr.msg_name = &b->address[i];
        b->in[i].msg_hdr.msg_control = b->control[i];
        b->out[i].msg_hdr.msg_iov = &b->out_vec[i];
        b->out[i].msg_hdr.msg_iovlen = 1;
    }
}

/* How many datagrams found the socket's queue full, since it was made. Asked for now and then: to have the kernel say it with each datagram
 * (SO_RXQ_OVFL) costs some 50 ns a datagram. */
static inline uint32_t udp_dropped(int fd)
{
    uint32_t memory[SK_MEMINFO_VARS] = { 0 };
    socklen_t size = sizeof memory;
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0 ? memory[SK_MEMINFO_DROPS] : 0;
}

/* Returns how many datagrams came, 0 for none, -1 with errno. */
static inline int udp_receive(udp_batch *b, int fd)
{
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        b->in[i].msg_hdr.msg_namelen = sizeof b->address[i];
        b->in[i].msg_hdr.msg_controllen = UDP_CONTROL_BYTES;
    }
    int n = recvmmsg(fd, b->in, UDP_BATCH, MSG_DONTWAIT, 0);
    /* ECONNREFUSED and the like are about datagrams sent earlier: the next call receives. */
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH ? 0 : -1;
}

/* The sender's address in the IPv6 form. Returns 4 or 6, or 0 for a sender that can't be answered. */
static inline unsigned udp_sender(const udp_address *from, uint8_t address[16])
{
    if (from->any.sa_family == AF_INET) {
        (void)acl_address((const uint8_t *)&from->in4.sin_addr, 4, address);
        return from->in4.sin_port ? 4 : 0;
    }
    if (from->any.sa_family != AF_INET6)
        return 0;
    memcpy(address, &from->in6.sin6_addr, 16);
    return !from->in6.sin6_port ? 0 : memcmp(address, ACL_MAPPED, 12) == 0 ? 4 : 6;
}

/* Turn what was received into what is to be sent: the local address that was asked, as source. The interface is named only for
 * link-local addresses, so that the route may go out elsewhere. Returns the octets of control. */
static inline size_t udp_reply_from(struct msghdr *m, uint8_t *control)
{
    size_t bytes = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            info.ipi_ifindex = 0;
            info.ipi_addr.s_addr = 0;
            bytes = CMSG_SPACE(sizeof info);
            memcpy(control, c, sizeof *c);
            memcpy(control + CMSG_LEN(0), &info, sizeof info);
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                info.ipi6_ifindex = 0;
            bytes = CMSG_SPACE(sizeof info);
            memcpy(control, c, sizeof *c);
            memcpy(control + CMSG_LEN(0), &info, sizeof info);
        }
    }
    return bytes;
}

/* Lay message `i` of the outgoing batch. */
static inline void udp_lay(udp_batch *b, unsigned i, void *address, socklen_t address_bytes, void *control, size_t control_bytes, void *bytes, size_t n)
{
    struct msghdr *m = &b->out[i].msg_hdr;
    m->msg_name = address;
    m->msg_namelen = address_bytes;
    m->msg_control = control_bytes ? control : 0;
    m->msg_controllen = control_bytes;
    b->out_vec[i] = (struct iovec){ bytes, n };
}

/* Send the first `n`. One that the kernel refuses is left out; when its queue is full the rest is: clients ask again. Returns how many went. */
static inline unsigned udp_send(udp_batch *b, int fd, unsigned n)
{
    unsigned at = 0, sent = 0;
    while (at < n) {
        int now = sendmmsg(fd, b->out + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (now > 0) {
            at += (unsigned)now;
            sent += (unsigned)now;
        } else if (now < 0 && errno == EINTR)
            continue;
        else if (now < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EBADF))
            break;
        else
            at++;
    }
    return sent;
}

#endif
