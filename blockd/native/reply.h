/* An upstream's answer: match it to the query, check all of it, write it anew without what was meant for this hop.
 *
 * The copy is the whole check. Every name is read label by label and written again; a pointer is written only to a name that was
 * written before it, so no loop, no forward pointer and no pointer into something that was left out can reach a client. The
 * upstream's own compression is kept: `label_at` maps where a label stood to where it stands now. Names in RDATA are rewritten for the
 * types that may carry pointers (RFC 1035, RFC 3597 §4); those that may not be compressed are written out. Other RDATA is copied.
 *
 * Left out: OPT (hop by hop, RFC 6891 §6.1.1) and TSIG. TTLs: top bit set reads as 0 (RFC 2181 §8), at most a day; the SOA of a negative
 * answer gets what the answer may be kept for, the least of its TTL, its MINIMUM and three hours (RFC 2308 §5).
 *
 * Work: one step a record, label and pointer, REPLY_STEPS_MAX in a message. Octets behind the last record: malformed.
 */
#ifndef BLOCKD_REPLY_H
#define BLOCKD_REPLY_H

#include "answer.h"
#include "record.h"

enum {
    REPLY_STEPS_MAX = 16384,
    REPLY_TARGETS_MAX = 64,         /* CNAME, DNAME, SVCB and HTTPS records in an answer section; see core.h */
    REPLY_TTL_MAX_S = 86400,
    REPLY_NEGATIVE_TTL_MAX_S = 10800,
    REPLY_POINTER_MAX = 0x4000,     /* a pointer has 14 bits */
};

enum { REPLY_OK, REPLY_MISMATCH, REPLY_MALFORMED, REPLY_BUDGET };

typedef struct {
    uint32_t size;          /* octets written, question included */
    uint32_t additional_at; /* where the additional section starts */
    uint16_t counts[3];     /* records written: answer, authority, additional */
    uint16_t rcode;         /* with the upper bits from its OPT */
    uint32_t ttl_s;         /* how long it may be cached; 0: not at all */
    uint8_t truncated, failed;
    int16_t ede;            /* what blockd says of it: EDE_NONE or EDE_UPSTREAM_BLOCKED */
} reply;

/* Reused from message to message; 48 KiB. */
typedef struct {
    uint16_t label_at[REPLY_POINTER_MAX];       /* where the label at that offset of the input was written; 0: nowhere */
    uint8_t label_length[REPLY_POINTER_MAX];    /* octets of the name from there to its end */
} reply_map;

typedef struct {
    const uint8_t *in;
    size_t size, at;
    writer w;
    reply_map *map;
    unsigned steps;
} reply_walk;

static inline int reply_step(reply_walk *r)
{
    if (!r->steps)
        return 0;
    r->steps--;
    return 1;
}

typedef struct {
    uint16_t in_at[NAME_LABELS_MAX], out_at[NAME_LABELS_MAX];
    uint8_t name_at[NAME_LABELS_MAX];
    unsigned n, length; /* labels to remember; octets so far */
} reply_labels;

static inline void reply_remember(reply_walk *r, const reply_labels *l, unsigned total)
{
    for (unsigned i = 0; i < l->n; i++) {
        r->map->label_at[l->in_at[i]] = l->out_at[i];
        r->map->label_length[l->in_at[i]] = (uint8_t)(total - l->name_at[i]);
    }
}

static inline int reply_label(reply_walk *r, reply_labels *l, size_t p, unsigned n)
{
    if (l->length + 1 + n > NAME_WIRE_MAX - 1 || r->size - p < 1 + n)
        return 0;
    size_t out_at = writer_at(&r->w);
    if (p < REPLY_POINTER_MAX && out_at < REPLY_POINTER_MAX && !r->map->label_at[p] && l->n < NAME_LABELS_MAX) {
        l->in_at[l->n] = (uint16_t)p;
        l->out_at[l->n] = (uint16_t)out_at;
        l->name_at[l->n++] = (uint8_t)l->length;
    }
    put_bytes(&r->w, r->in + p, 1 + n);
    l->length += 1 + n;
    return 1;
}

