#include "services/settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/money.h"

enum setting_kind { KIND_STR, KIND_SECRET, KIND_CHOICE, KIND_INT, KIND_USD };

struct setting {
    const char *name, *def, *help;
    int64_t min, max;
    size_t offset;
    enum setting_kind kind;
    unsigned services;
};

#define SETTING_ROW(NAME, member, KIND, def, min, max, services, help)                                                 \
    {#NAME, def, help, min, max, offsetof(struct settings, member), KIND_##KIND, services},
static const struct setting table[] = {SETTINGS(SETTING_ROW)};

#define TABLE_N (sizeof(table) / sizeof(table[0]))

static char **text_of(struct settings *s, const struct setting *row)
{
    return (char **)(void *)((char *)s + row->offset);
}

static int64_t *number_of(struct settings *s, const struct setting *row)
{
    return (int64_t *)(void *)((char *)s + row->offset);
}

enum status settings_set(char **member, const char *value)
{
    char *copy = value ? strdup(value) : NULL;

    if (value && !copy)
        return ST_NO_MEMORY;
    free(*member);
    *member = copy;
    return ST_OK;
}

static enum status set_text(struct settings *s, const struct setting *row, const char *value, struct err *err)
{
    size_t n = value ? strlen(value) : 0;

    if (value && (n < (size_t)row->min || n > (size_t)row->max))
        return err_set(err, ST_BAD_REQUEST, "%s: has %zu characters; allowed are %lld to %lld", row->name, n,
                       (long long)row->min, (long long)row->max);
    return settings_set(text_of(s, row), value);
}

/* The words of a CHOICE stand in its default, the first being what an unset one means. */
static enum status set_choice(struct settings *s, const struct setting *row, const char *value, struct err *err)
{
    const char *word = row->def;

    if (value == row->def)
        value = NULL;
    for (;;) {
        size_t n = strcspn(word, "|");

        if (!value || (strlen(value) == n && !memcmp(value, word, n))) {
            char chosen[32];

            if (n >= sizeof(chosen))
                return err_set(err, ST_INTERNAL, "%s: its table row is wrong", row->name);
            memcpy(chosen, word, n);
            chosen[n] = '\0';
            return settings_set(text_of(s, row), chosen);
        }
        if (!word[n])
            return err_set(err, ST_BAD_REQUEST, "%s: '%.64s' is not one of %s", row->name, value, row->def);
        word += n + 1;
    }
}

static enum status set_int(struct settings *s, const struct setting *row, const char *value, struct err *err)
{
    char *end = NULL;
    long long n;

    errno = 0;
    n = strtoll(value, &end, 10);
    if (errno || end == value || *end || n < row->min || n > row->max)
        return err_set(err, ST_BAD_REQUEST, "%s: '%.64s' is not an integer from %lld to %lld", row->name, value,
                       (long long)row->min, (long long)row->max);
    *number_of(s, row) = n;
    return ST_OK;
}

static enum status set_usd(struct settings *s, const struct setting *row, const char *value, struct err *err)
{
    int64_t nano = 0;

    if (!strcmp(value, "auto")) {
        *number_of(s, row) = SETTINGS_USD_AUTO;
        return ST_OK;
    }
    if (money_parse_usd(slice_of(value), &nano, NULL) != ST_OK || nano < 0)
        return err_set(err, ST_BAD_REQUEST, "%s: '%.64s' is not an amount of USD like 5 or 0.25, or auto", row->name,
                       value);
    *number_of(s, row) = nano;
    return ST_OK;
}

static enum status set_row(struct settings *s, const struct setting *row, const char *value, struct err *err)
{
    switch (row->kind) {
    case KIND_STR:
    case KIND_SECRET: return set_text(s, row, value, err);
    case KIND_CHOICE: return set_choice(s, row, value, err);
    case KIND_INT: return set_int(s, row, value, err);
    case KIND_USD: return set_usd(s, row, value, err);
    }
    return err_set(err, ST_INTERNAL, "%s: its table row is wrong", row->name);
}

enum status settings_load(struct settings *s, unsigned services, char *(*env)(const char *name), struct err *err)
{
    enum status st = ST_OK;
    size_t i;

    memset(s, 0, sizeof(*s));
    for (i = 0; i < TABLE_N && st == ST_OK; i++) {
        const char *value = table[i].services & services ? env(table[i].name) : NULL;

        if (!value || !*value)
            value = table[i].def;
        st = set_row(s, &table[i], value, err);
    }
    if (st != ST_OK)
        settings_fini(s);
    return st;
}

void settings_fini(struct settings *s)
{
    size_t i;

    for (i = 0; i < TABLE_N; i++)
        if (table[i].kind == KIND_STR || table[i].kind == KIND_SECRET || table[i].kind == KIND_CHOICE)
            settings_set(text_of(s, &table[i]), NULL);
}

static void help_row(FILE *out, const struct setting *row)
{
    switch (row->kind) {
    case KIND_INT:
        fprintf(out, "  %-24s integer %lld..%lld, default %s\n", row->name, (long long)row->min, (long long)row->max,
                row->def);
        break;
    case KIND_CHOICE: fprintf(out, "  %-24s one of %s, default the first\n", row->name, row->def); break;
    case KIND_USD: fprintf(out, "  %-24s amount in USD, default %s\n", row->name, row->def); break;
    case KIND_STR:
    case KIND_SECRET:
        fprintf(out, "  %-24s %s of %lld..%lld characters, %s%s\n", row->name,
                row->kind == KIND_SECRET ? "secret" : "text", (long long)row->min, (long long)row->max,
                row->def ? "default " : "no default", row->def ? row->def : "");
        break;
    }
    fprintf(out, "  %-24s   %s\n", "", row->help);
}

void settings_help(FILE *out, const char *program, unsigned services)
{
    size_t i;

    fprintf(out, "%s: settings are read from the environment.\n", program);
    for (i = 0; i < TABLE_N; i++)
        if (table[i].services & services)
            help_row(out, &table[i]);
}
