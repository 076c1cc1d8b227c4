#include "cli/args.h"

#include <string.h>

static const struct command *find(int argc, char **argv, int *ret_used)
{
    const struct command *c;

    for (c = commands; c->group; c++) {
        bool verb = c->verb[0] != '\0';

        if (argc < (verb ? 2 : 1) || strcmp(argv[0], c->group) != 0 || (verb && strcmp(argv[1], c->verb) != 0))
            continue;
        *ret_used = verb ? 2 : 1;
        return c;
    }
    return NULL;
}

static enum status unknown(int argc, char **argv, struct err *err)
{
    const struct command *c;

    for (c = commands; c->group && argc; c++)
        if (!strcmp(c->group, argv[0]))
            return err_set(err, ST_BAD_REQUEST, "there is no '%s%s%s'; `routerctl --help` lists the commands", argv[0],
                           argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    return err_set(err, ST_BAD_REQUEST, "there is no command '%s'; `routerctl --help` lists the commands",
                   argc ? argv[0] : "");
}

static bool is_flag(const struct word *w)
{
    return w->kind == WORD_QUERY_FLAG || w->kind == WORD_ALL_FLAG || w->kind == WORD_OWN_FLAG;
}

static const char *value_of(const struct word *w)
{
    return is_flag(w) ? "" : " X";
}

static bool take_flag(struct args *a, const char *name)
{
    bool taken = !strcmp(name, "json");
    size_t i;

    a->json |= taken;
    for (i = 0; i < COMMAND_OPTIONS && a->command->options[i].name; i++)
        if (is_flag(&a->command->options[i]) && !strcmp(a->command->options[i].name, name)) {
            a->options[i] = "true";
            taken = true;
        }
    return taken;
}

static enum status take_option(struct args *a, char **argv, int left, int *ret_used, struct err *err)
{
    const char *name = argv[0] + 2;
    size_t i;

    *ret_used = 1;
    if (take_flag(a, name))
        return ST_OK;
    *ret_used = 2;
    if (left < 2)
        return err_set(err, ST_BAD_REQUEST, "--%s wants a value", name);
    if (!strcmp(name, "field")) {
        a->field = argv[1];
        return ST_OK;
    }
    for (i = 0; i < COMMAND_OPTIONS && a->command->options[i].name; i++) {
        if (strcmp(a->command->options[i].name, name) != 0)
            continue;
        a->options[i] = argv[1];
        return ST_OK;
    }
    return err_set(err, ST_BAD_REQUEST, "'%s %s' has no option --%s", a->command->group, a->command->verb, name);
}

enum status args_parse(struct args *a, int argc, char **argv, struct err *err)
{
    size_t n = 0, due = 0, most;
    int i = 0;

    memset(a, 0, sizeof(*a));
    a->command = find(argc, argv, &i);
    if (!a->command)
        return unknown(argc, argv, err);
    while (due < COMMAND_ARGS && a->command->args[due].name && a->command->args[due].name[0] != '[')
        due++;
    for (most = due; most < COMMAND_ARGS && a->command->args[most].name;)
        most++;
    while (i < argc) {
        int used = 1;
        enum status st = ST_OK;

        if (!strncmp(argv[i], "--", 2))
            st = take_option(a, argv + i, argc - i, &used, err);
        else if (n == most)
            st = err_set(err, ST_BAD_REQUEST, "'%s' is one word too many", argv[i]);
        else
            a->values[n++] = argv[i];
        if (st != ST_OK)
            return st;
        i += used;
    }
    if (n < due)
        return err_set(err, ST_BAD_REQUEST, "%s is missing", a->command->args[n].name);
    return ST_OK;
}

const char *args_option(const struct args *a, const char *name)
{
    size_t i;

    for (i = 0; i < COMMAND_OPTIONS && a->command->options[i].name; i++)
        if (!strcmp(a->command->options[i].name, name))
            return a->options[i];
    return NULL;
}

static void usage_of(FILE *out, const struct command *c)
{
    size_t i;

    fprintf(out, "  routerctl %s%s%s", c->group, c->verb[0] ? " " : "", c->verb);
    for (i = 0; i < COMMAND_ARGS && c->args[i].name; i++)
        fprintf(out, " %s", c->args[i].name);
    for (i = 0; i < COMMAND_OPTIONS && c->options[i].name; i++)
        fprintf(out, " [--%s%s]", c->options[i].name, value_of(&c->options[i]));
    fprintf(out, "\n      %s\n", c->help);
}

void args_usage(FILE *out, const struct command *c)
{
    if (c) {
        usage_of(out, c);
        return;
    }
    for (c = commands; c->group; c++)
        usage_of(out, c);
}
