/* Nanoseconds to walk one wire name and look it up, as the native loop does for a question: names in the order of a file, the table mapped.
 *
 *   table_lookup TABLE KEY_HEX NAMES   NAMES: one plain name a line. Prints walk and look-up, walk alone, share found.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mapped_file.h"
#include "rows.h"
#include "table.h"

enum { ROUNDS = 5 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    mapped_file table, text;
    uint8_t key[16];
    table_view view;
    if (argc != 4 || mapped_open(&table, argv[1]) || mapped_open(&text, argv[3]))
        return 2;
    for (int i = 0; i < 16; i++)
        if (sscanf(argv[2] + 2 * i, "%2hhx", &key[i]) != 1)
            return 2;
    if (table_open(&view, table.data, table.size, key))
        return 3;
    mapped_populate(&table);
    /* the wire forms one behind the other, as packets would bring them */
    uint8_t *wire = malloc(text.size + text.size / 2 + NAME_WIRE_MAX);
    size_t n = 0, size = 0;
    for (const uint8_t *p = text.data, *end = text.data + text.size; wire && p < end;) {
        const uint8_t *feed = memchr(p, '\n', (size_t)(end - p)), *stop = feed ? feed : end;
        dns_name name;
        if (row_name(p, stop, &name)) {
            memcpy(wire + size, name.wire, name.length);
            size += name.length;
            n++;
        }
        p = stop + 1;
    }
    double best[2] = { 1e30, 1e30 };
    unsigned long found = 0, octets = 0;
    for (int round = 0; round < 2 * ROUNDS && n; round++) {
        double start = now();
        for (size_t at = 0; at < size;) {
            table_hit hits[TABLE_HITS_MAX];
            dns_name name;
            at += (size_t)name_walk(wire + at, wire + size, &name);
            if (round & 1)
                octets += name.wire[name.length / 2];
            else
                found += table_lookup(&view, &name, hits) != 0;
        }
        double each = (now() - start) / (double)n;
        best[round & 1] = each < best[round & 1] ? each : best[round & 1];
    }
    printf("%.1f %.1f %.4f\n", best[0], best[1], (double)found / ((double)n * ROUNDS));
    return octets == 0;
}
