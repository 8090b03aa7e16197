/* Clients. One kind asks valid questions from many ports and holds every answer against what the question may get; the other sends whatever it
 * is given, from addresses that may ask and from one that may not, and holds only the ID against what it sent.
 *
 * Judged by generation: a query during whose whole time one table was in force must be answered by that table.
 */
#ifndef DRIVER_CLIENTS_H
#define DRIVER_CLIENTS_H

#include "driver_common.h"

enum {
    CLIENT_SOCKETS = 5, CLIENT_OPEN = 256, CLIENT_WINDOW = 16, CLIENT_PORT_QUERIES = 400,
    CLIENT_LOST_MS = 12000,  /* no answer for so long: it is lost */
    CLIENT_RATED_MS = 3500,  /* the same for one that the rate limit may have taken; every way to an answer is shorter */
    CLIENT_SILENT_MS = 1000,
    CLIENT_QUERY_BYTES = 128,
};

typedef struct {
    uint8_t used, zone, behaviour, rated;
    uint16_t id, end, size;
    uint32_t swap, rate;
    uint64_t sent_ms;
    uint8_t query[CLIENT_QUERY_BYTES];
} client_query;

typedef struct {
    int fd;
    uint32_t asked, at;
    client_query open[CLIENT_OPEN];
} client_socket;

typedef struct {
    unsigned number, pace_us;
    uint64_t chance, unique;
    driver_tally tally;
    client_socket sockets[CLIENT_SOCKETS];
    pthread_t thread;
} client;

static const char ZONES[] = "bbbb1122nnadffffffffffff", BEHAVIOURS[] = "gggggggggggggggggggggcccc11112222pppppppvtqlwxdmhsyy";

static const char *zone_name(uint8_t zone)
{
    switch (zone) {
    case 'b': return "both.example";
    case '1': return "first.example";
    case '2': return "second.example";
    case 'n': return "noted.example";
    case 'd': return "dropped.example";
    case 'a': return "deep.both.example";
    default: return "free.example";
    }
}

static void client_port(client *c, client_socket *s)
{
    udp_address door = loopback(0, 1 + chance(&c->chance) % DRIVER_DOORS, shared_state.door_port);
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = open_socket(c->number, 1 + chance(&c->chance) % 250, 0, 0);
    if (connect(s->fd, &door.any, sizeof door.in4) != 0)
        die("no door");
    s->asked = 0;
    c->tally.ports++;
}

static void client_make(client *c, client_query *q)
{
    char text[80], label[32];
    uint8_t *p = q->query;
    q->zone = (uint8_t)ZONES[chance(&c->chance) % (sizeof ZONES - 1)];
    q->behaviour = (uint8_t)BEHAVIOURS[chance(&c->chance) % (sizeof BEHAVIOURS - 1)];
    int known = strchr("gc12", q->behaviour) && chance(&c->chance) % 2;
    unsigned long long number = known ? chance(&c->chance) % 60 : (unsigned long long)c->number << 40 | (c->unique += chance(&c->chance) % 4 != 0);
    (void)snprintf(label, sizeof label, "%c%c-%llu", q->behaviour, q->zone, number);
    (void)snprintf(text, sizeof text, "%s.%s", label, zone_name(q->zone));
    memset(p, 0, HEADER_BYTES);
    store_u16(p, q->id);
    store_u16(p + 2, (uint16_t)(FLAG_RD | (chance(&c->chance) % 8 ? 0 : FLAG_CD)));
    store_u16(p + 4, 1);
    size_t at = HEADER_BYTES + put_name(p + HEADER_BYTES, text);
    for (size_t i = HEADER_BYTES + 4; i < at; i++) /* case is the client's own (behaviour and zone keep theirs) */
        if (p[i] >= 'a' && p[i] <= 'z' && chance(&c->chance) % 4 == 0)
            p[i] ^= 0x20;
    store_u16(p + at, TYPE_A);
    store_u16(p + at + 2, CLASS_IN);
    q->end = (uint16_t)(at + 4);
    q->size = q->end;
    if (chance(&c->chance) % 2) {
        static const uint8_t opt[11] = { 0, 0, 41, 4, 0xd0 };
        memcpy(p + q->size, opt, sizeof opt);
        q->size += sizeof opt;
        store_u16(p + 10, 1);
    }
}

static int client_rated(const client_query *q) { return q->rated || q->rate != load_state(&shared_state.rate_begun); }

