/* Answer blocked names before the kernel's network stack sees them.
 *
 * One rule: what is not plain passes (XDP_PASS), so that user space decides and enforces. Plain is: a UDP query to one of our service
 * addresses, from a client that may ask, one question of class IN, no or one ordinary OPT, exactly one entry of the table that speaks about
 * the name (or several whose combination user space has decided about), and a verdict that acts. Its answer is, octet by octet, what
 * Core.handle would have written: a test sends thousands of packets through both.
 *
 * Nothing is counted for what passes, since user space counts it; where the service is another program's (XDP_FOREIGN), shadow hits are.
 */
#include "xdp_answer.h"

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    MAP_NUMBER(max_entries, 1);
    MAP_TYPE(key, uint32_t);
    MAP_TYPE(value, xdp_work);
} works XDP_SECTION(".maps");

struct xdp_policy_map {
    MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
    MAP_NUMBER(max_entries, 1);
    MAP_NUMBER(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
    MAP_TYPE(key, uint32_t);
    MAP_NUMBER(value_size, XDP_UNIT_BYTES);
};

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    MAP_NUMBER(max_entries, 1);
    MAP_TYPE(key, uint32_t);
    MAP_VALUES(values, struct xdp_policy_map);
} policies XDP_SECTION(".maps");

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
    MAP_NUMBER(max_entries, XDP_SERVICES_MAX);
    MAP_TYPE(key, xdp_service);
    MAP_TYPE(value, uint32_t);
} services XDP_SECTION(".maps");

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_LPM_TRIE);
    MAP_NUMBER(max_entries, XDP_PREFIXES_MAX);
    MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
    MAP_NUMBER(key_size, 8);
    MAP_TYPE(value, uint32_t);
} allowed4 XDP_SECTION(".maps");

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_LPM_TRIE);
    MAP_NUMBER(max_entries, XDP_PREFIXES_MAX);
    MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
    MAP_NUMBER(key_size, 20);
    MAP_TYPE(value, uint32_t);
} allowed6 XDP_SECTION(".maps");

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_LRU_HASH);
    MAP_NUMBER(max_entries, XDP_SOURCES_MAX);
    MAP_TYPE(key, uint64_t);
    MAP_TYPE(value, xdp_source);
} sources XDP_SECTION(".maps");

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
    MAP_NUMBER(max_entries, XDP_COMBINATIONS_MAX);
    MAP_TYPE(key, xdp_combination);
    MAP_TYPE(value, xdp_verdict);
} combinations XDP_SECTION(".maps");

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_QUEUE);
    MAP_NUMBER(max_entries, XDP_ASKED_MAX);
    MAP_TYPE(value, xdp_combination);
} asked XDP_SECTION(".maps");

/* `cells` of them for each CPU, one CPU's behind the other's; only that CPU writes them. User space has them mapped. */
struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
    MAP_NUMBER(max_entries, 1);
    MAP_NUMBER(map_flags, BPF_F_MMAPABLE);
    MAP_TYPE(key, uint32_t);
    MAP_TYPE(value, uint64_t);
} cells XDP_SECTION(".maps");

const volatile xdp_settings settings XDP_SECTION(".rodata.settings") = { 0 };

XDP_INLINE void xdp_count(uint32_t cell)
{
    uint32_t at = bpf_cpu() * settings.cells + cell;
    uint64_t *n = bpf_map_lookup(&cells, &at);
    if (n && cell < settings.cells)
        *n += 1;
}

XDP_INLINE void xdp_count_some(uint32_t cell_plus_1)
{
    if (cell_plus_1)
        xdp_count(cell_plus_1 - 1);
}

XDP_INLINE int xdp_may_ask(const xdp_packet *p)
{
    if (p->service.family == 6)
        return bpf_map_lookup(&allowed6, &p->source) != 0;
    return bpf_map_lookup(&allowed4, &p->source) != 0;
}

/* A token bucket of one second for each client network, IPv4 /24 and IPv6 /56, told in the time that what was taken is worth. */
XDP_INLINE int xdp_is_too_fast(const xdp_packet *p)
{
    if (!settings.rate)
        return 0;
    uint64_t key = 0, now = bpf_coarse_ns(), price = 1000000000ULL / settings.rate;
    __builtin_memcpy(&key, p->source.address, 7);
    if (p->service.family == 4) {
        key = 0xff;                                    /* no IPv6 client's network begins so: multicast is not answered */
        __builtin_memcpy((uint8_t *)&key + 1, p->source.address, 3);
    }
    xdp_source *known = bpf_map_lookup(&sources, &key);
    if (!known) {
        xdp_source fresh = { now, price };
        bpf_map_update(&sources, &key, &fresh, BPF_ANY);
        return 0;
    }
    uint64_t passed = now - known->seen_ns, owed = known->owed_ns;
    owed = passed > owed ? 0 : owed - passed;
    known->seen_ns = now;
    known->owed_ns = owed + price > 1000000000ULL ? owed : owed + price;
    return owed + price > 1000000000ULL;
}

