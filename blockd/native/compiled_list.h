/* A compiled list: one version of one list as fingerprints, between the rows of its publisher and the table.
 *
 *   header    256 octets (list_header, zeros behind it)
 *   records   24 octets each, in strictly ascending order of (fingerprint, rule)
 *   rules     canonical JSON: what each rule number says
 *
 * All integers little-endian. It keeps what the table leaves out: the row that each entry came from.
 */
#ifndef BLOCKD_COMPILED_LIST_H
#define BLOCKD_COMPILED_LIST_H

#include "sha256.h"
#include "siphash.h"

#define LIST_MAGIC "BLKDLST1"

enum {
    LIST_VERSION = 1,
    LIST_HEADER_BYTES = 256,
    LIST_RULES_MAX = 65535, /* rules of one list */
    LIST_MARK = 1,          /* record flag: not an entry of the publisher but the mark on the host of a URL entry */
};

#define LIST_RECORDS_MAX 0x7fffffffULL

typedef struct {
    uint64_t hi, lo; /* the fingerprint */
    uint32_t row;    /* lines counted from 1 */
    uint16_t rule;
    uint8_t depth; /* labels of the name; 0 for a URL */
    uint8_t flags;
} list_record;

typedef struct {
    uint8_t magic[8];
    uint32_t version, header_bytes;
    uint64_t file_bytes;
    uint64_t n_records, n_entries; /* entries: records without marks */
    uint64_t n_rules;              /* one more than the highest rule number in use */
    uint64_t rules_at, rules_bytes;
    uint8_t key_check[16];   /* SipHash of "blockd list key" under the key: another key's file is refused */
    uint8_t body_sha256[32]; /* everything behind the header */
    uint8_t header_check[16]; /* SipHash under the key of the header with this field zero */
} list_header;

typedef struct {
    list_header header;
    const list_record *records;
    const uint8_t *rules;
} list_view;

static inline int record_before(const list_record *a, const list_record *b)
{
    if (a->hi != b->hi)
        return a->hi < b->hi;
    if (a->lo != b->lo)
        return a->lo < b->lo;
    if (a->rule != b->rule)
        return a->rule < b->rule;
    if (a->row != b->row)
        return a->row < b->row;
    return a->flags < b->flags;
}

static inline int record_same(const list_record *a, const list_record *b)
{
    return a->hi == b->hi && a->lo == b->lo && a->rule == b->rule;
}

static inline void fingerprint_bytes(fingerprint f, uint8_t out[16])
{
    memcpy(out, &f.hi, 8);
    memcpy(out + 8, &f.lo, 8);
}

static inline void list_key_check(sip_key key, uint8_t out[16])
{
    fingerprint_bytes(sip_hash(key, (const uint8_t *)"blockd list key", 15), out);
}

/* Fill header_check. */
static inline void list_seal(sip_key key, list_header *h)
{
    memset(h->header_check, 0, 16);
    fingerprint_bytes(sip_hash(key, (const uint8_t *)h, sizeof *h), h->header_check);
}

static inline const char *list_check_header(const list_header *given, size_t size, sip_key key)
{
    uint8_t check[16];
    list_header h = *given;
    if (memcmp(h.magic, LIST_MAGIC, 8) != 0)
        return "this is not a compiled list";
    if (h.version != LIST_VERSION || h.header_bytes != LIST_HEADER_BYTES)
        return "the compiled list is of another version";
    list_key_check(key, check);
    if (memcmp(check, h.key_check, 16) != 0)
        return "the compiled list was built under another key";
    list_seal(key, &h);
    if (memcmp(h.header_check, given->header_check, 16) != 0)
        return "the header is damaged";
    if (h.file_bytes != size)
        return "the compiled list is truncated or has bytes behind its end";
    if (h.n_records > LIST_RECORDS_MAX || h.n_entries > h.n_records || h.n_rules > LIST_RULES_MAX
        || h.rules_at != LIST_HEADER_BYTES + h.n_records * sizeof(list_record) || h.rules_at > size || h.rules_bytes != size - h.rules_at)
        return "the header's sizes do not fit together";
    return 0;
}

/* Take a mapped file for a compiled list, checking every octet. Returns 0, or a phrase that says what is wrong. */
static inline const char *list_open(list_view *l, const uint8_t *data, size_t size, sip_key key)
{
    uint8_t digest[32];
    uint64_t marks = 0, rules = 0;
    if (size < LIST_HEADER_BYTES)
        return "the compiled list is shorter than its header";
    memcpy(&l->header, data, sizeof l->header);
    const char *wrong = list_check_header(&l->header, size, key);
    if (wrong)
        return wrong;
    for (size_t i = sizeof(list_header); i < LIST_HEADER_BYTES; i++)
        if (data[i])
            return "the header is damaged";
    sha256_of(data + LIST_HEADER_BYTES, size - LIST_HEADER_BYTES, digest);
    if (memcmp(digest, l->header.body_sha256, 32) != 0)
        return "the compiled list does not have its digest";
    l->records = (const list_record *)(data + LIST_HEADER_BYTES);
    l->rules = data + l->header.rules_at;
    for (uint64_t i = 0; i < l->header.n_records; i++) {
        const list_record *r = l->records + i;
        if (i && (record_same(r - 1, r) || !record_before(r - 1, r)))
            return "the records are out of order";
        if (r->depth > 127 || r->flags & ~LIST_MARK)
            return "a record is not well-formed";
        marks += r->flags & LIST_MARK;
        rules = rules > r->rule + 1u ? rules : r->rule + 1u;
    }
    if (marks != l->header.n_records - l->header.n_entries || rules != l->header.n_rules)
        return "the header does not count what is there";
    return 0;
}

/* The first record that is not before (hi, lo). */
static inline uint64_t list_find(const list_view *l, fingerprint f)
{
    uint64_t low = 0, high = l->header.n_records;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const list_record *r = l->records + middle;
        if (r->hi < f.hi || (r->hi == f.hi && r->lo < f.lo))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#endif
