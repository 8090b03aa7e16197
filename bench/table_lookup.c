/* Nanoseconds of one table_lookup, as the native loop calls it: names from a file, in a random order, the table mapped.
 *
 *   table_lookup TABLE KEY_HEX NAMES   NAMES: one plain name a line; each is asked as it is and with "q." before it
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
    size_t n = 0, room = 1 << 20;
    dns_name *names = malloc(room * sizeof *names);
    for (const uint8_t *p = text.data, *end = text.data + text.size; names && p < end && n < room;) {
        const uint8_t *feed = memchr(p, '\n', (size_t)(end - p));
        const uint8_t *stop = feed ? feed : end;
        n += (size_t)row_name(p, stop, &names[n]);
        p = stop + 1;
    }
    double best = 1e30;
    unsigned long found = 0;
    for (int round = 0; round < ROUNDS && n; round++) {
        table_hit hits[TABLE_HITS_MAX];
        double start = now();
        for (size_t i = 0; i < n; i++)
            found += table_lookup(&view, &names[i], hits) != 0;
        double each = (now() - start) / (double)n;
        best = each < best ? each : best;
    }
    printf("%.1f %.4f\n", best, (double)found / ((double)n * ROUNDS));
    return 0;
}
