/* A whole file, mapped read-only. Files here are never changed in place: they are made under another name, or replaced. */
#ifndef BLOCKD_MAPPED_FILE_H
#define BLOCKD_MAPPED_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; an older kernel refuses it and pages come in as they are touched */
#endif

typedef struct {
    const uint8_t *data;
    size_t size;
} mapped_file;

/* Returns 0 or an errno. An empty file and one that is not regular are EINVAL. */
static inline int mapped_open(mapped_file *m, const char *path)
{
    struct stat s;
    *m = (mapped_file){ 0, 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    int error = fstat(fd, &s) != 0 ? errno : !S_ISREG(s.st_mode) || s.st_size <= 0 ? EINVAL : 0;
    if (!error) {
        void *at = mmap(0, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            error = errno;
        else
            *m = (mapped_file){ at, (size_t)s.st_size };
    }
    (void)close(fd);
    return error;
}

/* Bring every page in now, so that no query waits for one. */
static inline void mapped_populate(const mapped_file *m)
{
    if (m->data && madvise((void *)(uintptr_t)m->data, m->size, MADV_POPULATE_READ) != 0)
        (void)madvise((void *)(uintptr_t)m->data, m->size, MADV_WILLNEED);
}

static inline void mapped_close(mapped_file *m)
{
    if (m->data)
        (void)munmap((void *)(uintptr_t)m->data, m->size);
    *m = (mapped_file){ 0, 0 };
}

#endif
