/* What the hits of a lookup mean: the verdicts that policy/verdict.py has decided beforehand, by set and by combination of sets.
 *
 * One hit: index[set * 2 + is the whole name] is its verdict. Several: nothing when each alone means nothing; else their combination must
 * have been taught (verdicts_learn), else the caller asks Python. A hit that is nothing but a URL entry's mark on its host is no hit.
 */
#ifndef BLOCKD_VERDICTS_H
#define BLOCKD_VERDICTS_H

#include "answer.h"
#include "table.h"

enum {
    VERDICTS_MAX = 1 << 16,
    VERDICTS_COMBINATIONS = 8192, /* places; filled to half */
    VERDICTS_PROBES_MAX = 16,
};

#define VERDICT_ASK 0xffffffffu /* only Python can say */

typedef struct {
    int32_t hit_cell; /* -1: none */
    uint32_t shadow_at, n_shadow; /* into cells */
    int16_t ede;
    uint8_t action;
} verdict;

typedef struct {
    uint64_t hi, lo;
    uint32_t verdict_plus_one; /* 0: empty */
} verdict_combination;

typedef struct {
    verdict *verdicts;
    uint32_t n, room;
    uint32_t *cells; /* shadow cells of all verdicts */
    uint32_t n_cells, cells_room;
    uint32_t *index; /* 2 * n_sets */
    uint32_t n_sets;
    verdict_combination *combinations; /* VERDICTS_COMBINATIONS */
    uint32_t n_combinations;
} verdicts;

/* Hits that speak about a name, each set * 2 + whole; shallowest first. */
typedef struct {
    uint32_t hits[TABLE_HITS_MAX];
    uint8_t n;
    uint8_t url_host; /* URL entries name it */
    uint32_t url_set; /* the set that says so */
} verdict_hits;

static inline fingerprint verdicts_key(const verdict_hits *h)
{
    return sip_hash((sip_key){ 0x626c6f636b64, 0x68697473 }, (const uint8_t *)h->hits, sizeof h->hits[0] * h->n);
}

static inline verdict_combination *verdicts_place(const verdicts *v, fingerprint key)
{
    for (unsigned i = 0; i < VERDICTS_PROBES_MAX; i++) {
        verdict_combination *c = &v->combinations[(key.lo + i) % VERDICTS_COMBINATIONS];
        if (!c->verdict_plus_one || (c->hi == key.hi && c->lo == key.lo))
            return c;
    }
    return 0;
}

/* Answer this combination without Python from now on. Returns 0 when there is no place left. */
static inline int verdicts_learn(verdicts *v, const verdict_hits *h, uint32_t number)
{
    fingerprint key = verdicts_key(h);
    verdict_combination *c = v->combinations ? verdicts_place(v, key) : 0;
    if (!c || (!c->verdict_plus_one && v->n_combinations >= VERDICTS_COMBINATIONS / 2))
        return 0;
    v->n_combinations += !c->verdict_plus_one;
    *c = (verdict_combination){ key.hi, key.lo, number + 1 };
    return 1;
}

static inline int verdict_is_nothing(const verdict *v) { return v->action == ACTION_NONE && v->hit_cell < 0 && !v->n_shadow; }

/* Leave out what says nothing about the name itself, and sets that the table does not have. */
static inline void verdicts_take(const verdicts *v, const table_hit *found, unsigned n, verdict_hits *h)
{
    h->n = h->url_host = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t set = (found[i].payload & TABLE_SET_MASK) - 1;
        if (set >= v->n_sets)
            continue;
        if (found[i].full && (found[i].payload & TABLE_URL_HOST)) {
            h->url_host = 1;
            h->url_set = set;
        }
        if (found[i].payload & (TABLE_SUBTREE | TABLE_EXACT))
            h->hits[h->n++] = set * 2 + found[i].full;
    }
}

enum { JUDGED_NOTHING, JUDGED_VERDICT, JUDGED_ASK };

static inline int verdicts_judge(const verdicts *v, const verdict_hits *h, const verdict **out)
{
    unsigned known = 0, nothing = 0;
    for (unsigned i = 0; i < h->n; i++) {
        uint32_t number = v->index[h->hits[i]];
        if (number >= v->n)
            continue;
        known++;
        nothing += verdict_is_nothing(&v->verdicts[number]);
        *out = &v->verdicts[number];
    }
    if (nothing == h->n)
        return JUDGED_NOTHING;
    if (h->n == 1 && known == 1)
        return JUDGED_VERDICT;
    fingerprint key = verdicts_key(h);
    const verdict_combination *c = v->combinations ? verdicts_place(v, key) : 0;
    if (!c || !c->verdict_plus_one || c->verdict_plus_one > v->n)
        return JUDGED_ASK;
    *out = &v->verdicts[c->verdict_plus_one - 1];
    return JUDGED_VERDICT;
}

#endif
