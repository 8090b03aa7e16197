/* Who may ask: CIDR prefixes as sorted, disjoint ranges; a look-up halves them. An IPv4 address in IPv6 clothes (::ffff:0:0/96, what a
 * dual-stack socket shows) is judged as IPv4, in prefixes and clients alike.
 */
#ifndef BLOCKD_ACL_H
#define BLOCKD_ACL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ACL_PREFIXES_MAX = 1024 };

typedef struct { uint8_t first[16], last[16]; } acl_range;

typedef struct {
    acl_range *ranges; /* ACL_PREFIXES_MAX places; all addresses in the IPv6 form */
    size_t n;
} acl;

static const uint8_t ACL_MAPPED[12] = { [10] = 0xff, [11] = 0xff };

/* 4 or 16 octets in, 16 out. Returns 0 for any other size. */
static inline int acl_address(const uint8_t *packed, size_t size, uint8_t out[16])
{
    if (size != 4 && size != 16)
        return 0;
    memcpy(out, ACL_MAPPED, 12);
    memcpy(size == 4 ? out + 12 : out, packed, size);
    return 1;
}

/* Returns 0 for a prefix that is none. */
static inline int acl_range_of(const uint8_t *packed, size_t size, unsigned bits, acl_range *out)
{
    if (!acl_address(packed, size, out->first) || bits > size * 8)
        return 0;
    bits += size == 4 ? 96 : 0;
    for (unsigned i = 0; i < 16; i++) {
        unsigned have = bits > 8 * i ? bits - 8 * i : 0;
        uint8_t host = have >= 8 ? 0 : (uint8_t)(0xff >> have);
        out->first[i] &= (uint8_t)~host;
        out->last[i] = out->first[i] | host;
    }
    return 1;
}

static inline int acl_order(const void *a, const void *b) { return memcmp(((const acl_range *)a)->first, ((const acl_range *)b)->first, 16); }

/* Sort, and let what lies inside or overlaps become one. */
static inline void acl_seal(acl *a)
{
    size_t kept = 0;
    if (a->n)
        qsort(a->ranges, a->n, sizeof *a->ranges, acl_order);
    for (size_t i = 0; i < a->n; i++) {
        if (kept && memcmp(a->ranges[i].first, a->ranges[kept - 1].last, 16) <= 0) {
            if (memcmp(a->ranges[i].last, a->ranges[kept - 1].last, 16) > 0)
                memcpy(a->ranges[kept - 1].last, a->ranges[i].last, 16);
        } else
            a->ranges[kept++] = a->ranges[i];
    }
    a->n = kept;
}

static inline int acl_allows(const acl *a, const uint8_t address[16])
{
    size_t low = 0, high = a->n; /* the last range that starts at or before the address is below `high` */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(a->ranges[middle].first, address, 16) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low && memcmp(address, a->ranges[low - 1].last, 16) <= 0;
}

#endif
