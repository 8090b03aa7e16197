/* Rows of the four line formats (domains, hosts, wildcard, adblock), as far as they are plain.
 *
 * A row is taken here only when nothing about it needs judging: labels of letters, digits, hyphens and underscores, of the
 * right lengths, with or without the final dot. All else (beyond ASCII, escapes, a last label that starts with a digit and may be an
 * address, anything odd) is ROW_ASK: feeds/formats.py, the one place that gives reasons for bad rows, reads that line.
 * So the two readers can't disagree about what is bad, only one of them says it; they must agree on what is
 * good, and tests/fuzz/fuzz_rows.py holds them to it.
 *
 *   domains   NAME                      "#" at the start or behind a blank: a comment
 *   hosts     ADDR NAME...              ADDR one of 0.0.0.0 127.0.0.1 :: ::1; "#" anywhere starts a comment
 *   wildcard  *.NAME                    comments as in domains; covers NAME and everything under it
 *   adblock   ||NAME^                   "!" at the start: a comment
 *
 * lists/formats/README.md has each ambiguity and its decision. Blanks (space, tab, CR) around a row do not count; a byte order
 * mark before row 1 neither. A line longer than LINE_MAX_BYTES is bad ("too_long") whatever is in it.
 */
#ifndef BLOCKD_ROWS_H
#define BLOCKD_ROWS_H

#include "name.h"

enum { LINE_MAX_BYTES = 8192 }; /* octets of one row, the line feed not counted */

typedef enum { ROWS_DOMAINS, ROWS_HOSTS, ROWS_WILDCARD, ROWS_ADBLOCK } rows_format;

typedef enum {
    ROW_NAME, /* a plain name was read */
    ROW_END,  /* nothing more in this row: it was a comment, blank, or all its names are read */
    ROW_ASK,  /* Python reads this row */
} row_result;

