/* What the BPF side needs of the kernel: helpers by number, maps as libbpf reads them from BTF, and headers on the wire.
 *
 * libbpf's own headers are a development package; these few lines are all of it that is used, so that building needs clang and
 * nothing else.
 */
#ifndef BLOCKD_XDP_BPF_H
#define BLOCKD_XDP_BPF_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#define XDP_SECTION(name) __attribute__((section(name), used))
#define XDP_INLINE static inline __attribute__((always_inline))

/* Map attributes: an integer is the size of a pointed-to array, a type is what is pointed to. */
#define MAP_NUMBER(name, value) int (*name)[value]
#define MAP_TYPE(name, value) value *name
#define MAP_VALUES(name, value) value *name[]

static void *(*const bpf_map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const bpf_map_update)(void *map, const void *key, const void *value, uint64_t flags) = (void *)BPF_FUNC_map_update_elem;
static long (*const bpf_map_push)(void *map, const void *value, uint64_t flags) = (void *)BPF_FUNC_map_push_elem;
static uint32_t (*const bpf_cpu)(void) = (void *)BPF_FUNC_get_smp_processor_id;
static int64_t (*const bpf_csum)(const void *from, uint32_t from_bytes, const void *to, uint32_t to_bytes, uint32_t seed) = (void *)BPF_FUNC_csum_diff;
static long (*const bpf_adjust_tail)(struct xdp_md *ctx, int delta) = (void *)BPF_FUNC_xdp_adjust_tail;
static long (*const bpf_adjust_head)(struct xdp_md *ctx, int delta) = (void *)BPF_FUNC_xdp_adjust_head;
static long (*const bpf_load)(struct xdp_md *ctx, uint32_t at, void *to, uint32_t bytes) = (void *)BPF_FUNC_xdp_load_bytes;
static long (*const bpf_store)(struct xdp_md *ctx, uint32_t at, void *from, uint32_t bytes) = (void *)BPF_FUNC_xdp_store_bytes;
static long (*const bpf_repeat)(uint32_t times, void *callback, void *with, uint64_t flags) = (void *)BPF_FUNC_loop;
static uint64_t (*const bpf_coarse_ns)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;

/* Have the verifier see a bound that the compiler thinks it may leave out. */
#define XDP_KEEP(x) __asm__ volatile("" : "+r"(x))

enum { ETHERNET_BYTES = 14, VLAN_BYTES = 4, IPV4_BYTES = 20, IPV6_BYTES = 40, UDP_BYTES = 8 };

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_VLAN = 0x8100, ETHERTYPE_IPV6 = 0x86dd, ETHERTYPE_QINQ = 0x88a8, PROTOCOL_UDP = 17, ANSWER_HOPS = 64 };

typedef struct {
    uint8_t to[6], from[6];
    uint16_t type;
} __attribute__((packed)) wire_ethernet;

typedef struct {
    uint16_t tag, type;
} __attribute__((packed)) wire_vlan;

typedef struct {
    uint8_t version_words, service;
    uint16_t bytes, id, fragment;
    uint8_t hops, protocol;
    uint16_t checksum;
    uint32_t from, to;
} __attribute__((packed)) wire_ipv4;

typedef struct {
    uint32_t version_flow;
    uint16_t bytes;
    uint8_t next, hops;
    uint32_t from[4], to[4];
} __attribute__((packed)) wire_ipv6;

typedef struct {
    uint16_t from, to, bytes, checksum;
} __attribute__((packed)) wire_udp;

XDP_INLINE uint16_t wire16(uint16_t x)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap16(x);
#else
    return x;
#endif
}

XDP_INLINE uint32_t wire32(uint32_t x)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap32(x);
#else
    return x;
#endif
}

#endif