/* Copy the name at r->at and step behind it. `compress`: a pointer may be written. Returns 0 when it is malformed. */
static inline int reply_name(reply_walk *r, int compress)
{
    size_t p = r->at, run = p, behind = 0;
    reply_labels l;
    l.n = l.length = 0;
    for (;;) {
        if (p >= r->size || !reply_step(r))
            return 0;
        unsigned n = r->in[p];
        if (n < 0xc0) {
            if (n > NAME_LABEL_MAX)
                return 0;
            if (n == 0)
                break;
            if (!reply_label(r, &l, p, n))
                return 0;
            p += 1 + n;
            continue;
        }
        if (r->size - p < 2)
            return 0;
        size_t to = (n & 0x3f) << 8 | r->in[p + 1];
        if (to >= run || to < HEADER_BYTES)
            return 0;
        if (!behind)
            behind = p + 2;
        if (compress && r->map->label_at[to]) {
            unsigned total = l.length + r->map->label_length[to];
            if (total > NAME_WIRE_MAX)
                return 0;
            put_u16(&r->w, 0xc000 | r->map->label_at[to]);
            reply_remember(r, &l, total);
            r->at = behind;
            return 1;
        }
        p = run = to;
    }
    put_u8(&r->w, 0);
    reply_remember(r, &l, l.length + 1);
    r->at = behind ? behind : p + 1;
    return 1;
}

static inline int reply_octets(reply_walk *r, size_t n)
{
    if (r->size - r->at < n)
        return 0;
    put_bytes(&r->w, r->in + r->at, n);
    r->at += n;
    return 1;
}

/* How RDATA is made: a digit pair is so many octets, `n` a name that may be compressed, `e` one that is written out, `s` a character
 * string, `*` what is left, copied. Some types have their form in class IN alone. */
static inline const char *reply_form(uint16_t type, uint16_t rclass)
{
    switch (type) {
    case 2: case 3: case 4: case 5: case 7: case 8: case 9: case 12: return "n"; /* NS MD MF CNAME MB MG MR PTR */
    case 6: return "nn20";            /* SOA */
    case 14: return "nn";             /* MINFO */
    case 15: return "02n";            /* MX */
    case 17: return "ee";             /* RP */
    case 18: case 21: return "02e";   /* AFSDB RT */
    case 24: case 46: return "18e*";  /* SIG RRSIG */
    case 30: case 47: return "e*";    /* NXT NSEC */
    case 39: return "e";              /* DNAME */
    default: break;
    }
    switch (rclass == CLASS_IN ? type : 0) {
    case 1: return "04";              /* A */
    case 26: return "02ee";           /* PX */
    case 28: return "16";             /* AAAA */
    case 33: return "06e";            /* SRV */
    case 35: return "04ssse";         /* NAPTR */
    case 36: return "02e";            /* KX */
    default: return "*";
    }
}

static inline int reply_rdata(reply_walk *r, const char *form, size_t end)
{
    for (; *form; form++) {
        if (*form == 'n' || *form == 'e') {
            if (!reply_name(r, *form == 'n'))
                return 0;
        } else if (*form == 's') {
            if (r->at >= end || !reply_octets(r, 1u + r->in[r->at]))
                return 0;
        } else if (*form == '*') {
            if (r->at > end || !reply_octets(r, end - r->at))
                return 0;
        } else {
            if (!reply_octets(r, (size_t)(form[0] - '0') * 10 + (size_t)(form[1] - '0')))
                return 0;
            form++;
        }
        if (r->at > end)
            return 0;
    }
    return r->at == end;
}

typedef struct {
    uint32_t least_ttl_s;
    size_t soa_ttl_at; /* in the output; 0: no SOA in authority */
    uint32_t negative_ttl_s;
    unsigned opt;
    int found; /* a record of the type asked for is in the answer section */
} reply_facts;

