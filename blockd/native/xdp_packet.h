/* The packet around the query: is it one that blockd may answer here, and the same headers turned round for the answer.
 *
 * Left to user space: more than two VLAN tags, IPv4 options and fragments, IPv6 extension headers, lengths that do not agree, a
 * damaged IPv4 header, frames that are not for this interface's own address, and sources that the kernel drops as martian or that
 * nobody can be answered at. The UDP checksum of a query is not verified: on veth and virtio the kernel leaves it undone, and an answer
 * to a damaged question is one that its client does not take, since the question comes back in it.
 */
#ifndef BLOCKD_XDP_PACKET_H
#define BLOCKD_XDP_PACKET_H

#include "xdp_bpf.h"
#include "xdp_policy.h"

typedef struct {
    uint32_t ip, udp, dns;  /* offsets into the frame */
    uint32_t dns_bytes, frame_bytes;
    uint16_t tags;
    xdp_service service;    /* where it was sent to */
    xdp_prefix source;      /* bits: 32 or 128 */
} xdp_packet;

XDP_INLINE uint16_t xdp_carry(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

XDP_INLINE uint64_t xdp_sum_ipv4(const wire_ipv4 *ip)
{
    const uint16_t *p = (const void *)ip;
    uint64_t sum = 0;
    for (unsigned i = 0; i < IPV4_BYTES / 2; i++)
        sum += p[i];
    return sum;
}

/* Sources that no answer goes to (RFC 6890). */
XDP_INLINE int xdp_martian4(uint32_t from)
{
    uint32_t a = wire32(from);
    return a >> 24 == 0 || a >> 24 == 127 || a >> 28 >= 0xe || a >> 16 == 0xa9fe;
}

XDP_INLINE int xdp_martian6(const uint32_t from[4])
{
    if (wire32(from[0]) >> 24 == 0xff || wire32(from[0]) >> 22 == 0xfe80 >> 6)
        return 1;
    return !from[0] && !from[1]; /* ::, ::1, ::ffff:0:0/96 and their like */
}

XDP_INLINE int xdp_is_service_port(const volatile xdp_settings *s, uint16_t port)
{
    return port && (port == s->ports[0] || port == s->ports[1] || port == s->ports[2] || port == s->ports[3]);
}

/* Returns 1 for a UDP datagram to a port of ours in the plainest of forms. */
XDP_INLINE int xdp_parse(struct xdp_md *ctx, const volatile xdp_settings *s, xdp_packet *p)
{
    uint8_t *data = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end, *at = data + ETHERNET_BYTES;
    if (at + UDP_BYTES > end)
        return 0;
    const wire_ethernet *e = (const void *)data;
    uint16_t type = e->type;
    p->tags = 0;
    p->service.vlan[0] = p->service.vlan[1] = 0;
    for (unsigned i = 0; i < 2; i++) {
        const wire_vlan *v = (const void *)at;
        if (type != wire16(ETHERTYPE_VLAN) && type != wire16(ETHERTYPE_QINQ))
            break;
        if (at + VLAN_BYTES > end)
            return 0;
        p->service.vlan[i] = wire16(v->tag) & 0xfff;
        if (!p->service.vlan[i]) /* a priority alone */
            return 0;
        p->tags++;
        type = v->type;
        at += VLAN_BYTES;
    }
    const wire_udp *u;
    uint32_t bytes;
    if (type == wire16(ETHERTYPE_IPV4)) {
        const wire_ipv4 *ip = (const void *)at;
        u = (const void *)(at + IPV4_BYTES);
        if ((const uint8_t *)(u + 1) > end || ip->protocol != PROTOCOL_UDP || !xdp_is_service_port(s, u->to))
            return 0;
        if (ip->version_words != 0x45 || (ip->fragment & wire16(0x3fff)) || !ip->hops || xdp_martian4(ip->from) || ip->from == ip->to)
            return 0;
        bytes = (uint32_t)wire16(ip->bytes) - IPV4_BYTES;
        p->service.address[0] = ip->to;
        p->service.address[1] = p->service.address[2] = p->service.address[3] = 0;
        p->service.family = 4;
        p->source.bits = 32;
        __builtin_memset(p->source.address, 0, 16);
        __builtin_memcpy(p->source.address, &ip->from, 4);
    } else if (type == wire16(ETHERTYPE_IPV6)) {
        const wire_ipv6 *ip = (const void *)at;
        u = (const void *)(at + IPV6_BYTES);
        if ((const uint8_t *)(u + 1) > end || ip->next != PROTOCOL_UDP || !xdp_is_service_port(s, u->to))
            return 0;
        if ((wire32(ip->version_flow) >> 28) != 6 || !ip->hops || !u->checksum || xdp_martian6(ip->from))
            return 0;
        bytes = wire16(ip->bytes);
        __builtin_memcpy(p->service.address, ip->to, 16);
        p->service.family = 6;
        p->source.bits = 128;
        __builtin_memcpy(p->source.address, ip->from, 16);
        if (ip->from[0] == ip->to[0] && ip->from[1] == ip->to[1] && ip->from[2] == ip->to[2] && ip->from[3] == ip->to[3])
            return 0;
    } else
        return 0;
    p->service.port = u->to;
    p->service.zero = 0;
    p->ip = (uint32_t)(at - data);
    p->udp = (uint32_t)((const uint8_t *)u - data);
    p->dns = p->udp + UDP_BYTES;
    p->dns_bytes = bytes - UDP_BYTES;
    /* A frame may be longer than its packet (Ethernet pads to 60 octets), never shorter. */
    long frame = end - data;
    XDP_KEEP(frame);
    p->frame_bytes = (uint32_t)frame;
    return u->from && bytes == wire16(u->bytes) && p->udp + bytes <= p->frame_bytes;
}

/* Is the frame for this interface alone, and its IPv4 header whole? Looked at for packets that are about to be answered. */
XDP_INLINE int xdp_is_sound(struct xdp_md *ctx, const volatile xdp_settings *s, const xdp_packet *p)
{
    uint8_t *data = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
    const wire_ethernet *e = (const void *)data;
    uint32_t at = p->ip;
    XDP_KEEP(at);
    at &= 31;
    const wire_ipv4 *ip = (const void *)(data + at);
    if (data + ETHERNET_BYTES > end || (const uint8_t *)(ip + 1) > end)
        return 0;
    for (unsigned i = 0; i < 6; i++)
        if (e->to[i] != s->mac[i])
            return 0;
    return p->service.family == 6 || xdp_carry(xdp_sum_ipv4(ip)) == 0xffff;
}

/* Turn the headers round. `sum`: of the answer's octets. The frame has its new length already. */
XDP_INLINE int xdp_turn(struct xdp_md *ctx, const xdp_packet *p, uint32_t answer_bytes, uint64_t sum)
{
    uint8_t *data = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
    uint32_t ip_at = p->ip, udp_at = p->udp;
    XDP_KEEP(ip_at);
    XDP_KEEP(udp_at);
    ip_at &= 31;
    udp_at &= 127;
    wire_ethernet *e = (void *)data;
    wire_udp *u = (void *)(data + udp_at);
    if ((uint8_t *)(e + 1) > end || (uint8_t *)(u + 1) > end)
        return 0;
    uint8_t mac[6];
    __builtin_memcpy(mac, e->to, 6);
    __builtin_memcpy(e->to, e->from, 6);
    __builtin_memcpy(e->from, mac, 6);
    uint16_t port = u->to, bytes = wire16((uint16_t)(UDP_BYTES + answer_bytes));
    u->to = u->from;
    u->from = port;
    u->bytes = bytes;
    sum += (uint64_t)u->to + u->from + bytes + bytes + wire16(PROTOCOL_UDP);
    if (p->service.family == 4) {
        wire_ipv4 *ip = (void *)(data + ip_at);
        if ((uint8_t *)(ip + 1) > end)
            return 0;
        uint32_t from = ip->to;
        ip->to = ip->from;
        ip->from = from;
        ip->service = 0;
        ip->bytes = wire16((uint16_t)(IPV4_BYTES + UDP_BYTES + answer_bytes));
        ip->id = 0;
        ip->fragment = wire16(0x4000); /* DF, as user space's answers (RFC 9715 §3.1) */
        ip->hops = ANSWER_HOPS;
        ip->checksum = 0;
        ip->checksum = (uint16_t)~xdp_carry(xdp_sum_ipv4(ip));
        sum += (uint64_t)ip->from + ip->to;
    } else {
        wire_ipv6 *ip = (void *)(data + ip_at);
        if ((uint8_t *)(ip + 1) > end)
            return 0;
        ip->version_flow = wire32(0x60000000);
        ip->bytes = bytes;
        ip->hops = ANSWER_HOPS;
        for (unsigned i = 0; i < 4; i++) {
            uint32_t from = ip->to[i];
            ip->to[i] = ip->from[i];
            ip->from[i] = from;
            sum += (uint64_t)ip->from[i] + ip->to[i];
        }
    }
    uint16_t checksum = (uint16_t)~xdp_carry(sum);
    u->checksum = checksum ? checksum : 0xffff; /* RFC 768: zero would say that there is none */
    return 1;
}

#endif
