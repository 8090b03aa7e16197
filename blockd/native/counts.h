/* Count into a slab: an array of uint64 cells that control reads while they grow. counts/layout.py says which cell is what; the numbers
 * here are that file's, and a test compares them.
 *
 * A process has one slab and several threads that count. Python's calls add to it at once, atomically. A native thread counts into cells of
 * its own, notes which it touched, and adds those to the slab at the end of each batch (counts_flush): the slab's cache lines move between
 * cores once a batch, not once a query.
 */
#ifndef BLOCKD_COUNTS_H
#define BLOCKD_COUNTS_H

#include <stddef.h>
#include <stdint.h>

enum {
    COUNTS_TYPES = 19, COUNTS_RCODES = 8, COUNTS_BOUNDS = 15, COUNTS_SOURCES = 4, COUNTS_FAMILIES = 2, COUNTS_TRANSPORTS = 5,
    COUNTS_LIMITS = 16,
};

enum { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_DOT, TRANSPORT_DOH, TRANSPORT_DOQ };

enum { SOURCE_POLICY, SOURCE_CACHE, SOURCE_UPSTREAM, SOURCE_ERROR };

enum { LIMIT_CACHE = 0, LIMIT_PENDING = 1, LIMIT_ANSWER_RECORDS = 6, LIMIT_UDP_RECEIVE = 7, LIMIT_FAILURE_CACHE = 9, LIMIT_HITS = 10,
       LIMIT_UPSTREAM_SOCKETS = 5, LIMIT_RATE = 12, LIMIT_RING = 13, LIMIT_FORWARD_WAITERS = 14 };

enum { COUNTS_TOUCHED_MAX = 1024 }; /* different cells in a batch; more are added to the slab at once */

/* What one thread has counted since its last flush. */
typedef struct {
    uint64_t *cells; /* as many as the slab has */
    uint32_t touched[COUNTS_TOUCHED_MAX];
    uint32_t n;
} counts_own;

typedef struct {
    uint64_t *cells; /* the slab's, `size` of them */
    uint32_t requests, responses, durations, limits, policy, size;
    counts_own *own; /* 0: add to the slab at once */
} counts;

static inline void counts_add(const counts *c, uint32_t cell, uint64_t n)
{
    if (cell >= c->size || !n)
        return;
    if (c->own && (c->own->cells[cell] || c->own->n < COUNTS_TOUCHED_MAX)) {
        if (!c->own->cells[cell])
            c->own->touched[c->own->n++] = cell;
        c->own->cells[cell] += n;
        return;
    }
    __atomic_fetch_add(&c->cells[cell], n, __ATOMIC_RELAXED);
}

static inline void counts_flush(const counts *c)
{
    for (uint32_t i = 0; i < c->own->n; i++) {
        uint32_t cell = c->own->touched[i];
        __atomic_fetch_add(&c->cells[cell], c->own->cells[cell], __ATOMIC_RELAXED);
        c->own->cells[cell] = 0;
    }
    c->own->n = 0;
}

static inline unsigned counts_type(uint16_t type)
{
    switch (type) {
    case 1: return 0;    /* A */
    case 2: return 1;    /* NS */
    case 5: return 2;    /* CNAME */
    case 6: return 3;    /* SOA */
    case 12: return 4;   /* PTR */
    case 15: return 5;   /* MX */
    case 16: return 6;   /* TXT */
    case 28: return 7;   /* AAAA */
    case 33: return 8;   /* SRV */
    case 35: return 9;   /* NAPTR */
    case 43: return 10;  /* DS */
    case 46: return 11;  /* RRSIG */
    case 48: return 12;  /* DNSKEY */
    case 52: return 13;  /* TLSA */
    case 64: return 14;  /* SVCB */
    case 65: return 15;  /* HTTPS */
    case 255: return 16; /* ANY */
    case 257: return 17; /* CAA */
    default: return 18;
    }
}

static inline unsigned counts_rcode(unsigned rcode) { return rcode <= 5 ? rcode : rcode == 16 ? 6 : 7; }

/* Upper bounds of the duration histogram, nanoseconds. */
static const uint64_t COUNTS_BOUNDS_NS[COUNTS_BOUNDS] = {
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 25000000, 50000000, 100000000, 250000000, 500000000, 1000000000, 2500000000, 5000000000,
};

/* `family`: 4 or 6. */
static inline void counts_request(const counts *c, unsigned transport, unsigned family, uint16_t type)
{
    counts_add(c, c->requests + (transport * COUNTS_FAMILIES + (family == 6)) * COUNTS_TYPES + counts_type(type), 1);
}

static inline void counts_response(const counts *c, unsigned rcode, unsigned source)
{
    counts_add(c, c->responses + counts_rcode(rcode) * COUNTS_SOURCES + source, 1);
}

/* `n` answers of one source that each took `ns`. */
static inline void counts_duration(const counts *c, unsigned source, uint64_t ns, uint64_t n)
{
    uint32_t at = c->durations + source * (COUNTS_BOUNDS + 2);
    unsigned i = 0;
    while (i < COUNTS_BOUNDS && ns > COUNTS_BOUNDS_NS[i])
        i++;
    counts_add(c, at + i, n);
    counts_add(c, at + COUNTS_BOUNDS + 1, ns * n);
}

static inline void counts_limit(const counts *c, unsigned limit, uint64_t n)
{
    if (n)
        counts_add(c, c->limits + limit, n);
}

#endif
