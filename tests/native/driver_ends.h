/* The beginning and the end of worker_driver.c: what is made, what must be back where it was, what is printed. */
#ifndef DRIVER_ENDS_H
#define DRIVER_ENDS_H

#ifndef PACE_US
#define PACE_US 300 /* a client's pause between two turns */
#endif

static unsigned open_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        die("no /proc");
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}

static void side_start(side *s, int rated)
{
    uint8_t rate_key[16] = { 1 }, network[4] = { 127 };
    s->list.ranges = get(ACL_PREFIXES_MAX, sizeof *s->list.ranges);
    s->list.n = (size_t)acl_range_of(network, 4, 9, &s->list.ranges[0]);
    if (!shared_make(&s->shared, 4 << 20))
        die("no memory");
    s->core.shared = &s->shared;
    s->core.key = sip_key_from(key_bytes);
    s->core.map = get(1, sizeof(reply_map));
    s->core.scratch = get(1, ANSWER_MAX);
    s->core.counts = (counts){ get(CELLS, 8), 0, CELL_RESPONSES, CELL_DURATIONS, CELL_LIMITS, CELL_POLICY, CELLS, 0 };
    udp_init(&s->batch);
    for (unsigned i = 0; i < DRIVER_WORKERS; i++) {
        worker *w = s->workers[i] = get(1, sizeof *w);
        w->core = s->core;
        if (!worker_make(w, rate_key))
            die("no worker");
        w->list = &s->list;
        w->rate.buckets = rated ? get(RATE_PREFIXES_MAX, sizeof *w->rate.buckets) : 0;
        for (unsigned j = 0; j < DRIVER_DOORS; j++) {
            s->fd[i][j] = open_socket(0, 1 + j, shared_state.door_port, 1);
            shared_state.door_port = port_of(s->fd[i][j]);
            if (!udp_prepare(s->fd[i][j], 4, 0))
                die("no door");
        }
        open_doors(s, i);
    }
    swap(s);
    follow(s);
    for (unsigned i = 0; i < DRIVER_WORKERS; i++)
        start(s->workers[i]);
}

static uint64_t sum(const side *s, unsigned from, unsigned to)
{
    uint64_t n = 0;
    for (; from < to; from++)
        n += s->core.counts.cells[from];
    return n;
}

static int idle(const side *s)
{
    for (unsigned i = 0; i < DRIVER_WORKERS; i++)
        if (s->state[i] || in_flight(s->workers[i]))
            return 0;
    return 1;
}

static void check_worker(const worker *w)
{
    const forward_sockets *f = &w->forward.sockets;
    unsigned open = 0;
    if (w->forward.n_waiters || w->forward.open.n || w->forward.n_out || w->n_out || w->own.n)
        die("something is under way, and nobody waits");
    for (unsigned i = 0; i < FORWARD_SOCKETS_MAX; i++) {
        open += f->sockets[i].fd >= 0;
        if (f->sockets[i].fd >= 0 && f->sockets[i].open)
            die("a socket waits for an answer that nobody wants");
    }
    if (open + f->n_free != FORWARD_SOCKETS_MAX || open > FORWARD_SLOTS * FORWARD_POOL)
        die("a place for a socket is lost");
}

static driver_tally add_up(client *clients, const hostile *h, const upstream *u)
{
    driver_tally all = h->tally;
    for (unsigned i = 0; i < CLIENTS; i++) {
        const driver_tally *t = &clients[i].tally;
        all.queries += t->queries, all.answers += t->answers, all.good += t->good, all.blocked += t->blocked, all.truncated += t->truncated;
        all.servfail += t->servfail, all.rated += t->rated, all.silent += t->silent, all.stable += t->stable, all.ports += t->ports;
    }
    all.upstream_queries = u->queries;
    return all;
}

