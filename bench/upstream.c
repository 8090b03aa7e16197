/* The resolver behind the peers: every name has one address (A 198.51.100.7, TTL 3600), other types exist without data (an SOA of the root).
 *
 *   upstream [ADDRESS [PORT]]     prints its port, then answers until it is killed
 *
 * Fast, so that what is measured in front of it is the peer. It echoes an OPT when the query has additional records, for resolvers that
 * take its absence for a server without EDNS.
 */
#include "loopback.h"

enum { TYPE_A = 1, ANSWER_OCTETS_MAX = 64, QUESTION_OCTETS_MAX = 255 + 4 };

static const uint8_t ADDRESS_RECORD[] = { 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 198, 51, 100, 7 };
static const uint8_t SOA_RECORD[] = { 0, 0, 6, 0, 1, 0, 0, 0x0e, 0x10, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 7, 8, 0, 0, 3, 132, 0, 9, 58, 128, 0, 0, 14, 16 };
static const uint8_t OPT_RECORD[] = { 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0 };

static batch b;

/* The octets of the one question of m[0..n), or 0: no query, several questions, compressed or cut. */
static size_t question(const uint8_t *m, size_t n)
{
    size_t at = HEADER_OCTETS;
    if (n < HEADER_OCTETS + 5 || (m[2] & 0x80) || m[4] || m[5] != 1)
        return 0;
    while (at < n && m[at] && m[at] < 64)
        at += 1u + m[at];
    if (at + 5 > n || m[at] || at + 5 > HEADER_OCTETS + QUESTION_OCTETS_MAX)
        return 0;
    return at + 5 - HEADER_OCTETS;
}

static size_t put(uint8_t *m, size_t at, const uint8_t *octets, size_t n)
{
    memcpy(m + at, octets, n);
    return at + n;
}

/* The answer over the query, in place; its octets, or 0 for none. */
static size_t answer(uint8_t *m, size_t n)
{
    size_t asked = question(m, n), at = HEADER_OCTETS + asked;
    if (!asked)
        return 0;
    int address = m[at - 4] == 0 && m[at - 3] == TYPE_A, opt = m[10] || m[11];
    m[2] = (uint8_t)(0x80 | (m[2] & 0x79)); /* QR; opcode and RD as asked */
    m[3] = 0x80;                            /* RA, NOERROR */
    memset(m + 6, 0, 6);
    m[address ? 7 : 9] = 1;
    at = address ? put(m, at, ADDRESS_RECORD, sizeof ADDRESS_RECORD) : put(m, at, SOA_RECORD, sizeof SOA_RECORD);
    if (opt) {
        m[11] = 1;
        at = put(m, at, OPT_RECORD, sizeof OPT_RECORD);
    }
    return at;
}

_Static_assert(HEADER_OCTETS + QUESTION_OCTETS_MAX + ANSWER_OCTETS_MAX <= DATAGRAM_OCTETS_MAX, "an answer fits where its query was");
_Static_assert(sizeof SOA_RECORD + sizeof OPT_RECORD <= ANSWER_OCTETS_MAX, "the longest answer");

int main(int argc, char **argv)
{
    int fd = serve_on(argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? (unsigned)number(argv[2], 0, 65535, "port") : 0);
    if (fd < 0)
        return 1;
    for (;;) {
        batch_reset(&b, 1);
        int got = recvmmsg(fd, b.header, BATCH, MSG_WAITFORONE, NULL), n = 0;
        if (got < 0 && errno != EINTR && errno != ECONNREFUSED)
            return 1;
        for (int i = 0; i < got; i++) {
            b.part[i].iov_len = answer(b.octets[i], b.header[i].msg_len);
            if (b.part[i].iov_len)
                b.header[n++].msg_hdr = b.header[i].msg_hdr;
        }
        batch_send(fd, &b, n);
    }
}
