/* The native UDP worker without Python, for sanitizers: two workers share one cache and one slab, behind SO_REUSEPORT sockets.
 *
 *   worker_driver SEED SECONDS RATE TABLE1 TABLE2 INPUTS
 *
 *   RATE     1: now and then the rate is limited   0: never, and then every request is accounted for exactly
 *   TABLE*   under the key 0, 1, ... 15, of the names of driver_common.h
 *   INPUTS   what the hostile client sends, each a little-endian uint32 length and so many octets
 *
 * The main thread is Python's side: it swaps (as dns_swap.c does, with every table and verdict in memory of its own that is freed after), learns,
 * takes from the ring and answers, follows other upstreams, ends and starts threads, drains and removes doors, and has a thread die.
 * Prints one line of JSON. Any broken rule ends it with code 3 and a sentence.
 */
#include "driver_clients.h"
#include "driver_upstream.h"

#include <dirent.h>

enum {
    CELL_RESPONSES = 190, CELL_DURATIONS = 222, CELL_LIMITS = 290, CELL_POLICY = 384, CELLS = 4096,
    CELL_BLOCKED = 390, CELL_NOTED, CELL_DROPPED,
    RULE_BOTH = 0, RULE_FIRST, RULE_SECOND, RULE_NOTED, RULE_DROPPED, RULE_DEEP, RULES,
    CLIENTS = 2,
};

static const uint8_t key_bytes[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

typedef struct {
    uint8_t *bytes;
    size_t size;
} file_bytes;

static file_bytes read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    file_bytes b = { 0 };
    if (!f || fseek(f, 0, SEEK_END) != 0)
        die("no file");
    b.size = (size_t)ftell(f);
    b.bytes = get(b.size, 1);
    rewind(f);
    if (fread(b.bytes, 1, b.size, f) != b.size)
        die("no file");
    (void)fclose(f);
    return b;
}

typedef struct {
    dns_core core; /* of Python's own calls */
    void *table;   /* the memory of the one in force */
    shared_cache shared;
    worker *workers[DRIVER_WORKERS];
    int fd[DRIVER_WORKERS][DRIVER_DOORS];
    uint8_t state[DRIVER_WORKERS]; /* 0: all doors open; 1: draining */
    acl list;
    udp_batch batch;
    file_bytes tables[2];
    uint64_t chance;
    uint64_t swaps, learned, follows, stops, drains, deaths, asks[ASKED_WHYS], kept, rates;
} side;

static void hold(side *s)
{
    for (unsigned i = 0; i < DRIVER_WORKERS; i++)
        worker_lock(s->workers[i]);
}

static void give(side *s)
{
    for (unsigned i = 0; i < DRIVER_WORKERS; i++) {
        s->workers[i]->core.policy = s->core.policy;
        worker_unlock(s->workers[i]);
    }
}

static void make_verdicts(verdicts *v, const table_view *t)
{
    *v = (verdicts){ .n = RULES, .room = RULES, .n_sets = (uint32_t)t->header->n_sets };
    v->verdicts = get(RULES, sizeof *v->verdicts);
    v->index = get(v->n_sets * 2, sizeof *v->index);
    v->combinations = get(VERDICTS_COMBINATIONS, sizeof *v->combinations);
    for (unsigned i = 0; i < RULES; i++)
        v->verdicts[i] = (verdict){ .hit_cell = CELL_BLOCKED, .ede = EDE_BLOCKED, .action = ACTION_NXDOMAIN };
    v->verdicts[RULE_NOTED] = (verdict){ .hit_cell = CELL_NOTED, .ede = EDE_NONE, .action = ACTION_NONE };
    v->verdicts[RULE_DROPPED] = (verdict){ .hit_cell = CELL_DROPPED, .ede = EDE_NONE, .action = ACTION_DROP };
    for (uint32_t i = 0; i < v->n_sets * 2; i++)
        v->index[i] = t->set_members[t->set_offsets[i / 2]];
}

static void free_verdicts(const verdicts *v)
{
    free(v->verdicts);
    free(v->index);
    free(v->combinations);
}

