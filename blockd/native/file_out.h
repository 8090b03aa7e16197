/* A file written once, from front to back: a header's room, then a body whose digest is taken on the way, then the header.
 *
 * The first failure is kept and everything after it does nothing, so that a writer checks once, at the end. A crash before
 * file_out_close leaves a file whose header is zeros, which every reader refuses; the caller writes to a name
 * that nothing reads yet.
 */
#ifndef BLOCKD_FILE_OUT_H
#define BLOCKD_FILE_OUT_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sha256.h"

enum { FILE_OUT_BYTES = 1 << 20 };

typedef struct {
    int fd, error; /* errno of the first failure */
    size_t held;
    uint64_t bytes; /* of the body so far */
    sha256_state digest;
    uint8_t *buffer;
} file_out;

static inline void file_out_fail(file_out *f, int error)
{
    if (!f->error)
        f->error = error;
}

static inline void file_out_write(file_out *f, const uint8_t *p, size_t n)
{
    while (n && !f->error) {
        ssize_t done = write(f->fd, p, n);
        if (done < 0) {
            if (errno != EINTR)
                file_out_fail(f, errno);
            continue;
        }
        p += done;
        n -= (size_t)done;
    }
}

static inline void file_out_flush(file_out *f)
{
    sha256_add(&f->digest, f->buffer, f->held);
    file_out_write(f, f->buffer, f->held);
    f->held = 0;
}

/* `n` is at most FILE_OUT_BYTES. Returns where to put them. */
static inline uint8_t *file_out_room(file_out *f, size_t n)
{
    if (f->held + n > FILE_OUT_BYTES)
        file_out_flush(f);
    uint8_t *at = f->buffer + f->held;
    f->held += n;
    f->bytes += n;
    return at;
}

static inline void file_out_add(file_out *f, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n) {
        size_t take = n < FILE_OUT_BYTES ? n : FILE_OUT_BYTES;
        memcpy(file_out_room(f, take), p, take);
        p += take;
        n -= take;
    }
}

/* A regular file, mode 0640: fingerprints are nothing to hand about. Returns 0 and leaves errno in `error` when it can't. */
static inline int file_out_open(file_out *f, const char *path, size_t header_bytes)
{
    struct stat s;
    memset(f, 0, sizeof *f);
    f->buffer = malloc(FILE_OUT_BYTES);
    f->fd = f->buffer ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640) : -1;
    if (f->fd < 0)
        file_out_fail(f, f->buffer ? errno : ENOMEM);
    else if (fstat(f->fd, &s) != 0 || !S_ISREG(s.st_mode))
        file_out_fail(f, EINVAL);
    if (f->error) {
        if (f->fd >= 0)
            (void)close(f->fd);
        free(f->buffer);
        f->buffer = 0;
        return 0;
    }
    sha256_begin(&f->digest);
    memset(f->buffer, 0, header_bytes);
    file_out_write(f, f->buffer, header_bytes);
    return 1;
}

/* Write what is held and finish the digest. */
static inline void file_out_body_end(file_out *f, uint8_t digest[32])
{
    file_out_flush(f);
    sha256_end(&f->digest, digest);
}

/* Put the header in its place, make all of it durable, close. Returns 0, or the errno of the first failure; the file is then gone. */
static inline int file_out_close(file_out *f, const char *path, const void *header, size_t header_bytes)
{
    if (!f->error && pwrite(f->fd, header, header_bytes, 0) != (ssize_t)header_bytes)
        file_out_fail(f, errno ? errno : EIO);
    if (!f->error && fsync(f->fd) != 0)
        file_out_fail(f, errno);
    if (close(f->fd) != 0)
        file_out_fail(f, errno);
    if (f->error)
        (void)unlink(path);
    free(f->buffer);
    f->buffer = 0;
    return f->error;
}

#endif