static void client_ask(client *c, client_socket *s)
{
    unsigned waiting = 0;
    for (unsigned i = 0; i < CLIENT_OPEN; i++)
        waiting += s->open[i].used && !client_rated(&s->open[i]) && s->open[i].zone != 'd';
    client_query *q = &s->open[s->at++ % CLIENT_OPEN];
    if (waiting >= CLIENT_WINDOW || q->used)
        return;
    *q = (client_query){ .used = 1, .id = (uint16_t)((chance(&c->chance) & 0xff00) | (s->at - 1) % CLIENT_OPEN) };
    client_make(c, q);
    q->rate = load_state(&shared_state.rate_done);
    q->swap = load_state(&shared_state.swap_done);
    q->sent_ms = worker_clock_ns() / 1000000;
    if (send(s->fd, q->query, q->size, MSG_NOSIGNAL) != q->size)
        die("a query could not be sent");
    s->asked++;
    c->tally.queries++;
}

/* Records, by a table that was replaced before the upstream sent them? */
static int client_half_judged(const client_query *q, const uint8_t *answer, size_t n, uint32_t begun)
{
    size_t end = n - (load_u16(answer + 10) ? 11 : 0);
    if (strchr("yh", q->behaviour) || end < q->end + 16u || load_u16(answer + end - 2) != (begun & 0xffff))
        return 0;
    uint8_t listed = begun & 1 ? '2' : '1';
    return q->zone == listed || q->behaviour == listed;
}

/* May this query get this answer? */
static void client_judge(client *c, const client_query *q, const uint8_t *answer, size_t n)
{
    unsigned rcode = answer[3] & 15, records = load_u16(answer + 6), truncated = answer[2] & (FLAG_TC >> 8);
    uint32_t begun = load_state(&shared_state.swap_begun);
    int stable = begun == q->swap, second = q->swap & 1;
    int name = q->zone == 'b' || q->zone == 'a' ? 1 : q->zone == '1' ? (stable ? !second : -1) : q->zone == '2' ? (stable ? second : -1) : 0;
    int target = q->behaviour == 'c' ? 1 : q->behaviour == '1' ? (stable ? !second : -1) : q->behaviour == '2' ? (stable ? second : -1) : q->behaviour == 'y' ? -1 : 0;
    if (n < q->end || !(answer[2] & 0x80) || load_u16(answer + 4) != 1 || memcmp(answer + HEADER_BYTES, q->query + HEADER_BYTES, q->end - HEADER_BYTES) != 0)
        die("an answer's question is not the client's");
    c->tally.stable += (unsigned)stable;
    if (truncated) {
        if (q->behaviour != 'h' && q->behaviour != 'y' && !client_rated(q))
            die("truncated without a reason");
        c->tally.truncated++;
        return;
    }
    if (q->zone == 'd')
        die("an answer to a name that is to be dropped");
    if ((name == 1 || target == 1) && records)
        die("a listed name or target got records");
    if (records && client_half_judged(q, answer, n, begun))
        die("half-judged: records by a table that was replaced before they came");
    if (name == 1 && rcode != RCODE_NXDOMAIN)
        die("a listed name was not blocked");
    if (name == 0 && target == 0 && rcode == RCODE_NXDOMAIN)
        die("blocked, and listed nowhere");
    if (rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN && rcode != RCODE_SERVFAIL && q->behaviour != 'y')
        die("an rcode that nobody gave");
    c->tally.good += records != 0;
    c->tally.blocked += rcode == RCODE_NXDOMAIN;
    c->tally.servfail += rcode == RCODE_SERVFAIL;
}

static void client_read(client *c, client_socket *s)
{
    uint8_t answer[4200];
    ssize_t n;
    while ((n = recv(s->fd, answer, sizeof answer, 0)) >= 0) {
        if (n < HEADER_BYTES)
            die("an answer that is none");
        client_query *q = &s->open[load_u16(answer) % CLIENT_OPEN];
        if (!q->used || q->id != load_u16(answer))
            die("a second answer, or one that nobody asked for");
        client_judge(c, q, answer, (size_t)n);
        q->used = 0;
        c->tally.answers++;
    }
}

