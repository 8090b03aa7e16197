/* The headers of the DNS half without Python, for guard pages and sanitizers.
 *
 *   dns_driver MODE FILE TABLE     FILE: inputs, each a little-endian uint32 length and so many octets; TABLE: under the key 0, 1, ... 15
 *
 * Every input is laid against the end and against the start of readable memory, and every answer into memory of exactly the room it is
 * promised: between guard pages, or, under AddressSanitizer, in allocations of that size. Both ways must give the same. Prints one line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "acl.h"
#include "core.h"
#include "pending.h"

static const uint8_t key_bytes[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static void die(const char *why)
{
    fprintf(stderr, "dns_driver: %s\n", why);
    exit(3);
}

static void *get(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        die("no memory");
    return p;
}

typedef struct {
    uint8_t *base, *data;
    size_t pages_bytes;
} place;

/* Against the end of its memory (`end` 1) or the start. `data` 0: zeros. */
static place place_make(const uint8_t *data, size_t size, int end)
{
    place p = { 0 };
#ifdef __SANITIZE_ADDRESS__
    (void)end;
    p.base = p.data = get(size ? size : 1, 1);
#else
    size_t room = (size + 4095) / 4096 * 4096;
    p.pages_bytes = room + 2 * 4096;
    p.base = mmap(0, p.pages_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p.base == MAP_FAILED || (room && mprotect(p.base + 4096, room, PROT_READ | PROT_WRITE) != 0))
        die("no memory");
    p.data = p.base + 4096 + (end ? room - size : 0);
#endif
    if (size && data)
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

static dns_core core;
static shared_cache shared;

/* The verdict of a set follows from its rule, so that every action occurs; some are left to Python. */
static void make_core(const char *path, uint32_t cache_bytes)
{
    static uint8_t table[1 << 20] __attribute__((aligned(64)));
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(table, 1, sizeof table, f) : 0;
    if (f)
        fclose(f);
    core.policy.has_table = 1;
    if (table_open(&core.policy.table, table, n, key_bytes))
        die("table");
    verdicts *v = &core.policy.verdicts;
    v->n_sets = (uint32_t)core.policy.table.header->n_sets;
    v->n = v->room = 8;
    v->verdicts = get(8, sizeof *v->verdicts);
    v->cells = get(2, sizeof *v->cells);
    v->cells[0] = v->cells[1] = 400;
    v->n_cells = 2;
    v->index = get(v->n_sets * 2, sizeof *v->index);
    v->combinations = get(VERDICTS_COMBINATIONS, sizeof *v->combinations);
    for (uint32_t i = 0; i < 8; i++)
        v->verdicts[i] = (verdict){ .hit_cell = i ? 390 : -1, .n_shadow = i == 7 ? 2 : 0, .ede = (int16_t)(i * 3) - 1, .action = (uint8_t)(i % 6) };
    for (uint32_t i = 0; i < v->n_sets * 2; i++) {
        static const uint32_t first[7] = { 1, 2, 0, 5, 7, 3, 4 };
        uint32_t rule = core.policy.table.set_members[core.policy.table.set_offsets[i / 2]];
        v->index[i] = rule < 7 ? first[rule] : rule % 9 == 8 ? VERDICT_ASK : rule % 8;
    }
    core.counts = (counts){ get(65536, 8), 0, 190, 222, 290, 384, 65536, 0 };
    if (!shared_make(&shared, cache_bytes))
        die("no memory");
    core.shared = &shared;
    core.map = get(1, sizeof(reply_map));
    core.scratch = get(1, ANSWER_MAX);
    core.policy.settings = (answer_settings){ .n4 = ANSWER_ADDRESSES_MAX, .n6 = ANSWER_ADDRESSES_MAX, .ttl_s = 30, .udp_max = UDP_SIZE_OURS };
    core.key = sip_key_from(key_bytes);
}

static void free_core(void)
{
    void *all[] = { core.policy.verdicts.verdicts, core.policy.verdicts.cells, core.policy.verdicts.index, core.policy.verdicts.combinations, core.counts.cells, core.map, core.scratch };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    shared_free(&shared);
}

/* One query through one door; the answer is copied to `out`. Returns what it came to. */
static core_outcome ask(const uint8_t *data, size_t size, int end, unsigned transport, uint64_t now_ms, dns_question *q, uint8_t *out)
{
    place in = place_make(data, size, end);
    core_work w;
    (void)question_walk(in.data, size, q);
    place answer = place_make(0, answer_room(q, core.policy.settings.udp_max, transport != TRANSPORT_UDP), 1);
    core_outcome o;
    memset(&o, 0, sizeof o);
    core_handle(&core, in.data, size, transport, end ? 4 : 6, now_ms, &w, answer.data, &o);
    core_counted(&core, &o, now_ms);
    if (o.kind == CORE_ANSWER)
        memcpy(out, answer.data, o.size);
    core_outcome refused;
    core_prohibit(&core, in.data, size, transport, 4, q, answer.data, &refused);
    place_free(&in);
    place_free(&answer);
    return o;
}

/* In place, as a packet that is turned round where it came in: the room is that of the packet and what grows it. */
static void in_place(const uint8_t *data, size_t size)
{
    uint8_t packet[QUESTION_MESSAGE_MAX + UDP_SIZE_MIN];
    dns_question q;
    unsigned rcode;
    if (size > QUESTION_MESSAGE_MAX || question_walk(data, size, &q) != RCODE_NOERROR)
        return;
    for (unsigned action = ACTION_STOP_PAGE; action < ACTION_DROP; action++) {
        memcpy(packet, data, size);
        size_t n = answer_blocked(packet, UDP_SIZE_MIN, &q, &core.policy.settings, action, EDE_BLOCKED, &rcode);
        dns_record r;
        size_t at = q.end, records = load_u16(packet + 6) + load_u16(packet + 8) + load_u16(packet + 10);
        if (n > UDP_SIZE_MIN || memcmp(packet + HEADER_BYTES, data + HEADER_BYTES, q.end - HEADER_BYTES) != 0)
            die("an answer in place is too long or lost its question");
        while (records--)
            if (!record_next(packet, n, &at, &r))
                die("an answer in place is malformed");
        if (at != n)
            die("an answer in place has octets behind it");
    }
}

static void mode_query(const uint8_t *data, size_t size, uint64_t *count)
{
    static uint8_t one[ANSWER_MAX], two[ANSWER_MAX];
    for (unsigned transport = TRANSPORT_UDP; transport <= TRANSPORT_TCP; transport++) {
        dns_question q;
        core_outcome a = ask(data, size, 0, transport, 1, &q, one), b = ask(data, size, 1, transport, 1, &q, two);
        if (a.kind != b.kind || a.size != b.size || a.rcode != b.rcode || (a.kind == CORE_ANSWER && memcmp(one, two, a.size) != 0))
            die("the same query, another answer");
        *count += a.kind == CORE_ANSWER;
        if (a.kind == CORE_ASK_MISS)
            core_fail(&core, cache_key(core.key, &q), 1);
        shared_clear(&shared);
    }
    in_place(data, size);
}

static const uint8_t asked[] = "\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\3www\6tested\7example\0\x00\xff\x00\x01";

static int walk(const uint8_t *data, size_t size, int end, const dns_question *q, uint8_t *out, reply *r)
{
    place in = place_make(data, size, end), answer = place_make(0, ANSWER_MAX, 1);
    memcpy(answer.data, asked, q->end);
    int walked = reply_copy(in.data, size, 0x0707, q, core.map, answer.data, r);
    if (walked == REPLY_OK)
        memcpy(out, answer.data, r->size);
    place_free(&in);
    place_free(&answer);
    return walked;
}

/* Keep it, age it, judge it by a new table, and walk what was written: it must pass its own walk. */
static void use(const dns_question *q, const reply *r, const uint8_t *message, uint64_t now_ms)
{
    static uint8_t again[ANSWER_MAX], third[ANSWER_MAX];
    reply second;
    target_walk t = { message, r->size, q->end, r->counts[0], REPLY_TARGETS_MAX };
    verdict_hits h;
    int more;
    while ((more = core_next_target(&core, &t, &h)) > 0)
        (void)verdicts_learn(&core.policy.verdicts, &h, 7);
    core_body b = { message + q->end, r->size - q->end, r->size - r->additional_at, { r->counts[0], r->counts[1], r->counts[2] }, r->rcode, r->ede };
    core_keep(&core, cache_key(core.key, q), q, &b, r->ttl_s, core.policy.epoch++, more == 0, now_ms);
    for (unsigned room = UDP_SIZE_MIN; room <= ANSWER_MAX; room = room * 5 - 1) {
        place out = place_make(0, room, 1);
        core_outcome o;
        memcpy(out.data, asked, q->end);
        core_known(&core, q, cache_key(core.key, q), now_ms + room, room & 1, out.data, room, &o);
        memcpy(out.data, asked, q->end);
        core_write(out.data, room, q, &b, room, SOURCE_UPSTREAM, &o);
        if (o.size > room)
            die("an answer is larger than its room");
        if (room == ANSWER_MAX || o.size < room)
            memcpy(again, out.data, o.size);
        place_free(&out);
        if (r->failed || r->truncated)
            continue;
        store_u16(again, 0x0707);
        if (walk(again, o.size, 1, q, third, &second) != REPLY_OK)
            die("what was written does not pass the walk");
    }
}

static void mode_reply(const uint8_t *data, size_t size, uint64_t *count)
{
    static uint8_t one[ANSWER_MAX], two[ANSWER_MAX];
    static uint64_t now_ms;
    dns_question q;
    reply a, b;
    if (question_walk(asked, sizeof asked - 1, &q) != RCODE_NOERROR)
        die("the question");
    q.opt = 1;
    int first = walk(data, size, 0, &q, one, &a), second = walk(data, size, 1, &q, two, &b);
    if (first != second || (first == REPLY_OK && (a.size != b.size || memcmp(one, two, a.size) != 0)))
        die("the same packet, another reply");
    if (first != REPLY_OK)
        return;
    ++*count;
    /* Other names, so that the cache fills and turns over: only the key depends on them here. */
    core.key.k0 = *count % 500;
    use(&q, &a, one, now_ms += 50);
}

/* The octets are operations on a table of queries under way, and addresses for an access list. */
static void mode_state(const uint8_t *data, size_t size, uint64_t *count)
{
    pending p = { .capacity = 1 + (size ? data[0] % 40 : 0) };
    acl a = { .ranges = get(ACL_PREFIXES_MAX, sizeof(acl_range)) };
    p.index_mask = pending_index_size(p.capacity) - 1;
    p.places = get(p.capacity, sizeof *p.places);
    p.heap = get(p.capacity, sizeof *p.heap);
    p.index = get(p.index_mask + 1u, sizeof *p.index);
    pending_init(&p);
    for (size_t i = 0; i + 3 < size; i += 3) {
        int is_new;
        if (data[i] < 150)
            (void)pending_open(&p, (fingerprint){ data[i + 1], data[i + 1] * 3u }, data[i + 2] * 4u, &is_new);
        else if (data[i] < 220)
            (void)pending_close(&p, (int64_t)data[i + 1] * data[i + 2]);
        else
            while (pending_expire(&p, data[i + 1] * 4u) != PENDING_NONE)
                ++*count;
        if (a.n < ACL_PREFIXES_MAX && i + 16 < size && acl_range_of(data + i, i % 2 ? 4 : 16, data[i + 2], &a.ranges[a.n]))
            a.n++;
    }
    acl_seal(&a);
    for (size_t i = 0; i + 16 <= size; i += 5)
        *count += (uint64_t)acl_allows(&a, data + i);
    for (size_t i = 1; i < a.n; i++)
        if (memcmp(a.ranges[i - 1].last, a.ranges[i].first, 16) >= 0)
            die("ranges overlap");
    free(p.places);
    free(p.heap);
    free(p.index);
    free(a.ranges);
}

int main(int argc, char **argv)
{
    uint64_t inputs = 0, count = 0;
    uint32_t size;
    if (argc != 4)
        die("MODE FILE TABLE");
    FILE *f = fopen(argv[2], "rb");
    make_core(argv[3], CACHE_BYTES_MIN * 2);
    while (f && fread(&size, 4, 1, f) == 1) {
        uint8_t *data = malloc(size + 1u);
        if (!data || fread(data, 1, size, f) != size)
            die("input");
        switch (argv[1][0]) {
        case 'q': mode_query(data, size, &count); break;
        case 'r': mode_reply(data, size, &count); break;
        case 's': mode_state(data, size, &count); break;
        default: die("mode");
        }
        free(data);
        inputs++;
    }
    if (!f)
        die("no inputs");
    fclose(f);
    free_core();
    printf("%llu inputs, %llu\n", (unsigned long long)inputs, (unsigned long long)count);
    return 0;
}
