/* SHA-256 (FIPS 180-4) of what is written to or read from a file: the builder and its checks.
 *
 * Two block functions, one result: the portable one, and the one on the x86 SHA extensions (about six times as
 * fast), chosen when a state begins by asking the processor. Never used per packet.
 */
#ifndef BLOCKD_SHA256_H
#define BLOCKD_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef void (*sha256_blocks)(uint32_t h[8], const uint8_t *p, size_t blocks);

typedef struct {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t rest[64]; /* the bytes behind the last whole block */
    sha256_blocks blocks;
} sha256_state;

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t sha256_ror(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

static inline void sha256_blocks_portable(uint32_t h[8], const uint8_t *p, size_t blocks)
{
    for (; blocks; blocks--, p += 64) {
        uint32_t w[64], s[8];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
        for (int i = 16; i < 64; i++) {
            uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] + (sha256_ror(a, 7) ^ sha256_ror(a, 18) ^ (a >> 3))
                + (sha256_ror(b, 17) ^ sha256_ror(b, 19) ^ (b >> 10));
        }
        memcpy(s, h, sizeof s);
        /* The eight variables turn instead of being moved: in step i, variable v is s[(v - i) & 7]. */
#pragma GCC unroll 64
        for (int i = 0; i < 64; i++) {
            uint32_t a = s[-i & 7], e = s[(4 - i) & 7], f = s[(5 - i) & 7], g = s[(6 - i) & 7], *last = &s[(7 - i) & 7];
            uint32_t b = s[(1 - i) & 7], c = s[(2 - i) & 7];
            uint32_t t1 = *last + (sha256_ror(e, 6) ^ sha256_ror(e, 11) ^ sha256_ror(e, 25)) + ((e & f) ^ (~e & g)) + sha256_k[i] + w[i];
            s[(3 - i) & 7] += t1;
            *last = t1 + (sha256_ror(a, 2) ^ sha256_ror(a, 13) ^ sha256_ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        }
        for (int i = 0; i < 8; i++)
            h[i] += s[i];
    }
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

static inline int sha256_has_extension(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1); /* CPUID.7.EBX.SHA */
}

/* The state lives in two registers as ABEF and CDGH, the order that SHA256RNDS2 wants. */
__attribute__((target("sha,ssse3,sse4.1")))
static inline void sha256_blocks_extension(uint32_t h[8], const uint8_t *p, size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i t = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0xb1);
    __m128i cdgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(h + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(t, cdgh, 8);
    cdgh = _mm_blend_epi16(cdgh, t, 0xf0);
    for (; blocks; blocks--, p += 64) {
        __m128i m[4], abef_before = abef, cdgh_before = cdgh;
        for (int i = 0; i < 4; i++)
            m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i w = _mm_add_epi32(m[i & 3], _mm_loadu_si128((const __m128i *)(sha256_k + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, w);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(w, 0x0e));
            if (i < 12) { /* the four words that take this place in four steps */
                __m128i x = _mm_sha256msg1_epu32(m[i & 3], m[(i + 1) & 3]);
                x = _mm_add_epi32(x, _mm_alignr_epi8(m[(i + 3) & 3], m[(i + 2) & 3], 4));
                m[i & 3] = _mm_sha256msg2_epu32(x, m[(i + 3) & 3]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    t = _mm_shuffle_epi32(abef, 0x1b);
    cdgh = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)h, _mm_blend_epi16(t, cdgh, 0xf0));
    _mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(cdgh, t, 8));
}
#endif

static inline sha256_blocks sha256_choose(void)
{
#if defined(__x86_64__)
    if (sha256_has_extension())
        return sha256_blocks_extension;
#endif
    return sha256_blocks_portable;
}

static inline void sha256_begin(sha256_state *s)
{
    static const uint32_t first[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memcpy(s->h, first, sizeof first);
    s->bytes = 0;
    s->blocks = sha256_choose();
}

static inline void sha256_add(sha256_state *s, const uint8_t *p, size_t n)
{
    size_t held = s->bytes & 63;
    s->bytes += n;
    if (held) {
        size_t take = n < 64 - held ? n : 64 - held;
        memcpy(s->rest + held, p, take);
        p += take;
        n -= take;
        if (held + take < 64)
            return;
        s->blocks(s->h, s->rest, 1);
    }
    s->blocks(s->h, p, n / 64);
    if (n & 63)
        memcpy(s->rest, p + n / 64 * 64, n & 63);
}

static inline void sha256_end(sha256_state *s, uint8_t out[32])
{
    uint8_t tail[128] = { 0 };
    size_t held = s->bytes & 63, n = held < 56 ? 64 : 128;
    memcpy(tail, s->rest, held);
    tail[held] = 0x80;
    for (int i = 0; i < 8; i++)
        tail[n - 1 - i] = (uint8_t)(s->bytes * 8 >> (8 * i));
    s->blocks(s->h, tail, n / 64);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++)
            out[4 * i + j] = (uint8_t)(s->h[i] >> (24 - 8 * j));
}

static inline void sha256_of(const uint8_t *p, size_t n, uint8_t out[32])
{
    sha256_state s;
    sha256_begin(&s);
    sha256_add(&s, p, n);
    sha256_end(&s, out);
}

#endif
