/* SipHash-1-3 with 128 bits of output (Aumasson, Bernstein 2012; the reference code's 128-bit variant).
 *
 * A state is a value: copying it is how one pass over a name yields the fingerprint of every suffix.
 * No allocation, no libc beyond memcpy, no unbounded loop: the same file compiles for user space and BPF.
 */
#ifndef BLOCKD_SIPHASH_H
#define BLOCKD_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct { uint64_t k0, k1; } sip_key;
typedef struct { uint64_t v0, v1, v2, v3; } sip_state;

/* 128 bits; `hi` chooses the bucket (upper half), the rest is compared. */
typedef struct { uint64_t hi, lo; } fingerprint;

static inline uint64_t sip_rotl(uint64_t x, int b) { return (x << b) | (x >> (64 - b)); }

static inline uint64_t sip_load64(const uint8_t *p)
{
    uint64_t m;
    memcpy(&m, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    m = __builtin_bswap64(m);
#endif
    return m;
}

static inline void sip_round(sip_state *s)
{
    s->v0 += s->v1; s->v1 = sip_rotl(s->v1, 13); s->v1 ^= s->v0; s->v0 = sip_rotl(s->v0, 32);
    s->v2 += s->v3; s->v3 = sip_rotl(s->v3, 16); s->v3 ^= s->v2;
    s->v0 += s->v3; s->v3 = sip_rotl(s->v3, 21); s->v3 ^= s->v0;
    s->v2 += s->v1; s->v1 = sip_rotl(s->v1, 17); s->v1 ^= s->v2; s->v2 = sip_rotl(s->v2, 32);
}

static inline sip_key sip_key_from(const uint8_t bytes[16])
{
    return (sip_key){ sip_load64(bytes), sip_load64(bytes + 8) };
}

static inline sip_state sip_begin(sip_key key)
{
    return (sip_state){
        0x736f6d6570736575ULL ^ key.k0, 0x646f72616e646f6dULL ^ key.k1 ^ 0xee,
        0x6c7967656e657261ULL ^ key.k0, 0x7465646279746573ULL ^ key.k1,
    };
}

/* Absorb one block of eight bytes, little-endian. */
static inline void sip_absorb(sip_state *s, uint64_t block)
{
    s->v3 ^= block;
    sip_round(s);
    s->v0 ^= block;
}

/* `tail` holds the last length%8 bytes, little-endian; `length` is that of the whole message.
 * The state is a copy, so the caller can go on absorbing. */
static inline fingerprint sip_end(sip_state s, uint64_t tail, uint64_t length)
{
    fingerprint out;
    sip_absorb(&s, tail | length << 56);
    s.v2 ^= 0xee;
    sip_round(&s); sip_round(&s); sip_round(&s);
    out.hi = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    sip_round(&s); sip_round(&s); sip_round(&s);
    out.lo = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    return out;
}

static inline fingerprint sip_hash(sip_key key, const uint8_t *p, size_t n)
{
    sip_state s = sip_begin(key);
    uint64_t tail = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        sip_absorb(&s, sip_load64(p + i));
    for (size_t j = 0; i + j < n; j++)
        tail |= (uint64_t)p[i + j] << (8 * j);
    return sip_end(s, tail, n);
}

#endif