/* What several entries together mean; 0: user space has not said yet, and is asked. */
XDP_INLINE const xdp_verdict *xdp_combined(const xdp_policy *policy, const xdp_search *a)
{
    xdp_combination c = { .epoch = policy->epoch, .n = a->n_hits };
    for (unsigned i = 0; i < XDP_HITS_MAX; i++)
        c.hits[i] = i < a->n_hits ? a->hits[i] : 0;
    const xdp_verdict *v = bpf_map_lookup(&combinations, &c);
    if (!v)
        bpf_map_push(&asked, &c, 0);
    return v;
}

XDP_INLINE const xdp_verdict *xdp_single(void *map, const xdp_policy *policy, uint32_t hit)
{
    const uint8_t *unit = xdp_unit(map, policy->verdicts_at + (hit >> 2));
    if (!unit)
        return 0;
    XDP_KEEP(unit);
    return (const xdp_verdict *)(const void *)(unit + (hit & 3) * sizeof(xdp_verdict));
}

XDP_INLINE void xdp_count_shadow(const xdp_verdict *v)
{
    xdp_count_some(v->shadow[0]);
    xdp_count_some(v->shadow[1]);
}

/* The verdict about the query's name, or 0 for what user space must see. */
XDP_INLINE const xdp_verdict *xdp_judge(void *map, const xdp_policy *policy, xdp_work *work, uint32_t labels)
{
    const xdp_depths *d = xdp_unit(map, 1);
    if (!d)
        return 0;
    xdp_search *a = &work->a;
    a->s = sip_begin(policy->key);
    a->length = 0;
    a->n_home = policy->n_home;
    a->n_buckets = policy->n_buckets;
    a->probe_max = policy->probe_max;
    a->buckets_at = policy->buckets_at;
    a->n_sets = policy->n_sets;
    a->labels = labels;
    a->wants[0] = d->subtree[0];
    a->wants[1] = d->subtree[1];
    a->wants_full = table_depth_set(d->subtree, labels) | table_depth_set(d->exact, labels) | table_depth_set(d->url_host, labels);
    a->n_hits = a->url_host = a->unsure = 0;
    xdp_maps m = { map, work };
    bpf_repeat(labels, xdp_suffix, &m, 0);
    if (a->unsure || !a->n_hits)
        return 0;
    return a->n_hits == 1 ? xdp_single(map, policy, a->hits[0]) : xdp_combined(policy, a);
}

XDP_INLINE int xdp_answer(struct xdp_md *ctx, void *map, const xdp_policy *policy, xdp_packet *p, xdp_work *work, dns_question *q, const xdp_verdict *v)
{
    xdp_verdict verdict = *v;
    unsigned rcode = RCODE_NXDOMAIN;
    if (!xdp_is_sound(ctx, &settings, p) || !xdp_may_ask(p))
        return XDP_PASS;
    if (xdp_is_too_fast(p)) {
        xdp_count_some(settings.rate_limit_cell);
        return XDP_PASS;
    }
    if (verdict.action != ACTION_DROP && !xdp_write(ctx, map, policy, p, work, q, &verdict, &rcode))
        return XDP_PASS;
    xdp_count(settings.requests + (TRANSPORT_UDP * COUNTS_FAMILIES + (p->service.family == 6)) * COUNTS_TYPES + counts_type(q->type));
    xdp_count_some(verdict.hit);
    xdp_count_shadow(&verdict);
    if (verdict.action == ACTION_DROP)
        return XDP_DROP;
    xdp_count(settings.responses + counts_rcode(rcode) * COUNTS_SOURCES + SOURCE_POLICY);
    xdp_count(settings.durations + SOURCE_POLICY * (COUNTS_BOUNDS + 2)); /* the first bucket: no clock is read */
    return XDP_TX;
}

XDP_SECTION("xdp") int blockd_xdp(struct xdp_md *ctx)
{
    uint32_t zero = 0;
    xdp_packet p;
    if (!xdp_parse(ctx, &settings, &p) || p.dns_bytes < HEADER_BYTES + 7 || p.dns_bytes > XDP_QUERY_MAX)
        return XDP_PASS;
    const uint32_t *service = bpf_map_lookup(&services, &p.service);
    void *map = bpf_map_lookup(&policies, &zero);
    if (!service || !map)
        return XDP_PASS;
    xdp_work *work = bpf_map_lookup(&works, &zero);
    const xdp_policy *policy = xdp_unit(map, 0);
    uint64_t size = p.dns_bytes;
    XDP_KEEP(size);
    if (!work || !policy || size == 0 || size > XDP_QUERY_MAX || bpf_load(ctx, p.dns, work->message, (uint32_t)size) != 0)
        return XDP_PASS;
    uint32_t labels = xdp_question(work, (uint32_t)size, &work->q);
    const xdp_verdict *v = labels ? xdp_judge(map, policy, work, labels) : 0;
    if (!v || v->unsure)
        return XDP_PASS;
    if (v->action == ACTION_NONE) {
        if (*service & XDP_FOREIGN)
            xdp_count_shadow(v);
        return XDP_PASS;
    }
    return xdp_answer(ctx, map, policy, &p, work, &work->q, v);
}

const char blockd_license[] XDP_SECTION("license") = "Apache-2.0";
