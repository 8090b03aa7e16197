/* What user space lays down for the XDP program, and how: kernel/policy.py writes these forms, and a test compares the two.
 *
 * A *policy* is one map of units of 64 octets, filled through mmap before the program can see it, never changed afterwards, put
 * in place by one store into the array of maps `policies`:
 *
 *   unit 0       xdp_policy
 *   unit 1       which depths the table has entries at
 *   units 2, 3   stop-page addresses, IPv4 and IPv6
 *   buckets_at   the table's buckets, as they are in its file (table.h)
 *   verdicts_at  xdp_verdict, four a unit, at [set * 2 + is the whole name]
 *
 * What belongs to an interface and a configuration (services, who may ask, cells, the limit) is fixed when the program is
 * loaded: a new configuration is a new program, and the link changes from one to the other in one step.
 */
#ifndef BLOCKD_XDP_POLICY_H
#define BLOCKD_XDP_POLICY_H

#include "table.h"

enum {
    XDP_UNIT_BYTES = 64,
    XDP_ADDRESSES_MAX = 4,    /* stop-page addresses of one family; with more the family is left to user space */
    XDP_PROBES_MAX = 32,      /* buckets of one look-up; a table that needs more is left to user space */
    XDP_HITS_MAX = 6,         /* entries that speak about one name; more are left to user space */
    XDP_PORTS_MAX = 4,        /* ports of services */
    XDP_SERVICES_MAX = 1024,  /* addresses, times ports, times VLANs */
    XDP_PREFIXES_MAX = 1024,  /* allow_from, each family */
    XDP_SOURCES_MAX = 65536,  /* client networks whose rate is known */
    XDP_COMBINATIONS_MAX = 4096,
    XDP_ASKED_MAX = 256,      /* combinations that wait for user space */
};

typedef struct {
    sip_key key;
    uint64_t n_home;
    uint32_t n_buckets, probe_max, buckets_at, verdicts_at, n_sets, ttl_s, epoch;
    uint16_t udp_max;
    uint8_t n4, n6;
    uint64_t zero;
} xdp_policy;

typedef struct { uint64_t subtree[2], exact[2], url_host[2], zero[2]; } xdp_depths;

/* Cells are counted from 1 here; 0: none. */
typedef struct {
    uint32_t hit, shadow[2];
    int16_t ede;
    uint8_t action, unsure; /* unsure: more is to be counted than this can say */
} xdp_verdict;

/* Several entries that speak about one name. `epoch`: of the policy whose sets these are. */
typedef struct {
    uint32_t epoch, n;
    uint32_t hits[XDP_HITS_MAX];
} xdp_combination;

/* A place where blockd answers. VLAN identifiers, outer first; 0: no tag. IPv4 addresses stand in address[0]. */
typedef struct {
    uint32_t address[4];
    uint16_t port, vlan[2]; /* port in network order */
    uint8_t family, zero;
} xdp_service;

enum { XDP_FOREIGN = 1 }; /* another program answers there: what passes is not counted by anybody */

typedef struct { uint32_t bits; uint8_t address[16]; } xdp_prefix;

typedef struct { uint64_t seen_ns; uint64_t owed_ns; } xdp_source;

/* Fixed at load time. */
typedef struct {
    uint32_t requests, responses, durations, rate_limit_cell, cells; /* rate_limit_cell counted from 1 */
    uint32_t rate;                                                   /* answers a second for one client network; 0: no limit */
    uint16_t ports[XDP_PORTS_MAX];                                   /* in network order; 0: none */
    uint8_t mac[6], zero[2];
} xdp_settings;

_Static_assert(sizeof(xdp_policy) == XDP_UNIT_BYTES, "a policy is a unit");
_Static_assert(sizeof(xdp_depths) == XDP_UNIT_BYTES, "depths are a unit");
_Static_assert(sizeof(table_bucket) == XDP_UNIT_BYTES, "a bucket is a unit");
_Static_assert(sizeof(xdp_verdict) == 16, "four verdicts a unit");
_Static_assert(sizeof(xdp_service) == 24, "a service has no holes");

#endif
