/* Reading and writing a message: one cursor each way, bounds check and advance together.
 *
 * A read that does not fit returns 0 and moves nothing. A writer that runs out of room becomes `full` and takes nothing more,
 * so that a whole answer is checked once, at its end.
 */
#ifndef BLOCKD_CURSOR_H
#define BLOCKD_CURSOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct { const uint8_t *p, *end; } cursor;

static inline size_t cursor_left(const cursor *c) { return (size_t)(c->end - c->p); }

static inline uint16_t load_u16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline uint32_t load_u32(const uint8_t *p) { return (uint32_t)load_u16(p) << 16 | load_u16(p + 2); }

static inline void store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void store_u32(uint8_t *p, uint32_t v)
{
    store_u16(p, (uint16_t)(v >> 16));
    store_u16(p + 2, (uint16_t)v);
}

static inline int cursor_u8(cursor *c, uint8_t *v)
{
    if (cursor_left(c) < 1)
        return 0;
    *v = *c->p++;
    return 1;
}

static inline int cursor_u16(cursor *c, uint16_t *v)
{
    if (cursor_left(c) < 2)
        return 0;
    *v = load_u16(c->p);
    c->p += 2;
    return 1;
}

static inline int cursor_u32(cursor *c, uint32_t *v)
{
    if (cursor_left(c) < 4)
        return 0;
    *v = load_u32(c->p);
    c->p += 4;
    return 1;
}

static inline int cursor_skip(cursor *c, size_t n)
{
    if (cursor_left(c) < n)
        return 0;
    c->p += n;
    return 1;
}

typedef struct {
    uint8_t *start, *p, *end;
    int full; /* something did not fit: what is there is not an answer */
} writer;

static inline size_t writer_at(const writer *w) { return (size_t)(w->p - w->start); }

static inline int writer_takes(writer *w, size_t n)
{
    if (w->full || (size_t)(w->end - w->p) < n)
        w->full = 1;
    return !w->full;
}

static inline void put_u8(writer *w, uint8_t v)
{
    if (writer_takes(w, 1))
        *w->p++ = v;
}

static inline void put_u16(writer *w, uint16_t v)
{
    if (writer_takes(w, 2)) {
        store_u16(w->p, v);
        w->p += 2;
    }
}

static inline void put_u32(writer *w, uint32_t v)
{
    if (writer_takes(w, 4)) {
        store_u32(w->p, v);
        w->p += 4;
    }
}

static inline void put_bytes(writer *w, const uint8_t *p, size_t n)
{
    if (n && writer_takes(w, n)) {
        memcpy(w->p, p, n);
        w->p += n;
    }
}

#endif