static inline void reply_opt(const uint8_t *p, size_t n, uint32_t ttl, reply *out)
{
    cursor c = { p, p + n };
    uint16_t code, length;
    out->rcode |= (uint16_t)(ttl >> 24 << 4);
    while (cursor_u16(&c, &code) && cursor_u16(&c, &length)) {
        cursor data = c;
        uint16_t info;
        if (!cursor_skip(&c, length))
            return;
        if (code == OPTION_EDE && length >= 2 && cursor_u16(&data, &info) && info == EDE_BLOCKED)
            out->ede = EDE_UPSTREAM_BLOCKED;
    }
}

/* OPT and TSIG speak to this hop: read, not copied. Returns 0 when malformed, 1 when passed over, 2 when it is neither. */
static inline int reply_hop_record(reply_walk *r, unsigned section, reply_facts *f, reply *out)
{
    cursor c = { r->in + r->at, r->in + r->size };
    uint16_t type, rclass, n;
    uint32_t ttl;
    if (!cursor_skip_name(&c) || !cursor_u16(&c, &type))
        return 0;
    if (type != TYPE_OPT && type != TYPE_TSIG)
        return 2;
    const uint8_t *rdata = c.p + 8;
    if (section != 2 || !cursor_u16(&c, &rclass) || !cursor_u32(&c, &ttl) || !cursor_u16(&c, &n) || !cursor_skip(&c, n))
        return 0;
    if (type == TYPE_OPT) {
        if (f->opt++ || r->in[r->at])
            return 0;
        reply_opt(rdata, n, ttl, out);
    }
    r->at = (size_t)(c.p - r->in);
    return 1;
}

static inline void reply_soa(reply_facts *f, size_t ttl_at, uint32_t ttl, uint32_t minimum)
{
    uint32_t keep = ttl < minimum ? ttl : minimum;
    f->soa_ttl_at = ttl_at;
    f->negative_ttl_s = keep < REPLY_NEGATIVE_TTL_MAX_S ? keep : REPLY_NEGATIVE_TTL_MAX_S;
}

static inline int reply_record(reply_walk *r, const dns_question *asked, unsigned section, reply_facts *f, reply *out)
{
    int hop = reply_step(r) ? reply_hop_record(r, section, f, out) : 0;
    if (hop != 2)
        return hop;
    if (!reply_name(r, 1) || r->size - r->at < 10)
        return 0;
    const uint8_t *fixed = r->in + r->at;
    uint16_t type = load_u16(fixed), n = load_u16(fixed + 8);
    uint32_t ttl = load_u32(fixed + 4);
    ttl = ttl >> 31 ? 0 : ttl > REPLY_TTL_MAX_S ? REPLY_TTL_MAX_S : ttl;
    size_t fixed_at = writer_at(&r->w);
    r->at += 10;
    size_t end = r->at + n;
    put_bytes(&r->w, fixed, 4);
    put_u32(&r->w, ttl);
    put_u16(&r->w, 0);
    if (end > r->size || !reply_rdata(r, reply_form(type, load_u16(fixed + 2)), end) || r->w.full)
        return 0;
    store_u16(r->w.start + fixed_at + 8, (uint16_t)(writer_at(&r->w) - fixed_at - 10));
    if (section == 0 && (type == asked->type || asked->type == TYPE_ANY))
        f->found = 1;
    if (section == 1 && type == TYPE_SOA && !f->soa_ttl_at)
        reply_soa(f, fixed_at + 4, ttl, load_u32(r->in + end - 4));
    if (ttl < f->least_ttl_s)
        f->least_ttl_s = ttl;
    out->counts[section]++;
    return 1;
}

/* The question of the answer is the one that was asked (RFC 5452 §9.1; case aside, RFC 4343). Its labels may be pointed to. */
static inline int reply_question(reply_walk *r, const dns_question *asked)
{
    dns_name name;
    int n = name_walk(r->in + HEADER_BYTES, r->in + r->size, &name);
    if (n < 0 || name.length != asked->name.length || memcmp(name.wire, asked->name.wire, name.length) != 0)
        return 0;
    r->at = HEADER_BYTES + (size_t)n;
    if (r->size - r->at < 4 || load_u16(r->in + r->at) != asked->type || load_u16(r->in + r->at + 2) != asked->qclass)
        return 0;
    r->at += 4;
    for (unsigned i = 0; i < name.labels; i++) {
        r->map->label_at[HEADER_BYTES + name.at[i]] = (uint16_t)(HEADER_BYTES + name.at[i]);
        r->map->label_length[HEADER_BYTES + name.at[i]] = (uint8_t)(name.length - name.at[i]);
    }
    return 1;
}