static void swap(side *s)
{
    uint32_t next = s->workers[0]->core.policy.has_table ? load_state(&shared_state.swap_done) + 1 : 0;
    const file_bytes *b = &s->tables[next & 1];
    core_policy made = { .has_table = 1, .settings = { .ttl_s = 30, .udp_max = UDP_SIZE_OURS } }, old;
    void *table = aligned_alloc(64, (b->size + 63) / 64 * 64), *old_table = s->table;
    if (!table)
        die("no memory");
    memcpy(table, b->bytes, b->size);
    if (table_open(&made.table, table, b->size, key_bytes))
        die("a table");
    make_verdicts(&made.verdicts, &made.table);
    __atomic_store_n(&shared_state.swap_begun, next, __ATOMIC_SEQ_CST);
    hold(s);
    old = s->core.policy;
    made.epoch = old.epoch + 1;
    s->core.policy = made;
    s->table = table;
    give(s);
    __atomic_store_n(&shared_state.swap_done, next, __ATOMIC_SEQ_CST);
    free_verdicts(&old.verdicts);
    free(old_table);
    s->swaps++;
}

/* One more verdict, in memory that moves, for this combination. */
static void learn(side *s, const verdict_hits *h)
{
    hold(s);
    verdicts *v = &s->core.policy.verdicts;
    verdict *moved = get(v->n + 1u, sizeof *moved);
    memcpy(moved, v->verdicts, v->n * sizeof *moved);
    moved[v->n] = v->verdicts[RULE_DEEP];
    free(v->verdicts);
    v->verdicts = moved;
    (void)verdicts_learn(v, h, v->n++);
    v->room = v->n;
    give(s);
    s->learned++;
}

/* What Python does with a question: judge it by the table of now, then answer, or say that nobody could. */
static void answer_one(side *s, worker *w, asked *a)
{
    uint8_t *out = s->batch.answer[0];
    const verdict *v = 0;
    core_outcome o = { .kind = CORE_SILENCE };
    size_t room = answer_room(&a->q, s->core.policy.settings.udp_max, 0);
    uint64_t now_ms = worker_clock_ns() / 1000000;
    if (a->epoch != s->core.policy.epoch)
        core_look_up(&s->core, &a->q.name, &a->hits);
    memcpy(out, a->question, a->q.end);
    int judged = verdicts_judge(&s->core.policy.verdicts, &a->hits, &v);
    if (judged == JUDGED_ASK) {
        learn(s, &a->hits);
        judged = verdicts_judge(&s->core.policy.verdicts, &a->hits, &v);
    }
    if (judged == JUDGED_VERDICT && v->action != ACTION_NONE)
        core_block(&s->core, &a->q, v, out, room, &o);
    else if (judged == JUDGED_ASK)
        die("what was learned is not known");
    else if (a->why == ASKED_MISS && a->question[HEADER_BYTES + 1] == 'g') {
        uint8_t record[16];
        core_body b = { record, (uint32_t)put_a(record), 0, { 1, 0, 0 }, RCODE_NOERROR, EDE_NONE };
        core_keep(&s->core, a->key, &a->q, &b, 2, s->core.policy.epoch, 0, now_ms);
        core_write(out, room, &a->q, &b, 0, SOURCE_UPSTREAM, &o);
        s->kept++;
    } else {
        core_fail(&s->core, a->key, now_ms);
        core_answered(&o, answer_bare(out, room, &a->q, RCODE_SERVFAIL, EDE_NONE, 0), RCODE_SERVFAIL, SOURCE_ERROR);
    }
    core_counted(&s->core, &o, worker_clock_ns() - a->since_ns);
    if (o.kind != CORE_ANSWER)
        return;
    udp_lay(&s->batch, 0, &a->client.address, a->client.address_bytes, a->client.control, a->client.control_bytes, out, o.size);
    if (worker_door_state(w, a->client.door) == DOOR_FREE || udp_send(&s->batch, w->doors[a->client.door].fd, 1) != 1)
        die("an answer of Python's could not leave");
}