/* Clients end first, then what is under way, then the threads; then everything must add up. */
static void side_end(side *s, upstream *u, client *clients, hostile *h, int rated)
{
    uint64_t forwarded = 0, coalesced = 0, hedged = 0, escalated = 0, mismatches = 0, malformed = 0;
    __atomic_store_n(&shared_state.stop, 1, __ATOMIC_RELEASE);
    (void)pthread_join(h->thread, 0);
    for (unsigned done = 0, i = 0; done < CLIENTS || !idle(s); i++) {
        if (i > 60000)
            die("what is under way does not end");
        for (unsigned j = 0; j < DRIVER_WORKERS; j++) {
            (void)take(s, s->workers[j]);
            if (s->state[j])
                drain_doors(s, j);
        }
        if (i % 40 == 0)
            swap(s);
        while (done < CLIENTS && pthread_tryjoin_np(clients[done].thread, 0) == 0)
            done++;
        pause_us(500);
    }
    upstream_end(u);
    for (unsigned i = 0; i < DRIVER_WORKERS; i++) {
        worker *w = s->workers[i];
        worker_stop(w);
        check_worker(w);
        forwarded += w->forward.forwarded, coalesced += w->forward.coalesced, hedged += w->forward.hedged, escalated += w->figures.escalated;
        for (unsigned j = 0; j < FORWARD_SLOTS; j++)
            mismatches += w->forward.upstreams[j].mismatches, malformed += w->forward.upstreams[j].malformed;
        worker_free(w);
        free(w);
        for (unsigned j = 0; j < DRIVER_DOORS; j++)
            (void)close(s->fd[i][j]);
    }
    driver_tally t = add_up(clients, h, u);
    const uint64_t *cells = s->core.counts.cells;
    uint64_t requests = sum(s, 0, CELL_RESPONSES), responses = sum(s, CELL_RESPONSES, CELL_DURATIONS), dropped = cells[CELL_DROPPED], rate = cells[CELL_LIMITS + LIMIT_RATE];
    uint64_t silence = requests - responses - dropped;
    if (requests < responses + dropped || (rated ? silence > rate : silence != 0))
        die("requests, responses and silence do not add up");
    if (t.queries != t.answers + t.rated + t.silent || (!rated && t.rated) || t.rated > rate)
        die("queries, answers and drops do not add up");
    if (t.answers + t.hostile_answers > responses)
        die("more answers came than were counted");
    if (cells[CELL_LIMITS + LIMIT_UDP_RECEIVE] > 1u << 30)
        die("the count of lost datagrams ran backwards");
    printf("{\"queries\": %lu, \"answers\": %lu, \"good\": %lu, \"blocked\": %lu, \"truncated\": %lu, \"servfail\": %lu, \"rated\": %lu, \"silent\": %lu, \"stable\": %lu, ", t.queries, t.answers,
           t.good, t.blocked, t.truncated, t.servfail, t.rated, t.silent, t.stable);
    printf("\"hostile\": %lu, \"hostile_answers\": %lu, \"refused\": %lu, \"ports\": %lu, \"upstream\": %lu, \"requests\": %lu, \"responses\": %lu, ", t.hostile, t.hostile_answers, t.refused,
           t.ports, t.upstream_queries, requests, responses);
    printf("\"swaps\": %lu, \"learned\": %lu, \"follows\": %lu, \"stops\": %lu, \"drains\": %lu, \"deaths\": %lu, \"rates\": %lu, \"kept\": %lu, ", s->swaps, s->learned, s->follows, s->stops, s->drains,
           s->deaths, s->rates, s->kept);
    printf("\"forwarded\": %lu, \"coalesced\": %lu, \"hedged\": %lu, \"escalated\": %lu, \"mismatches\": %lu, \"malformed\": %lu, \"cached\": %lu", forwarded, coalesced, hedged, escalated,
           mismatches, malformed, sum(s, CELL_RESPONSES, CELL_DURATIONS) ? cells[CELL_RESPONSES + SOURCE_CACHE] : 0);
    for (unsigned i = 0; i < ASKED_WHYS; i++)
        printf(", \"why %s\": %lu", ASKED_WORDS[i], s->asks[i]);
    printf("}\n");
    void *all[] = { s->list.ranges, s->core.map, s->core.scratch, s->core.counts.cells, s->table, s->tables[0].bytes, s->tables[1].bytes };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free_verdicts(&s->core.policy.verdicts);
    shared_free(&s->shared);
}

#endif
