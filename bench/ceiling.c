/* The raw UDP ceiling: what one core can do with recvmmsg and sendmmsg when a query costs nothing. It sets QR and RA and sends the query back.
 *
 *   ceiling [ADDRESS [PORT]]      prints its port, then answers until it is killed
 */
#include "loopback.h"

static batch b;

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
            uint8_t *m = b.octets[i];
            if (b.header[i].msg_len < HEADER_OCTETS || (m[2] & 0x80))
                continue; /* an answer answered would run in a circle */
            m[2] |= 0x80;
            m[3] |= 0x80;
            b.part[i].iov_len = b.header[i].msg_len;
            b.header[n++].msg_hdr = b.header[i].msg_hdr;
        }
        batch_send(fd, &b, n);
    }
}
