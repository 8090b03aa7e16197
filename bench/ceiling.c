/* The raw UDP ceiling: what one core can do with recvmmsg and sendmmsg when a query costs nothing. It sets QR and RA and sends the query back, which
 * is the least that any answer can be; with EXTRA, as many octets more, so that it sends what a server with longer answers sends. Nothing else: no
 * name is read, no address is looked at.
 *
 *   ceiling [ADDRESS [PORT [EXTRA]]]      prints its port, then answers until it is killed
 */
#include "loopback.h"

enum { EXTRA_OCTETS_MAX = 1232 };

static batch b;

int main(int argc, char **argv)
{
    int fd = serve_on(argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? (unsigned)number(argv[2], 0, 65535, "port") : 0);
    size_t extra = argc > 3 ? number(argv[3], 0, EXTRA_OCTETS_MAX, "extra octets") : 0;
    if (fd < 0)
        return 1;
    for (;;) {
        batch_reset(&b, 1);
        int got = recvmmsg(fd, b.header, BATCH, MSG_WAITFORONE, NULL), n = 0;
        if (got < 0 && errno != EINTR && errno != ECONNREFUSED)
            return 1;
        for (int i = 0; i < got; i++) {
            uint8_t *m = b.octets[i];
            if (b.header[i].msg_len < HEADER_OCTETS || b.header[i].msg_len > DATAGRAM_OCTETS_MAX - extra || (m[2] & 0x80))
                continue; /* an answer answered would run in a circle */
            m[2] |= 0x80;
            m[3] |= 0x80;
            b.part[i].iov_len = b.header[i].msg_len + extra; /* the octets behind it are zero, or an older query's */
            b.header[n++].msg_hdr = b.header[i].msg_hdr;
        }
        batch_send(fd, &b, n);
    }
}
