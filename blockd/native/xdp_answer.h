/* The answer of a verdict, in the packet that asked: the parts of answer.h, put together behind a question that stays where it is. */
#ifndef BLOCKD_XDP_ANSWER_H
#define BLOCKD_XDP_ANSWER_H

#include "counts.h"
#include "xdp_lookup.h"
#include "xdp_packet.h"

/* The stop page's addresses for this question: its unit and their number; 0 for none. */
XDP_INLINE unsigned xdp_addresses(const xdp_policy *policy, const dns_question *q)
{
    return q->type == TYPE_A ? policy->n4 : q->type == TYPE_AAAA ? policy->n6 : 0;
}

XDP_INLINE void xdp_put_addresses(writer *w, const uint8_t *unit, unsigned n, const dns_question *q, uint32_t ttl_s)
{
    for (unsigned i = 0; i < XDP_ADDRESSES_MAX; i++) {
        if (i == n)
            break;
        answer_owner(w, q, q->type, ttl_s, q->type == TYPE_AAAA ? 16 : 4);
        if (q->type == TYPE_AAAA)
            put_bytes(w, unit + 16 * i, 16);
        else
            put_bytes(w, unit + 4 * i, 4);
    }
}

/* answer_blocked's rule: does this verdict give addresses, and with which code is the rest answered? */
XDP_INLINE unsigned xdp_rcode(const xdp_policy *policy, const dns_question *q, const xdp_verdict *v)
{
    if (v->action == ACTION_REFUSED)
        return RCODE_REFUSED;
    if (v->action == ACTION_NODATA || (v->action == ACTION_STOP_PAGE && !q->structured_error && (policy->n4 || policy->n6)))
        return RCODE_NOERROR;
    return RCODE_NXDOMAIN;
}

/* Write what stands behind the question into work->tail. Returns its octets, or -1 for what user space must write. */
XDP_INLINE int xdp_tail(void *map, const xdp_policy *policy, xdp_work *work, const dns_question *q, const xdp_verdict *v, unsigned rcode)
{
    writer w = { work->tail, work->tail, work->tail + XDP_TAIL_MAX, 0 };
    unsigned answers = 0, authority = 0;
    if (v->action == ACTION_STOP_PAGE && rcode == RCODE_NOERROR)
        answers = xdp_addresses(policy, q);
    if (answers > XDP_ADDRESSES_MAX)
        return -1;
    if (answers) {
        const uint8_t *unit = xdp_unit(map, q->type == TYPE_AAAA ? 3 : 2);
        if (!unit)
            return -1;
        xdp_put_addresses(&w, unit, answers, q, policy->ttl_s);
    } else if (v->action != ACTION_REFUSED) {
        answer_soa(&w, q, policy->ttl_s);
        authority = 1;
    }
    answer_header(work->message, q, rcode, 0);
    answer_count(work->message, answers, authority, answer_opt(&w, q, rcode, v->ede));
    return w.full ? -1 : (int)writer_at(&w);
}

/* The sum of the answer's octets for its checksum: the question's part, then the tail, which may begin at an odd octet. */
XDP_INLINE uint64_t xdp_sum(xdp_work *work, uint32_t head, uint32_t tail)
{
    XDP_KEEP(head);
    XDP_KEEP(tail);
    if (head > QUESTION_BYTES_MAX || tail > XDP_TAIL_MAX)
        return 0;
    __builtin_memset(work->message + head, 0, 4);
    __builtin_memset(work->tail + tail, 0, 4);
    uint32_t head_words = (head + 3) & ~3U, tail_words = (tail + 3) & ~3U;
    XDP_KEEP(head_words);
    XDP_KEEP(tail_words);
    if (head_words > XDP_QUERY_MAX || tail_words > XDP_TAIL_MAX + 4)
        return 0;
    uint64_t sum = (uint32_t)bpf_csum(0, 0, work->message, head_words, 0);
    uint16_t rest = xdp_carry((uint32_t)bpf_csum(0, 0, work->tail, tail_words, 0));
    return sum + ((head & 1) ? __builtin_bswap16(rest) : rest);
}

/* Give the frame the answer's length. Where there is no room behind it (veth gives a frame little more than it holds) there is room before it:
 * then the headers move to the front, and the question with them. Returns 0 with the packet as it was. */
XDP_INLINE int xdp_make_room(struct xdp_md *ctx, const xdp_packet *p, xdp_work *work, uint32_t head, int growth)
{
    uint64_t headers = p->dns, question = (uint64_t)head - HEADER_BYTES;
    if (bpf_adjust_tail(ctx, growth) == 0)
        return 1;
    XDP_KEEP(headers);
    XDP_KEEP(question);
    if (headers == 0 || headers > sizeof work->headers || question == 0 || question > NAME_WIRE_MAX + 4 || growth <= 0)
        return 0;
    if (bpf_adjust_head(ctx, -growth) != 0)
        return 0;
    bpf_load(ctx, (uint32_t)growth, work->headers, (uint32_t)headers);
    bpf_store(ctx, 0, work->headers, (uint32_t)headers);
    bpf_store(ctx, p->dns + HEADER_BYTES, work->message + HEADER_BYTES, (uint32_t)question);
    return 1;
}

/* Returns 0 when user space must answer; the packet is then as it was. */
XDP_INLINE int xdp_write(struct xdp_md *ctx, void *map, const xdp_policy *policy, const xdp_packet *p, xdp_work *work, const dns_question *q, const xdp_verdict *v, unsigned *rcode)
{
    *rcode = xdp_rcode(policy, q, v);
    int tail = xdp_tail(map, policy, work, q, v, *rcode);
    uint32_t head = q->end;
    uint64_t bytes = (uint32_t)tail;
    XDP_KEEP(bytes);
    if (tail < 0 || bytes > XDP_TAIL_MAX || head + bytes > answer_room(q, policy->udp_max, 0))
        return 0;
    uint64_t sum = xdp_sum(work, head, (uint32_t)bytes);
    if (!xdp_make_room(ctx, p, work, head, (int)(p->dns + head + (uint32_t)bytes) - (int)p->frame_bytes))
        return 0;
    bpf_store(ctx, p->dns, work->message, HEADER_BYTES);
    if (bytes)
        bpf_store(ctx, p->dns + head, work->tail, (uint32_t)bytes);
    return xdp_turn(ctx, p, head + (uint32_t)bytes, sum);
}

#endif
