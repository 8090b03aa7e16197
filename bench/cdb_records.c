/* Names, one a line, to records for `cdb -c`: the key is the name on the wire without case, which is what dnsdist looks up, the value `1`.
 *
 *   cdb_records < names > records
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LINE_OCTETS_MAX = 256, LABEL_OCTETS_MAX = 63 };

/* The wire form of a name, dot-separated labels; its octets, or 0 when it is none. */
static size_t wire(const char *text, uint8_t out[LINE_OCTETS_MAX])
{
    size_t at = 0;
    while (*text) {
        size_t label = strcspn(text, ".");
        if (!label || label > LABEL_OCTETS_MAX || at + label + 2 > LINE_OCTETS_MAX - 1)
            return 0;
        out[at++] = (uint8_t)label;
        for (size_t i = 0; i < label; i++)
            out[at++] = (uint8_t)tolower((unsigned char)text[i]);
        text += label + (text[label] == '.');
    }
    out[at] = 0;
    return at ? at + 1 : 0;
}

int main(void)
{
    char line[LINE_OCTETS_MAX];
    uint8_t key[LINE_OCTETS_MAX];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        size_t octets = wire(line, key);
        if (!octets) {
            fprintf(stderr, "cdb_records: a line that is no name\n");
            return 1;
        }
        printf("+%zu,1:", octets);
        fwrite(key, 1, octets, stdout);
        fputs("->1\n", stdout);
    }
    putchar('\n');
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
