/* A load generator for DNS over UDP on loopback: one thread, recvmmsg and sendmmsg, several source ports, a bounded number in flight on each.
 *
 * Closed loop: a port sends again when an answer (or the timeout) frees a place in its window, so that the rate is the server's own; with --rate
 * it sends no faster than that. The ID of a query is random bits over its place in the window, under a mask of its port's own; an answer counts when the
 * ID is that of a query in flight and the question comes back octet for octet. It never sleeps while answers keep coming: a sleeping
 * receiver would cost the server a wake-up for each answer. With --rate it does, so that what works on an update has the core too.
 *
 *   load --queries FILE --port PORT [--address A] [--seconds S] [--mix B,C,M] [--sockets N] [--window W] [--rate R] [--count N] [--timeout-ms T] [--seed S]
 *
 * --mix is in thousandths and adds up to 1000. Prints JSON. Exit 2: the command line or the file of queries; 1: the system.
 */
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "load_count.h"

enum { SOCKETS_MAX = 64, WINDOW_MAX = 1024, SECONDS_MAX = 600, RATE_MAX = 10000000, TIMEOUT_MS_MAX = 60000, SHARES = 1000 };
static const uint64_t SWEEP_NS = 10000000, SPIN_NS = 200000;
enum { NAP_MS = 1 };

typedef struct {
    const query *query; /* NULL: free */
    uint64_t sent_ns, unique;
    uint16_t id;
} place;

typedef struct {
    int fd;
    uint16_t mask;
    unsigned free_count;
    uint16_t free_places[WINDOW_MAX];
    place places[WINDOW_MAX];
} port;

typedef struct {
    queries set;
    endpoint server;
    unsigned sockets, window, place_bits;
    unsigned share[CLASSES];
    uint64_t rate, count, duration_ns, timeout_ns, random, unique;
    uint64_t start_ns, end_ns;
    port *ports;
    counts counted;
    batch b;
} load;

static volatile sig_atomic_t ended; /* SIGTERM: stop sending, wait for what is in flight, print */

static void end(int signal)
{
    (void)signal;
    ended = 1;
}

/* xorshift64*: any seed but zero. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

static int pick_class(load *l)
{
    unsigned at = (unsigned)((random_next(&l->random) >> 32) * SHARES >> 32);
    return at < l->share[BLOCKED] ? BLOCKED : at < l->share[BLOCKED] + l->share[CACHED] ? CACHED : MISS;
}

/* Write the next query into message i of the batch and its place into the window. The port has a free place. */
static void compose(load *l, port *p, int i, uint64_t now)
{
    unsigned at = p->free_places[--p->free_count];
    place *s = &p->places[at];
    uint8_t *m = l->b.octets[i];
    s->query = queries_next(&l->set, pick_class(l));
    s->sent_ns = now;
    s->id = (uint16_t)((random_next(&l->random) >> 40 << l->place_bits | at) ^ p->mask);
    memcpy(m, s->query->message, s->query->octets);
    m[0] = (uint8_t)(s->id >> 8);
    m[1] = (uint8_t)s->id;
    if (s->query->class == MISS)
        unique_label(m + HEADER_OCTETS + 1, s->unique = l->unique++);
    l->b.part[i].iov_len = s->query->octets;
    l->counted.sent[s->query->class]++;
}

static void release(port *p, place *s)
{
    s->query = NULL;
    p->free_places[p->free_count++] = (uint16_t)(s - p->places);
}

static int fill(load *l, port *p, uint64_t now)
{
    uint64_t sent = sum(l->counted.sent), most = l->count;
    if (l->rate) {
        /* 128 bits: ten million a second for ten minutes, in nanoseconds, is beyond 64 */
        uint64_t due = (uint64_t)((unsigned __int128)(now - l->start_ns) * l->rate / 1000000000u) + 1;
        most = due < most ? due : most;
    }
    int n = 0;
    batch_reset(&l->b, 0);
    while (n < BATCH && p->free_count && sent + (uint64_t)n < most)
        compose(l, p, n++, now);
    batch_send(p->fd, &l->b, n);
    return n;
}

/* The question of the answer is the one that was asked; a server may not change the case of a letter either (draft-vixie-dnsext-dns0x20). */
static int same_question(const place *s, const uint8_t *m, size_t n)
{
    size_t asked = s->query->question_octets, skip = 0;
    if (n < HEADER_OCTETS + asked)
        return 0;
    if (s->query->class == MISS) {
        uint8_t digits[UNIQUE_DIGITS];
        unique_label(digits, s->unique);
        skip = 1 + UNIQUE_DIGITS;
        if (memcmp(m + HEADER_OCTETS + 1, digits, sizeof digits))
            return 0;
    }
    return !memcmp(m + HEADER_OCTETS + skip, s->query->message + HEADER_OCTETS + skip, asked - skip);
}

