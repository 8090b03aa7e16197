/* The compiled blocklist: one immutable file, mapped read-only by every worker.
 *
 *   header     4,096 octets (table_header, zeros behind it)
 *   buckets    64 octets each: four slots of a 96-bit tag and a 32-bit payload
 *   sets       uint32 offsets[n_sets + 1], then uint32 members: indexes into the rules
 *   rules      canonical JSON: the lists, and what each rule says (table/rules.py)
 *
 * All integers little-endian; the file is for the machine's own use and is refused on any other order.
 *
 * Placement: an entry's home is bucket (hi >> 32) * n_home >> 32. Entries are stored in the order of their
 * fingerprints, each in the first free slot at or behind its home, so the bytes follow from the set of entries
 * alone, whatever order they came in. A probe walks on only while the bucket it read is full; `probe_max` bounds it.
 * A zero payload is an empty slot.
 *
 * False matches: a probe compares about three tags of 96 bits, a name of ten labels about thirty, so a query
 * meets a wrong entry with a chance below 30 * 2^-96, 4e-28, whatever the size of the table.
 */
#ifndef BLOCKD_TABLE_H
#define BLOCKD_TABLE_H

#include "name.h"

#define TABLE_MAGIC "BLKDTBL1"

enum { TABLE_VERSION = 1, TABLE_HEADER_BYTES = 4096, TABLE_SLOTS = 4 };

/* payload: bits 0..23 the set's index plus one, bits 24..31 what kinds of rule the set holds */
enum {
    TABLE_SET_MASK = 0x00ffffff,
    TABLE_SUBTREE = 1u << 24,  /* the name and everything under it */
    TABLE_EXACT = 1u << 25,    /* the name alone */
    TABLE_URL = 1u << 26,      /* a URL's fingerprint */
    TABLE_URL_HOST = 1u << 27, /* a name that has URL entries: never blocked for that, RFC 9460 records excepted */
};

typedef struct {
    uint64_t hi[TABLE_SLOTS]; /* the fingerprint's lo */
    uint32_t lo[TABLE_SLOTS]; /* the lower half of its hi */
    uint32_t payload[TABLE_SLOTS];
} table_bucket;

typedef struct {
    uint8_t magic[8];
    uint32_t version, header_bytes;
    uint64_t file_bytes;
    uint64_t n_home;    /* buckets that can be a home */
    uint64_t n_buckets; /* with the overflow behind the last home */
    uint64_t n_entries, n_sets, n_rules;
    uint64_t sets_at, rules_at, rules_bytes; /* file offsets; buckets start behind the header */
    uint32_t probe_max;                      /* buckets that a probe may read */
    uint32_t kinds;                          /* TABLE_* bits of all payloads together */
    uint64_t subtree_depths[2], exact_depths[2], url_host_depths[2]; /* bit d-1: an entry of d labels is there */
    uint8_t key_check[16];                   /* SipHash of "blockd table key" under the key: another key's file is refused */
    uint8_t body_sha256[32];                 /* everything behind the header */
    uint8_t header_check[16];                /* SipHash under the key of the header with this field zero */
} table_header;

typedef struct {
    const table_header *header;
    const table_bucket *buckets;
    const uint32_t *set_offsets, *set_members;
    sip_key key;
} table_view;

static inline void table_prefetch(const table_view *t, fingerprint f)
{
    uint64_t home = (f.hi >> 32) * t->header->n_home >> 32;
    __builtin_prefetch(&t->buckets[home]);
}

/* The payload of an entry, or 0. */
static inline uint32_t table_probe(const table_view *t, fingerprint f)
{
    uint64_t b = (f.hi >> 32) * t->header->n_home >> 32;
    uint32_t low = (uint32_t)f.hi;
    for (uint32_t i = 0; i < t->header->probe_max && b < t->header->n_buckets; i++, b++) {
        const table_bucket *k = &t->buckets[b];
        for (unsigned j = 0; j < TABLE_SLOTS; j++)
            if (k->hi[j] == f.lo && k->lo[j] == low && k->payload[j])
                return k->payload[j];
        if (!k->payload[TABLE_SLOTS - 1])
            return 0;
    }
    return 0;
}

typedef struct {
    uint32_t payload;
    uint8_t depth; /* labels of the suffix that matched */
    uint8_t full;  /* it is the whole name */
} table_hit;

enum {
    TABLE_HITS_MAX = 16,
    TABLE_AHEAD = 8, /* suffixes whose buckets are asked for before the first is looked at */
};

static inline unsigned table_depth_set(const uint64_t bits[2], unsigned depth)
{
    return depth && depth <= 128 ? (unsigned)(bits[(depth - 1) >> 6] >> ((depth - 1) & 63)) & 1 : 0;
}

/* Does the table hold anything that could speak about a name from its suffix of `depth` labels? */
static inline unsigned table_wants(const table_header *h, unsigned depth, unsigned full)
{
    unsigned want = table_depth_set(h->subtree_depths, depth);
    if (full)
        want |= table_depth_set(h->exact_depths, depth) | table_depth_set(h->url_host_depths, depth);
    return want;
}

/* A suffix on its way: hashed, its bucket on the way from memory. */
typedef struct {
    fingerprint f;
    uint8_t depth, full;
} table_asked;