static unsigned take(side *s, worker *w)
{
    uint64_t ignored;
    const asked *a;
    unsigned n = 0;
    if (read(w->up, &ignored, sizeof ignored) < 0 && errno != EAGAIN)
        die("the eventfd");
    __atomic_store_n(&w->told, 0, __ATOMIC_SEQ_CST);
    for (; n < 64 && (a = ring_peek(&w->ring)); n++) {
        asked copy = *a;
        ring_took(&w->ring);
        if (copy.why >= ASKED_WHYS)
            die("a reason that there is not");
        s->asks[copy.why]++;
        answer_one(s, w, &copy);
    }
    if (ring_peek(&w->ring))
        worker_tell(w);
    return n;
}

static unsigned in_flight(worker *w)
{
    worker_lock(w);
    unsigned n = w->forward.n_waiters;
    worker_unlock(w);
    return n + (__atomic_load_n(&w->ring.head, __ATOMIC_ACQUIRE) - w->ring.tail);
}

static void set_door(worker *w, unsigned i, unsigned state)
{
    worker_lock(w);
    __atomic_store_n(&w->doors[i].state, state, __ATOMIC_RELEASE);
    worker_unlock(w);
    worker_wake(w);
}

static void open_doors(side *s, unsigned number)
{
    worker *w = s->workers[number];
    for (unsigned i = 0; i < DRIVER_DOORS; i++) {
        worker_lock(w);
        w->doors[i].fd = s->fd[number][i];
        w->doors[i].family = 4;
        w->doors[i].dropped = 0;
        __atomic_store_n(&w->doors[i].state, DOOR_OPEN, __ATOMIC_RELEASE);
        worker_unlock(w);
        worker_wake(w);
    }
    s->state[number] = 0;
}

/* As Workers does: drain; when nothing is under way, remove; here then add the same sockets again. */
static void drain_doors(side *s, unsigned number)
{
    worker *w = s->workers[number];
    if (!s->state[number]) {
        for (unsigned i = 0; i < DRIVER_DOORS; i++)
            set_door(w, i, DOOR_DRAINING);
        s->state[number] = 1;
        return;
    }
    for (unsigned i = 0; i < DRIVER_DOORS; i++)
        if (worker_door_state(w, i) != DOOR_DRAINED)
            return;
    if (in_flight(w))
        return;
    for (unsigned i = 0; i < DRIVER_DOORS; i++) {
        set_door(w, i, DOOR_LEAVING);
        while (worker_door_state(w, i) != DOOR_FREE)
            pause_us(50);
    }
    open_doors(s, number);
    s->drains++;
}

static void follow(side *s)
{
    static const int8_t orders[][3] = { { 0, 1, -1 }, { 1, 0, -1 }, { 0, -1, -1 }, { 0, 1, -1 }, { 2, 0, -1 }, { 0, 1, 2 }, { -1, -1, -1 } };
    const int8_t *order = orders[chance(&s->chance) % 7];
    worker_upstream list[3];
    unsigned n = 0;
    for (; n < 3 && order[n] >= 0; n++)
        list[n] = (worker_upstream){ order[n], loopback(0, 1, shared_state.upstream_port[order[n]]), sizeof list[n].address.in4 };
    for (unsigned i = 0; i < DRIVER_WORKERS; i++)
        worker_follow(s->workers[i], list, n);
    s->follows++;
}

static void start(worker *w)
{
    if (worker_start(w) != 0)
        die("a thread does not start");
}

/* A thread that can't wait for its sockets any more ends by itself, says why, and starts again. */
static void kill_thread(side *s, unsigned number)
{
    worker *w = s->workers[number];
    if (dup2(w->up, w->epoll) != w->epoll)
        die("dup");
    worker_wake(w);
    for (unsigned i = 0; __atomic_load_n(&w->alive, __ATOMIC_ACQUIRE); i++) {
        if (i == 5000)
            die("a thread lives without its epoll set");
        for (unsigned j = 0; j < DRIVER_WORKERS; j++)
            (void)take(s, s->workers[j]);
        pause_us(1000);
    }
    if (!__atomic_load_n(&w->error, __ATOMIC_RELAXED))
        die("a thread ended and does not say why");
    worker_stop(w);
    start(w);
    s->deaths++;
}