/* What an octet of a plain name is folded to; 0: it is not plain. */
static const uint8_t row_plain[256] = {
    ['-'] = '-', ['_'] = '_',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j',
    ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',
    ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't',
    ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

static inline int row_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Close the label that began at `at` (its length byte) and ends before `next`. Returns 0 when it is not plain. */
static inline int row_label(dns_name *out, unsigned at, unsigned next)
{
    unsigned n = next - at - 1;
    if (n == 0 || n > NAME_LABEL_MAX)
        return 0;
    out->wire[at] = (uint8_t)n;
    out->at[out->labels++] = (uint8_t)at;
    return 1;
}

/* Read [p, end) as one plain name. Returns 0 when it is not one; `out` is then undefined. */
static inline int row_name(const uint8_t *p, const uint8_t *end, dns_name *out)
{
    unsigned at = 0, next = 1;
    if (end - p > 1 && end[-1] == '.')
        end--;
    if (p == end || end - p > NAME_WIRE_MAX - 2)
        return 0;
    out->labels = 0;
    for (; p < end; p++, next++) {
        uint8_t c = row_plain[*p];
        out->wire[next] = c;
        if (c)
            continue;
        if (*p != '.' || !row_label(out, at, next))
            return 0;
        at = next;
    }
    if (!row_label(out, at, next) || (uint8_t)(out->wire[at + 1] - '0') < 10)
        return 0;
    memset(out->wire + next, 0, 9);
    out->length = (uint8_t)(next + 1);
    return 1;
}

static inline int row_is(const uint8_t *p, const uint8_t *end, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(end - p) == n && memcmp(p, word, n) == 0;
}

/* The names that a hosts file gives the machine itself: no entries. */
static inline int row_is_local(const uint8_t *p, const uint8_t *end)
{
    static const char *const local[] = {
        "localhost", "localhost.localdomain", "localhost4", "localhost6", "localhost6.localdomain6", "local", "broadcasthost",
        "ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts",
    };
    if (end - p < 5 || !(*p == 'l' || *p == 'b' || *p == 'i')) /* "0.0.0.0 0.0.0.0" is Python's too */
        return 0;
    for (unsigned i = 0; i < sizeof local / sizeof *local; i++)
        if (row_is(p, end, local[i]))
            return 1;
    return 0;
}

/* A position inside one row. `p` moves over what was read; hosts rows give a name a call. */
typedef struct {
    const uint8_t *p, *end;         /* what is left, blanks trimmed */
    const uint8_t *name, *name_end; /* the text of the name that was read last */
    rows_format format;
    int started;
} row_cursor;

static inline row_cursor row_begin(const uint8_t *p, const uint8_t *end, rows_format format)
{
    while (p < end && row_blank(*p))
        p++;
    while (end > p && row_blank(end[-1]))
        end--;
    return (row_cursor){ p, end, p, end, format, 0 };
}

static inline row_result row_take(row_cursor *c, const uint8_t *name, const uint8_t *end, dns_name *out)
{
    c->name = name;
    c->name_end = end;
    return row_name(name, end, out) ? ROW_NAME : ROW_ASK;
}

/* The next word of a hosts row: ROW_NAME, and [name, name_end). */
static inline row_result row_word(row_cursor *c)
{
    while (c->p < c->end && row_blank(*c->p))
        c->p++;
    if (c->p == c->end || *c->p == '#')
        return ROW_END;
    c->name = c->p;
    while (c->p < c->end && !row_blank(*c->p) && *c->p != '#')
        c->p++;
    c->name_end = c->p;
    return ROW_NAME;
}

static inline row_result row_next_hosts(row_cursor *c, dns_name *out)
{
    if (!c->started) {
        c->started = 1;
        if (row_word(c) == ROW_END)
            return ROW_END;
        if (!row_is(c->name, c->name_end, "0.0.0.0") && !row_is(c->name, c->name_end, "127.0.0.1")
            && !row_is(c->name, c->name_end, "::") && !row_is(c->name, c->name_end, "::1"))
            return ROW_ASK;
        if (row_word(c) == ROW_END)
            return ROW_ASK; /* an address alone */
    } else if (row_word(c) == ROW_END) {
        return ROW_END;
    }
    while (row_is_local(c->name, c->name_end))
        if (row_word(c) == ROW_END)
            return ROW_END;
    return row_take(c, c->name, c->name_end, out);
}

/* Where the first word ends when nothing but blanks and a "#" comment follows it; 0 when something else does. */
static inline const uint8_t *row_before_comment(const uint8_t *p, const uint8_t *end)
{
    while (p < end && !row_blank(*p))
        p++;
    const uint8_t *word_end = p;
    while (p < end && row_blank(*p))
        p++;
    return p < end && *p == '#' ? word_end : 0;
}

/* Read the next name of the row. */
static inline row_result row_next(row_cursor *c, dns_name *out)
{
    if (c->format == ROWS_HOSTS)
        return row_next_hosts(c, out);
    if (c->started || c->p == c->end)
        return ROW_END;
    c->started = 1;
    const uint8_t *p = c->p, *end = c->end;
    if (c->format == ROWS_ADBLOCK) {
        if (*p == '!')
            return ROW_END;
        if (*p == '[') /* a header that is one is Python's to know; there is one in a file */
            return ROW_ASK;
        if (end - p < 4 || p[0] != '|' || p[1] != '|' || end[-1] != '^')
            return ROW_ASK;
        return row_take(c, p + 2, end - 1, out);
    }
    if (*p == '#')
        return ROW_END;
    if (c->format == ROWS_WILDCARD) {
        if (end - p < 3 || p[0] != '*' || p[1] != '.')
            return ROW_ASK;
        p += 2;
    }
    if (row_take(c, p, end, out) == ROW_NAME)
        return ROW_NAME;
    end = row_before_comment(p, end);
    return end ? row_take(c, p, end, out) : ROW_ASK;
}

/* The fingerprints of a name and of its parent (the root's when it has one label), in one pass. */
static inline fingerprint row_fingerprints(sip_key key, const dns_name *name, fingerprint *parent)
{
    sip_state s = sip_begin(key);
    uint64_t length = 0;
    for (unsigned d = name->labels; d-- > 1;)
        length += name_absorb(&s, name->wire + name->at[d]);
    *parent = sip_end(s, 0, length);
    length += name_absorb(&s, name->wire + name->at[0]);
    return sip_end(s, 0, length);
}

#endif
