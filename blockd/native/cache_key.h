/* What makes two questions the same to a cache: name without case, type, class, DO, CD (RFC 6840 §5.9 for CD).
 *
 * SipHash-1-3-128 under a key that each process draws for itself: nobody outside can aim at a place in the cache, and two questions meet
 * in one key with a chance of 2^-128. The last block begins with 0xff, which no label does, so the encoding is injective.
 */
#ifndef BLOCKD_CACHE_KEY_H
#define BLOCKD_CACHE_KEY_H

#include "question.h"

static inline fingerprint cache_key(sip_key key, const dns_question *q)
{
    sip_state s = sip_begin(key);
    uint64_t length = 8, flags = (q->dnssec_ok ? 1 : 0) | (q->flags & FLAG_CD ? 2 : 0);
    for (unsigned i = q->name.labels; i-- > 0;)
        length += name_absorb(&s, q->name.wire + q->name.at[i]);
    sip_absorb(&s, 0xff | flags << 8 | (uint64_t)q->type << 16 | (uint64_t)q->qclass << 32);
    return sip_end(s, 0, length);
}

#endif
