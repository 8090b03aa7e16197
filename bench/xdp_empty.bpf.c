/* What XDP itself costs: a program that passes everything, and one that sends every frame back with its Ethernet addresses exchanged. */
#include "xdp_bpf.h"

XDP_SECTION("xdp") int empty_pass(struct xdp_md *ctx)
{
    (void)ctx;
    return XDP_PASS;
}

XDP_SECTION("xdp") int empty_tx(struct xdp_md *ctx)
{
    wire_ethernet *e = (void *)(long)ctx->data;
    uint8_t from[6];
    if ((uint8_t *)(e + 1) > (uint8_t *)(long)ctx->data_end)
        return XDP_PASS;
    __builtin_memcpy(from, e->from, 6);
    __builtin_memcpy(e->from, e->to, 6);
    __builtin_memcpy(e->to, from, 6);
    return XDP_TX;
}

const char terms[] XDP_SECTION("license") = "Apache-2.0";