/* Count one datagram: 1 if it is the answer to a query in flight. */
static int take(load *l, port *p, const uint8_t *m, size_t n, uint64_t now)
{
    counts *c = &l->counted;
    uint16_t id = (uint16_t)(n < HEADER_OCTETS ? 0 : m[0] << 8 | m[1]);
    unsigned at = (unsigned)(id ^ p->mask) & ((1u << l->place_bits) - 1);
    place *s = &p->places[at];
    if (n < HEADER_OCTETS || !(m[2] & 0x80) || at >= l->window || !s->query || s->id != id) {
        c->late++;
        return 0;
    }
    if (!same_question(s, m, n)) {
        c->mismatch++;
        return 0;
    }
    c->answered[s->query->class]++;
    c->rcode[s->query->class][m[3] & 15]++;
    c->empty[s->query->class] += !(m[6] | m[7]);
    c->in_time += now <= l->end_ns;
    count_latency(c, now - s->sent_ns);
    release(p, s);
    return 1;
}

static int receive(load *l, port *p)
{
    batch_reset(&l->b, 0);
    int got = recvmmsg(p->fd, l->b.header, BATCH, MSG_DONTWAIT, NULL), answers = 0;
    if (got < 0) {
        l->counted.refused += errno == ECONNREFUSED;
        return 0;
    }
    uint64_t now = now_ns();
    for (int i = 0; i < got; i++)
        answers += take(l, p, l->b.octets[i], l->b.header[i].msg_len, now);
    if (answers)
        count_gap(&l->counted, now);
    return got;
}

/* Free the places of queries that waited longer than the timeout (or all: what is in flight at the end is lost). */
static void expire(load *l, uint64_t now, int all)
{
    for (unsigned k = 0; k < l->sockets; k++)
        for (unsigned at = 0; at < l->window; at++) {
            place *s = &l->ports[k].places[at];
            if (s->query && (all || now - s->sent_ns > l->timeout_ns)) {
                l->counted.lost[s->query->class]++;
                release(&l->ports[k], s);
            }
        }
}

static void run(load *l)
{
    struct pollfd waiting[SOCKETS_MAX];
    for (unsigned k = 0; k < l->sockets; k++)
        waiting[k] = (struct pollfd){ .fd = l->ports[k].fd, .events = POLLIN };
    l->start_ns = l->counted.last_answer_ns = now_ns();
    l->end_ns = l->start_ns + l->duration_ns;
    uint64_t swept = l->start_ns, idle_since = 0;
    unsigned turn = 0;
    for (;;) {
        uint64_t now = now_ns();
        int sending = !ended && now < l->end_ns && sum(l->counted.sent) < l->count, work = 0;
        if (!sending) {
            if (now < l->end_ns)
                l->end_ns = now; /* the count is reached, or SIGTERM came: the rate is over the time that it took */
            if (sum(l->counted.sent) == sum(l->counted.answered) + sum(l->counted.lost) || now > l->end_ns + l->timeout_ns)
                break;
        }
        turn++; /* each port is first in its turn, or the first would have all of a limited rate */
        for (unsigned k = 0; k < l->sockets; k++) {
            port *p = &l->ports[(k + turn) % l->sockets];
            work += receive(l, p);
            if (sending && p->free_count)
                work += fill(l, p, now);
        }
        if (now - swept > SWEEP_NS) {
            expire(l, now, 0);
            swept = now;
        }
        if (work) {
            idle_since = 0;
            continue;
        }
        idle_since = idle_since ? idle_since : now;
        if (l->rate || now - idle_since > SPIN_NS)
            poll(waiting, l->sockets, NAP_MS);
        else
            sched_yield(); /* the upstream has this core too */
        if (sending)
            l->counted.idle_ns += now_ns() - now;
    }
    if (sum(l->counted.answered))
        count_gap(&l->counted, l->end_ns > l->counted.last_answer_ns ? l->end_ns : l->counted.last_answer_ns);
    else
        l->counted.gap_max_ns = l->end_ns - l->start_ns;
    expire(l, 0, 1);
}