/* Probe for `asked` suffixes in order; returns how many hits there are now. */
static inline unsigned table_probe_all(const table_view *t, const table_asked *asked, unsigned n_asked,
                                       table_hit hits[TABLE_HITS_MAX], unsigned n)
{
    for (unsigned i = 0; i < n_asked; i++) {
        uint32_t payload = table_probe(t, asked[i].f);
        if (!payload || !(asked[i].full || (payload & TABLE_SUBTREE)))
            continue;
        if (n == TABLE_HITS_MAX) {
            memmove(hits, hits + 1, sizeof(*hits) * (TABLE_HITS_MAX - 1));
            n--;
        }
        hits[n++] = (table_hit){ payload, asked[i].depth, asked[i].full };
    }
    return n;
}

/* The suffixes of one name that the table could know. */
typedef struct {
    table_asked asked[TABLE_AHEAD];
    unsigned n;
    sip_state state; /* behind the last suffix that is in `asked` */
    uint64_t length;
    unsigned depth;  /* labels of it; less than the name has: there is more to ask */
} table_asks;

static inline void table_begin(const table_view *t, table_asks *a)
{
    a->state = sip_begin(t->key);
    a->length = 0;
    a->depth = a->n = 0;
}

/* Hash the next suffixes, at most TABLE_AHEAD that the table wants, and ask memory for their buckets. Between this and table_probe_all
 * other names can be hashed, so that the whole batch waits for memory once. */
static inline void table_ask(const table_view *t, const dns_name *name, table_asks *a)
{
    a->n = 0;
    while (a->depth < name->labels) {
        unsigned depth = a->depth + 1, full = depth == name->labels, wanted = table_wants(t->header, depth, full);
        if (wanted && a->n == TABLE_AHEAD)
            return;
        a->length += name_absorb(&a->state, name->wire + name->at[name->labels - depth]);
        a->depth = depth;
        if (!wanted)
            continue;
        a->asked[a->n] = (table_asked){ sip_end(a->state, 0, a->length), (uint8_t)depth, (uint8_t)full };
        table_prefetch(t, a->asked[a->n++].f);
    }
}

/* Every entry that speaks about the name, shallowest first; `a` comes from table_ask. Depths at which the table holds nothing cost
 * no probe. Returns how many were written, at most TABLE_HITS_MAX: the deepest (most specific) win. */
static inline unsigned table_answer(const table_view *t, const dns_name *name, table_asks *a, table_hit hits[TABLE_HITS_MAX])
{
    unsigned n = table_probe_all(t, a->asked, a->n, hits, 0);
    while (a->depth < name->labels) {
        table_ask(t, name, a);
        n = table_probe_all(t, a->asked, a->n, hits, n);
    }
    return n;
}

static inline unsigned table_lookup(const table_view *t, const dns_name *name, table_hit hits[TABLE_HITS_MAX])
{
    table_asks a;
    table_begin(t, &a);
    table_ask(t, name, &a);
    return table_answer(t, name, &a, hits);
}

static inline int table_fp_equal(fingerprint a, const uint8_t b[16])
{
    uint8_t x[16];
    memcpy(x, &a.hi, 8);
    memcpy(x + 8, &a.lo, 8);
    return memcmp(x, b, 16) == 0;
}

/* Take a mapped file for a table. Checks what a worker must rely on: magic, version, sizes, key, the header's own
 * check. The body's digest is the builder's and the control process's to verify, once, before the file goes live.
 * Returns 0, or a phrase that says what is wrong. `data` must be 64-octet aligned (a mapping is). */
static inline const char *table_open(table_view *t, const uint8_t *data, size_t size, const uint8_t key[16])
{
    table_header copy;
    if (size < TABLE_HEADER_BYTES)
        return "the file is shorter than its header";
    memcpy(&copy, data, sizeof copy);
    if (memcmp(copy.magic, TABLE_MAGIC, 8) != 0)
        return "this is not a table file";
    if (copy.version != TABLE_VERSION || copy.header_bytes != TABLE_HEADER_BYTES)
        return "the file is of another version";
    sip_key k = sip_key_from(key);
    if (!table_fp_equal(sip_hash(k, (const uint8_t *)"blockd table key", 16), copy.key_check))
        return "the file was built under another key";
    uint8_t check[16];
    memcpy(check, copy.header_check, 16);
    memset(copy.header_check, 0, 16);
    if (!table_fp_equal(sip_hash(k, (const uint8_t *)&copy, sizeof copy), check))
        return "the header is damaged";
    if (copy.file_bytes != size)
        return "the file is truncated or has bytes behind its end";
    uint64_t body = size - TABLE_HEADER_BYTES;
    if (!copy.n_home || copy.n_home > 1ULL << 31 || copy.n_buckets < copy.n_home || copy.n_buckets > body / 64
        || copy.sets_at != TABLE_HEADER_BYTES + copy.n_buckets * 64 || copy.rules_at < copy.sets_at
        || copy.rules_at > size || copy.rules_bytes != size - copy.rules_at || copy.n_sets > TABLE_SET_MASK
        || (copy.n_sets + 1) * 4 > copy.rules_at - copy.sets_at)
        return "the header's sizes do not fit together";
    t->header = (const table_header *)data;
    t->buckets = (const table_bucket *)(data + TABLE_HEADER_BYTES);
    t->set_offsets = (const uint32_t *)(data + copy.sets_at);
    t->set_members = t->set_offsets + copy.n_sets + 1;
    t->key = k;
    return 0;
}

#endif