/* What has waited long enough. Returns how many still wait. */
static unsigned client_sweep(client *c, client_socket *s)
{
    uint64_t now_ms = worker_clock_ns() / 1000000;
    unsigned waiting = 0;
    for (unsigned i = 0; i < CLIENT_OPEN; i++) {
        client_query *q = &s->open[i];
        if (!q->used)
            continue;
        q->rated = (uint8_t)client_rated(q);
        uint64_t waited_ms = now_ms - q->sent_ms;
        if (q->zone == 'd' && waited_ms > CLIENT_SILENT_MS) {
            c->tally.silent++;
            q->used = 0;
        } else if (q->rated && waited_ms > CLIENT_RATED_MS) {
            c->tally.rated++;
            q->used = 0;
        } else if (waited_ms > CLIENT_LOST_MS) {
            fprintf(stderr, "worker_driver: behaviour %c, zone %c\n", q->behaviour, q->zone);
            die("a valid query without an answer");
        }
        waiting += q->used;
    }
    return waiting;
}

static void *client_main(void *argument)
{
    client *c = argument;
    for (unsigned i = 0; i < CLIENT_SOCKETS; i++)
        c->sockets[i].fd = -1;
    for (unsigned turn = 0, waiting = 1; !stopped() || waiting; turn++) {
        waiting = 0;
        for (unsigned i = 0; i < CLIENT_SOCKETS; i++) {
            client_socket *s = &c->sockets[i];
            unsigned open = turn % 16 && !stopped() ? 1 : s->fd < 0 ? 0 : client_sweep(c, s);
            waiting += open;
            if ((s->fd < 0 || (s->asked > CLIENT_PORT_QUERIES && !open)) && !stopped())
                client_port(c, s);
            if (s->fd < 0)
                continue;
            for (unsigned k = 0; k < 4 && s->asked <= CLIENT_PORT_QUERIES && !stopped(); k++)
                client_ask(c, s);
            client_read(c, s);
        }
        pause_us(stopped() ? 2000 : (long)c->pace_us);
    }
    for (unsigned i = 0; i < CLIENT_SOCKETS; i++)
        if (c->sockets[i].fd >= 0)
            (void)close(c->sockets[i].fd);
    return 0;
}

/* ---- hostile */

typedef struct {
    const uint8_t *inputs; /* each a little-endian uint32 length and so many octets */
    size_t size;
    unsigned pace_us;
    uint64_t chance;
    driver_tally tally;
    pthread_t thread;
} hostile;

enum { HOSTILE_PORT_PACKETS = 200, HOSTILE_BURST = 8 };

static void hostile_read(hostile *h, int fd, uint16_t *sent)
{
    uint8_t answer[4200];
    ssize_t n;
    while ((n = recv(fd, answer, sizeof answer, 0)) >= 0) {
        if (n < HEADER_BYTES || !(answer[2] & 0x80) || !sent[load_u16(answer)])
            die("a hostile packet got what is no answer, or two");
        sent[load_u16(answer)]--;
        h->tally.hostile_answers++;
        h->tally.refused += (answer[3] & 15) == RCODE_REFUSED;
    }
}

static void *hostile_main(void *argument)
{
    hostile *h = argument;
    uint16_t *sent = get(1 << 16, sizeof *sent);
    size_t at = 0;
    int fd = -1;
    for (unsigned turn = 0; !stopped(); turn++) {
        if (turn % HOSTILE_PORT_PACKETS == 0) {
            if (fd >= 0)
                (void)close(fd);
            fd = open_socket(chance(&h->chance) % 8 ? 100 : 200 << 8, 1 + chance(&h->chance) % 250, 0, 0); /* 127.200.0.0: may not ask */
            memset(sent, 0, (1 << 16) * sizeof *sent);
            h->tally.ports++;
        }
        uint32_t n;
        memcpy(&n, h->inputs + at, 4);
        udp_address door = loopback(0, 1 + chance(&h->chance) % DRIVER_DOORS, shared_state.door_port);
        if (sendto(fd, h->inputs + at + 4, n, MSG_NOSIGNAL, &door.any, sizeof door.in4) == (ssize_t)n && n >= 2)
            sent[load_u16(h->inputs + at + 4)]++;
        h->tally.hostile++;
        at = at + 4 + n < h->size ? at + 4 + n : 0;
        hostile_read(h, fd, sent);
        if (turn % HOSTILE_BURST == 0)
            pause_us((long)h->pace_us);
    }
    (void)close(fd);
    free(sent);
    return 0;
}

#endif