static void limit_rate(side *s, uint32_t limit)
{
    for (unsigned i = 0; i < DRIVER_WORKERS; i++) {
        worker *w = s->workers[i];
        worker_lock(w);
        w->rate.limit = limit;
        worker_unlock(w);
    }
    s->rates += limit != 0;
}

static int due(uint64_t *at_ms, uint64_t now_ms, uint64_t every_ms)
{
    if (now_ms < *at_ms)
        return 0;
    *at_ms = now_ms + every_ms;
    return 1;
}

/* One turn of Python's loop. */
static void turn(side *s, int rated)
{
    static uint64_t swap_at, follow_at, stop_at, drain_at, death_at, rate_at, look_at;
    static unsigned draining;
    uint64_t now_ms = worker_clock_ns() / 1000000;
    unsigned took = 0;
    for (unsigned i = 0; i < DRIVER_WORKERS; i++)
        took += take(s, s->workers[i]);
    if (!took)
        pause_us(500);
    if (due(&swap_at, now_ms, 15 + chance(&s->chance) % 120))
        swap(s);
    if (due(&follow_at, now_ms, 80 + chance(&s->chance) % 80))
        follow(s);
    if (due(&look_at, now_ms, 20))
        (void)shared_measure(&s->shared);
    if (s->state[draining] || due(&drain_at, now_ms, 700)) {
        drain_doors(s, draining);
        draining = s->state[draining] ? draining : (draining + 1) % DRIVER_WORKERS;
    } else if (due(&stop_at, now_ms, 210)) {
        worker *w = s->workers[chance(&s->chance) % DRIVER_WORKERS];
        worker_stop(w);
        start(w);
        s->stops++;
    } else if (due(&death_at, now_ms, 2300))
        kill_thread(s, (unsigned)(chance(&s->chance) % DRIVER_WORKERS));
    if (rated && due(&rate_at, now_ms, 600)) {
        __atomic_add_fetch(&shared_state.rate_begun, 1, __ATOMIC_SEQ_CST);
        limit_rate(s, 100);
        for (unsigned i = 0; i < 40; i++, pause_us(500))
            for (unsigned j = 0; j < DRIVER_WORKERS; j++)
                (void)take(s, s->workers[j]);
        limit_rate(s, 0);
        __atomic_add_fetch(&shared_state.rate_done, 1, __ATOMIC_SEQ_CST);
    }
}

#include "driver_ends.h"

int main(int argc, char **argv)
{
    static side s;
    static upstream u;
    static client clients[CLIENTS];
    static hostile h;
    if (argc != 7)
        die("SEED SECONDS RATE TABLE1 TABLE2 INPUTS");
    uint64_t seed = strtoull(argv[1], 0, 10), seconds = strtoull(argv[2], 0, 10);
    int rated = argv[3][0] == '1';
    unsigned fds = open_fds();
    file_bytes inputs = read_file(argv[6]);
    s.tables[0] = read_file(argv[4]);
    s.tables[1] = read_file(argv[5]);
    s.chance = seed;
    upstream_start(&u, seed + 1);
    side_start(&s, rated);
    h = (hostile){ .inputs = inputs.bytes, .size = inputs.size, .pace_us = PACE_US, .chance = seed + 2 };
    if (pthread_create(&h.thread, 0, hostile_main, &h) != 0)
        die("no thread");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].number = i + 1;
        clients[i].pace_us = PACE_US;
        clients[i].chance = seed + 10 + i;
        if (pthread_create(&clients[i].thread, 0, client_main, &clients[i]) != 0)
            die("no thread");
    }
    for (uint64_t end_ms = worker_clock_ns() / 1000000 + seconds * 1000; worker_clock_ns() / 1000000 < end_ms;)
        turn(&s, rated);
    side_end(&s, &u, clients, &h, rated);
    free(inputs.bytes);
    if (open_fds() != fds)
        die("file descriptors are left");
    return 0;
}