static int open_ports(load *l)
{
    l->ports = calloc(l->sockets, sizeof *l->ports);
    for (unsigned k = 0; l->ports && k < l->sockets; k++) {
        port *p = &l->ports[k];
        p->fd = udp_socket(&l->server);
        if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&l->server.at, l->server.length))
            return -1;
        p->mask = (uint16_t)(random_next(&l->random) >> 48);
        for (unsigned at = 0; at < l->window; at++)
            p->free_places[p->free_count++] = (uint16_t)(l->window - 1 - at);
    }
    return l->ports ? 0 : -1;
}

static _Noreturn void usage(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    exit(2);
}

static void parse_mix(load *l, const char *text)
{
    char rest;
    if (sscanf(text, "%4u,%4u,%4u%c", &l->share[BLOCKED], &l->share[CACHED], &l->share[MISS], &rest) != 3
        || l->share[BLOCKED] > SHARES || l->share[CACHED] > SHARES || l->share[MISS] > SHARES
        || l->share[BLOCKED] + l->share[CACHED] + l->share[MISS] != SHARES)
        usage("--mix wants three shares in thousandths that add up to 1000");
}

static void parse(load *l, int argc, char **argv)
{
    static const struct option options[] = {
        { "queries", 1, 0, 'q' }, { "address", 1, 0, 'a' }, { "port", 1, 0, 'p' }, { "seconds", 1, 0, 's' },    { "mix", 1, 0, 'm' },  { "sockets", 1, 0, 'n' },
        { "window", 1, 0, 'w' },  { "rate", 1, 0, 'r' },    { "count", 1, 0, 'c' }, { "timeout-ms", 1, 0, 't' }, { "seed", 1, 0, 'x' }, { 0, 0, 0, 0 },
    };
    const char *file = NULL, *address = "127.0.0.1", *wrong;
    unsigned long to = 0, timeout_ms = 1000;
    double seconds = 1;
    int option;
    char rest;
    *l = (load){ .sockets = 8, .window = 16, .share = { SHARES, 0, 0 }, .count = UINT64_MAX, .random = now_ns() | 1 };
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'q': file = optarg; break;
        case 'a': address = optarg; break;
        case 'p': to = number(optarg, 1, 65535, "--port"); break;
        case 's':
            if (sscanf(optarg, "%lf%c", &seconds, &rest) != 1 || !(seconds > 0 && seconds <= SECONDS_MAX))
                usage("--seconds is above 0 and at most 600");
            break;
        case 'm': parse_mix(l, optarg); break;
        case 'n': l->sockets = (unsigned)number(optarg, 1, SOCKETS_MAX, "--sockets"); break;
        case 'w': l->window = (unsigned)number(optarg, 1, WINDOW_MAX, "--window"); break;
        case 'r': l->rate = number(optarg, 1, RATE_MAX, "--rate"); break;
        case 'c': l->count = number(optarg, 1, UINT32_MAX, "--count"); break;
        case 't': timeout_ms = number(optarg, 1, TIMEOUT_MS_MAX, "--timeout-ms"); break;
        case 'x': l->random = number(optarg, 1, UINT32_MAX, "--seed"); break;
        default: exit(2);
        }
    if (optind != argc || !file || !to)
        usage("--queries FILE and --port PORT are needed, and nothing without a name");
    if (loopback(address, (unsigned)to, &l->server))
        usage("only loopback addresses (127.0.0.0/8, ::1): this is no weapon");
    if ((wrong = queries_read(&l->set, file)))
        usage(wrong);
    for (int k = 0; k < CLASSES; k++) {
        uint32_t count = l->set.first[k + 1] - l->set.first[k];
        if (l->share[k] && !count)
            usage("the file has no query of a class in the mix");
        /* from anywhere: two runs after each other should not ask the same, which a server's packet cache would know */
        for (int i = 0; i < 8 && count; i++) /* a small seed takes some steps to fill the state */
            l->set.next[k] = (uint32_t)((random_next(&l->random) >> 32) * count >> 32);
    }
    while (1u << l->place_bits < l->window)
        l->place_bits++;
    l->duration_ns = (uint64_t)(seconds * 1e9);
    l->timeout_ns = timeout_ms * 1000000u;
    l->unique = random_next(&l->random);
}

int main(int argc, char **argv)
{
    static load l;
    parse(&l, argc, argv);
    if (open_ports(&l)) {
        perror("load");
        return 1;
    }
    struct rusage used;
    signal(SIGTERM, end);
    run(&l);
    getrusage(RUSAGE_SELF, &used);
    print_counts(&l.counted, (double)(l.end_ns - l.start_ns) / 1e9,
                 (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    for (unsigned k = 0; k < l.sockets; k++)
        close(l.ports[k].fd);
    free(l.ports);
    queries_free(&l.set);
    return 0;
}
