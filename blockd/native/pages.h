/* Large arrays straight from the kernel: grown without copying, in huge pages where there are any. */
#ifndef BLOCKD_PAGES_H
#define BLOCKD_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

typedef struct {
    uint8_t *at;
    size_t bytes; /* mapped */
} pages;

static inline size_t pages_round(size_t bytes) { return (bytes + 0x1fffff) & ~(size_t)0x1fffff; }

/* Make room for `bytes`. Returns 0 when there is no memory; what was there is kept then too. */
static inline int pages_reserve(pages *p, size_t bytes)
{
    if (bytes <= p->bytes)
        return 1;
    size_t want = pages_round(bytes > p->bytes + p->bytes / 2 ? bytes : p->bytes + p->bytes / 2);
    void *at = p->at ? mremap(p->at, p->bytes, want, MREMAP_MAYMOVE)
                     : mmap(0, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return 0;
    (void)madvise(at, want, MADV_HUGEPAGE);
    p->at = at;
    p->bytes = want;
    return 1;
}

static inline void pages_free(pages *p)
{
    if (p->at)
        (void)munmap(p->at, p->bytes);
    *p = (pages){ 0, 0 };
}

#endif
