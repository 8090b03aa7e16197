/* What a server can do while nothing else runs: a burst of queries waits in its sockets while it is stopped, then it goes on and everybody else sleeps.
 *
 *   burst --queries FILE --port PORT --pid PID [--count N] [--rounds R] [--sockets S] [--class blocked|cached]
 *
 * Two workers on a machine with two cores can not be measured by a generator that needs one of them. So the server (one process, SIGSTOP and SIGCONT) is
 * stopped, N queries are sent, from so many ports that the kernel spreads them evenly over its sockets, it goes on, and this program
 * sleeps until all should be answered. The kernel has put the time on each answer as it arrived (SO_TIMESTAMPNS): the rate is over the time from the first to
 * the last. N must fit into the server's socket buffer; a round in which an answer is missing is counted as such and not in the rates.
 * Prints JSON: rates of the rounds in order, all answers, and how many rounds lacked some.
 */
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>

#include "load_queries.h"

enum { SOCKETS_MAX = 1024, COUNT_MAX = 65536, ROUNDS_MAX = 1000, CONTROL_OCTETS = 64 };
static const uint64_t STOP_NS = 2000000, LONGEST_NS_EACH = 40000, SPARE_NS = 10000000; /* 25,000 answers a second, and 10 ms */

static batch b;
static uint8_t control[BATCH][CONTROL_OCTETS];

static _Noreturn void usage(const char *why)
{
    fprintf(stderr, "burst: %s\n", why);
    exit(2);
}

static void nap(uint64_t ns)
{
    struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };
    while (nanosleep(&t, &t) && errno == EINTR)
        continue;
}

static uint64_t arrived_ns(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
        }
    return 0;
}

/* Take all answers that wait on a socket; their number, and the first and last time into *first and *last. */
static unsigned drain(int fd, uint64_t *first, uint64_t *last)
{
    unsigned all = 0;
    for (;;) {
        batch_reset(&b, 0);
        for (int i = 0; i < BATCH; i++) {
            b.header[i].msg_hdr.msg_control = control[i];
            b.header[i].msg_hdr.msg_controllen = CONTROL_OCTETS;
        }
        int got = recvmmsg(fd, b.header, BATCH, MSG_DONTWAIT, NULL);
        if (got <= 0)
            return all;
        for (int i = 0; i < got; i++) {
            uint64_t at = arrived_ns(&b.header[i].msg_hdr);
            if (b.header[i].msg_len < HEADER_OCTETS || !(b.octets[i][2] & 0x80) || !at)
                continue;
            all++;
            *first = at < *first ? at : *first;
            *last = at > *last ? at : *last;
        }
    }
}

static void send_queries(int fd, queries *set, int class, unsigned n)
{
    while (n) {
        int now = n < BATCH ? (int)n : BATCH;
        batch_reset(&b, 0);
        for (int i = 0; i < now; i++) {
            const query *q = queries_next(set, class);
            memcpy(b.octets[i], q->message, q->octets);
            b.octets[i][0] = (uint8_t)(n >> 8);
            b.octets[i][1] = (uint8_t)n;
            b.part[i].iov_len = q->octets;
            n--;
        }
        batch_send(fd, &b, now);
    }
}

static int open_sockets(const endpoint *server, int *fds, unsigned n)
{
    struct rlimit files = { SOCKETS_MAX + 64, SOCKETS_MAX + 64 };
    int on = 1;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (unsigned k = 0; k < n; k++) {
        fds[k] = udp_socket(server);
        if (fds[k] < 0 || connect(fds[k], (const struct sockaddr *)&server->at, server->length)
            || setsockopt(fds[k], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on))
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "queries", 1, 0, 'q' }, { "port", 1, 0, 'p' }, { "pid", 1, 0, 'i' }, { "count", 1, 0, 'c' },
        { "rounds", 1, 0, 'r' },  { "sockets", 1, 0, 'n' }, { "class", 1, 0, 'k' }, { 0, 0, 0, 0 },
    };
    static int fds[SOCKETS_MAX];
    static queries set;
    const char *file = NULL, *wrong;
    unsigned long to = 0, pid = 0, count = 4096, rounds = 20, sockets = 512;
    int option, class = BLOCKED;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'q': file = optarg; break;
        case 'p': to = number(optarg, 1, 65535, "--port"); break;
        case 'i': pid = number(optarg, 2, INT32_MAX, "--pid"); break;
        case 'c': count = number(optarg, 1, COUNT_MAX, "--count"); break;
        case 'r': rounds = number(optarg, 1, ROUNDS_MAX, "--rounds"); break;
        case 'n': sockets = number(optarg, 1, SOCKETS_MAX, "--sockets"); break;
        case 'k': class = !strcmp(optarg, "cached") ? CACHED : BLOCKED; break;
        default: exit(2);
        }
    endpoint server;
    if (optind != argc || !file || !to || !pid)
        usage("--queries FILE, --port PORT and --pid PID are needed, and nothing without a name");
    if (loopback("127.0.0.1", (unsigned)to, &server))
        usage("only loopback");
    if ((wrong = queries_read(&set, file)))
        usage(wrong);
    if (set.first[class + 1] == set.first[class])
        usage("the file has no query of the class");
    count -= count % sockets;
    if (!count || open_sockets(&server, fds, (unsigned)sockets)) {
        perror("burst");
        return 1;
    }
    unsigned long short_rounds = 0, printed = 0, all = 0;
    printf("{\"count\": %lu, \"rates\": [", count);
    for (unsigned long round = 0; round < rounds; round++) {
        uint64_t first = UINT64_MAX, last = 0;
        unsigned answered = 0;
        if (kill((pid_t)pid, SIGSTOP)) {
            perror("burst: stop");
            return 1;
        }
        nap(STOP_NS);
        for (unsigned k = 0; k < sockets; k++)
            send_queries(fds[k], &set, class, (unsigned)(count / sockets));
        kill((pid_t)pid, SIGCONT);
        nap(count * LONGEST_NS_EACH + SPARE_NS);
        for (unsigned k = 0; k < sockets; k++)
            answered += drain(fds[k], &first, &last);
        all += answered;
        if (answered != count || last <= first)
            short_rounds++;
        else
            printf("%s%.0f", printed++ ? ", " : "", (double)(count - 1) * 1e9 / (double)(last - first));
    }
    printf("], \"answered\": %lu, \"short\": %lu}\n", all, short_rounds);
    for (unsigned k = 0; k < sockets; k++)
        close(fds[k]);
    queries_free(&set);
    return 0;
}
