/* Run a function over a few items at once. A thread that can't be started costs time, never the result. */
#ifndef BLOCKD_THREADS_H
#define BLOCKD_THREADS_H

#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

enum { THREADS_MAX = 8 };

typedef void *(*threads_work)(void *item);

/* One thread a processor, at most THREADS_MAX. */
static inline unsigned threads_default(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

/* Call `work` for each of `n` (at most THREADS_MAX) items of `size` octets; returns when all are done. */
static inline void threads_run(threads_work work, void *items, size_t size, unsigned n)
{
    pthread_t thread[THREADS_MAX];
    unsigned started = 1;
    while (started < n && pthread_create(&thread[started], 0, work, (char *)items + started * size) == 0)
        started++;
    (void)work(items);
    for (unsigned i = started; i < n; i++)
        (void)work((char *)items + i * size);
    for (unsigned i = 1; i < started; i++)
        (void)pthread_join(thread[i], 0);
}

#endif