static inline int reply_is_failure(unsigned rcode)
{
    return rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN && (rcode <= RCODE_REFUSED || rcode == RCODE_NOTAUTH || rcode >= RCODE_BADVERS);
}

/* The rules of caching: NOERROR and NXDOMAIN alone; a negative answer by its SOA, and not without one (RFC 2308 §5). */
static inline void reply_keep(reply *out, const reply_facts *f, uint8_t *message)
{
    int negative = out->rcode == RCODE_NXDOMAIN || !f->found;
    out->failed = (uint8_t)reply_is_failure(out->rcode);
    out->ttl_s = f->least_ttl_s;
    if (negative && f->soa_ttl_at) {
        store_u32(message + f->soa_ttl_at, f->negative_ttl_s);
        if (f->negative_ttl_s < out->ttl_s)
            out->ttl_s = f->negative_ttl_s;
    }
    if ((out->rcode != RCODE_NOERROR && out->rcode != RCODE_NXDOMAIN) || (negative && !f->soa_ttl_at))
        out->ttl_s = 0;
}

/* Our ID, an answer, to a query (RFC 5452 §9.1). */
static inline int reply_header(const uint8_t *in, size_t n, uint16_t id, reply *out)
{
    *out = (reply){ .ede = EDE_NONE };
    if (n < HEADER_BYTES || load_u16(in) != id || !(in[2] & (FLAG_QR >> 8)) || (in[2] & (FLAG_OPCODE >> 8)))
        return 0;
    out->rcode = in[3] & 15;
    out->truncated = (in[2] & (FLAG_TC >> 8)) != 0;
    return 1;
}

/* Write the sections of `in` anew behind the question in `out`, which holds header and question of asked->end octets. `out` has room
 * for ANSWER_MAX octets. A truncated answer is only matched: nothing of it is used. */
static inline int reply_copy(const uint8_t *in, size_t n, uint16_t id, const dns_question *asked, reply_map *map, uint8_t *out_bytes, reply *out)
{
    reply_walk r = { .in = in, .size = n, .map = map, .steps = REPLY_STEPS_MAX };
    reply_facts f = { .least_ttl_s = REPLY_TTL_MAX_S };
    if (!reply_header(in, n, id, out))
        return REPLY_MISMATCH;
    r.w = (writer){ out_bytes, out_bytes + asked->end, out_bytes + ANSWER_MAX, 0 };
    out->size = out->additional_at = asked->end;
    memset(map->label_at, 0, sizeof map->label_at[0] * (n < REPLY_POINTER_MAX ? n : REPLY_POINTER_MAX));
    /* A server that can't read the query gives the header alone: a failure, believed like any other. */
    if (n == HEADER_BYTES && memcmp(in + 4, "\0\0\0\0\0\0\0\0", 8) == 0 && reply_is_failure(out->rcode)) {
        out->failed = 1;
        return REPLY_OK;
    }
    if (load_u16(in + 4) != 1 || !reply_question(&r, asked))
        return REPLY_MISMATCH;
    if (out->truncated)
        return REPLY_OK;
    for (unsigned section = 0; section < 3; section++) {
        if (section == 2)
            out->additional_at = (uint32_t)writer_at(&r.w);
        for (unsigned left = load_u16(in + 6 + 2 * section); left; left--)
            if (!reply_record(&r, asked, section, &f, out))
                return r.steps ? REPLY_MALFORMED : REPLY_BUDGET;
    }
    if (r.at != n)
        return REPLY_MALFORMED;
    out->size = (uint32_t)writer_at(&r.w);
    reply_keep(out, &f, out_bytes);
    return REPLY_OK;
}

#endif
