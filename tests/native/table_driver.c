/* The headers of the table half without Python, for guard pages and sanitizers.
 *
 *   table_driver MODE FILE FOLDER     FILE: inputs, each a little-endian uint32 length and so many octets
 *
 * Every input is laid against the end and against the start of readable memory: between guard pages, or, under AddressSanitizer,
 * into an allocation of exactly its size. Both must give the same. Prints one line of what was seen.
 */
#include <stdio.h>
#include <stdlib.h>

#include "build.h"
#include "collect.h"
#include "mapped_file.h"
#include "table_check.h"

static const uint8_t key_bytes[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const char *folder;

static void die(const char *why)
{
    fprintf(stderr, "table_driver: %s\n", why);
    exit(3);
}

typedef struct {
    uint8_t *base, *data;
    size_t pages_bytes;
} place;

/* Against the end of its memory (`end` 1) or the start. */
static place place_make(const uint8_t *data, size_t size, int end)
{
    place p = { 0 };
#ifdef __SANITIZE_ADDRESS__
    (void)end;
    p.base = size % 64 ? malloc(size) : aligned_alloc(64, size ? size : 64);
    p.data = p.base;
    if (!p.base)
        die("no memory");
#else
    size_t room = (size + 4095) / 4096 * 4096;
    p.pages_bytes = room + 2 * 4096;
    p.base = mmap(0, p.pages_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p.base == MAP_FAILED || (room && mprotect(p.base + 4096, room, PROT_READ | PROT_WRITE) != 0))
        die("no memory");
    p.data = p.base + 4096 + (end ? room - size : 0);
#endif
    if (size)
        memcpy(p.data, data, size);
    return p;
}

static void place_free(place *p)
{
#ifdef __SANITIZE_ADDRESS__
    free(p->base);
#else
    (void)munmap(p->base, p->pages_bytes);
#endif
}

static uint64_t mix(uint64_t seen, uint64_t value) { return (seen ^ value) * 0x9e3779b97f4a7c15ULL + 1; }

/* `path`: where the compiled list goes; 0: nowhere. */
static uint64_t read_rows(const uint8_t *data, size_t size, rows_format format, unsigned threads, const char *path, uint64_t *entries)
{
    collector c = { .key = sip_key_from(key_bytes), .threads = threads };
    uint64_t seen = 0, found, doubles;
    if (rails_load(&c.rails, data, 0))
        die("rails");
    unsigned shares = collect_text(&c, data, size, format, 1, 3);
    if (!shares)
        die("rows");
    for (unsigned i = 0; i < shares; i++)
        for (size_t j = 0; j < c.share[i].n_left; j++) {
            left_row l = ((left_row *)c.share[i].left.at)[j];
            if (l.start > l.end || l.end > size)
                die("a left row is out of range");
            seen = mix(mix(mix(seen, l.row), l.start), l.end * 4 + l.why);
        }
    if (!collect_sort(&c))
        die("sort");
    for (size_t i = 0; i < c.n; i++) {
        list_record r = ((list_record *)c.records.at)[i];
        seen = mix(mix(seen, r.hi ^ r.lo), r.row);
    }
    if (path && (collect_write(&c, path, (const uint8_t *)"[]", 2, &found, &doubles) || found + doubles != c.n))
        die("write");
    *entries += c.n;
    collect_free(&c);
    return seen;
}

static void mode_rows(const uint8_t *data, size_t size, unsigned threads, uint64_t *count)
{
    for (int format = ROWS_DOMAINS; format <= ROWS_ADBLOCK; format++) {
        place end = place_make(data, size, 1), start = place_make(data, size, 0);
        uint64_t one = read_rows(end.data, size, (rows_format)format, threads, 0, count);
        uint64_t other = read_rows(start.data, size, (rows_format)format, threads, 0, count);
        if (one != other)
            die("the two places read differently");
        if (threads > 1 && one != read_rows(start.data, size, (rows_format)format, 1, 0, count))
            die("threads read differently");
        place_free(&end);
        place_free(&start);
    }
}

static uint64_t hash_all(const uint8_t *data, size_t size)
{
    sip_key key = sip_key_from(key_bytes);
    uint8_t digest[32], portable[32];
    fingerprint f[NAME_LABELS_MAX], parent;
    sha256_state s;
    dns_name name;
    rails r;
    uint64_t seen = mix(sip_hash(key, data, size).hi, url_fingerprint(key, data, size).lo);
    sha256_of(data, size, digest);
    sha256_begin(&s);
    s.blocks = sha256_blocks_portable;
    for (size_t at = 0, step = 1; at < size; at += step, step = step % 97 + 1) /* pieces of all sizes */
        sha256_add(&s, data + at, size - at < step ? size - at : step);
    sha256_end(&s, portable);
    if (memcmp(digest, portable, 32) != 0)
        die("the two SHA-256 differ");
    for (int i = 0; i < 32; i++)
        seen = mix(seen, digest[i]);
    if (name_walk(data, data + size, &name) > 0) {
        name_suffixes(key, &name, f);
        fingerprint whole = name_fingerprint(key, &name);
        if (name.labels && (f[name.labels - 1].hi != whole.hi || row_fingerprints(key, &name, &parent).lo != whole.lo))
            die("a name has two fingerprints");
        seen = mix(seen, whole.hi);
    }
    if (row_name(data, data + size, &name))
        seen = mix(seen, name_fingerprint(key, &name).hi);
    if (!rails_load(&r, data, size)) {
        seen = mix(seen, rails_find(&r, (fingerprint){ seen, seen }));
        rails_free(&r);
    }
    return seen;
}

static void mode_hash(const uint8_t *data, size_t size, uint64_t *count)
{
    place end = place_make(data, size, 1), start = place_make(data, size, 0);
    if (hash_all(end.data, size) != hash_all(start.data, size))
        die("the two places hash differently");
    place_free(&end);
    place_free(&start);
    ++*count;
}

/* Make damage pass for what a builder wrote, so that the checks behind the seals are reached too. */
static void seal_table(uint8_t *data, size_t size)
{
    table_header h;
    memcpy(&h, data, sizeof h);
    sip_key key = sip_key_from(key_bytes);
    memcpy(h.magic, TABLE_MAGIC, 8);
    h.version = TABLE_VERSION;
    h.header_bytes = TABLE_HEADER_BYTES;
    h.file_bytes = size;
    fingerprint_bytes(sip_hash(key, (const uint8_t *)"blockd table key", 16), h.key_check);
    sha256_of(data + TABLE_HEADER_BYTES, size - TABLE_HEADER_BYTES, h.body_sha256);
    memset(h.header_check, 0, 16);
    fingerprint_bytes(sip_hash(key, (const uint8_t *)&h, sizeof h), h.header_check);
    memcpy(data, &h, sizeof h);
}

static void use_table(const table_view *t, uint64_t *count)
{
    uint64_t seed = 1;
    for (int i = 0; i < 200; i++) {
        dns_name name;
        table_hit hits[TABLE_HITS_MAX];
        char text[64];
        seed = mix(seed, (uint64_t)i);
        int n = snprintf(text, sizeof text, "n%d.x.w%d.example", i, i % 7);
        if (!row_name((const uint8_t *)text, (const uint8_t *)text + n, &name))
            die("name");
        unsigned found = table_lookup(t, &name, hits);
        for (unsigned j = 0; j < found; j++) {
            const uint32_t *members = 0;
            uint32_t m = table_set(t, (hits[j].payload & TABLE_SET_MASK) - 1, &members);
            for (uint32_t k = 0; k < m; k++)
                seed = mix(seed, members[k]);
        }
        seed = mix(seed, table_probe(t, (fingerprint){ seed * 3, seed * 7 }));
        table_prefetch(t, (fingerprint){ ~0ULL, 0 });
    }
    *count += seed & 1;
}

static void mode_table(const uint8_t *data, size_t size, uint64_t *count)
{
    place p = place_make(data, size, 1);
    table_view t;
    const char *raw = table_open(&t, p.data, size, key_bytes);
    if (!raw)
        (void)table_verify(&t);
    if (size >= TABLE_HEADER_BYTES) {
        seal_table(p.data, size);
        if (!table_open(&t, p.data, size, key_bytes)) {
            ++*count;
            use_table(&t, count);
            (void)table_verify(&t);
        }
    }
    place_free(&p);
}

static void mode_list(const uint8_t *data, size_t size, uint64_t *count)
{
    place p = place_make(data, size, 1);
    sip_key key = sip_key_from(key_bytes);
    list_view l;
    (void)list_open(&l, p.data, size, key);
    if (size >= LIST_HEADER_BYTES) {
        list_header h;
        memcpy(&h, p.data, sizeof h);
        memcpy(h.magic, LIST_MAGIC, 8);
        h.version = LIST_VERSION;
        h.header_bytes = LIST_HEADER_BYTES;
        h.file_bytes = size;
        list_key_check(key, h.key_check);
        sha256_of(p.data + LIST_HEADER_BYTES, size - LIST_HEADER_BYTES, h.body_sha256);
        list_seal(key, &h);
        memcpy(p.data, &h, sizeof h);
        if (!list_open(&l, p.data, size, key)) {
            ++*count;
            (void)list_find(&l, (fingerprint){ ~0ULL, ~0ULL });
        }
    }
    place_free(&p);
}

/* Two lists of the input's rows, merged into a table, read back. */
static void mode_build(const uint8_t *data, size_t size, unsigned threads, uint64_t *count)
{
    char path[2][512], table[512];
    int32_t maps[2][4] = { { -1, -1, -1, 0 }, { -1, -1, -1, 1 } };
    uint8_t kinds[2] = { TABLE_SUBTREE >> 24, TABLE_EXACT >> 24 };
    mapped_file file[2], built;
    merge_source sources[2];
    list_view lists[2];
    table_view t;
    uint64_t found = 0;
    int error;
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/list%d", folder, i);
        (void)read_rows(data, i ? size / 2 : size, ROWS_DOMAINS, threads, path[i], &found);
        if (mapped_open(&file[i], path[i]) || list_open(&lists[i], file[i].data, file[i].size, sip_key_from(key_bytes)))
            die("list");
        sources[i] = (merge_source){ lists[i].records, lists[i].records + lists[i].header.n_records, maps[i] };
    }
    build_plan plan = { sources, 2, kinds, 2, (const uint8_t *)"[]", 2, sip_key_from(key_bytes) };
    snprintf(table, sizeof table, "%s/table", folder);
    if (build_table_file(&plan, table, &found, &error) || mapped_open(&built, table))
        die("build");
    if (table_open(&t, built.data, built.size, key_bytes) || table_verify(&t) || table_covers(&t, sources, 2, kinds))
        die("the table is not what was built");
    *count += found;
    mapped_close(&built);
    mapped_close(&file[0]);
    mapped_close(&file[1]);
}

int main(int argc, char **argv)
{
    uint64_t inputs = 0, count = 0;
    uint32_t size;
    if (argc != 4)
        die("MODE FILE FOLDER");
    FILE *f = fopen(argv[2], "rb");
    folder = argv[3];
    while (f && fread(&size, 4, 1, f) == 1) {
        uint8_t *data = malloc(size + 1u);
        if (!data || fread(data, 1, size, f) != size)
            die("input");
        switch (argv[1][0]) {
        case 'r': mode_rows(data, size, 1, &count); break;
        case 'R': mode_rows(data, size, 4, &count); break;
        case 'h': mode_hash(data, size, &count); break;
        case 't': mode_table(data, size, &count); break;
        case 'l': mode_list(data, size, &count); break;
        case 'b': mode_build(data, size, 4, &count); break;
        default: die("mode");
        }
        free(data);
        inputs++;
    }
    if (!f)
        die("no inputs");
    fclose(f);
    printf("%llu inputs, %llu\n", (unsigned long long)inputs, (unsigned long long)count);
    return 0;
}
