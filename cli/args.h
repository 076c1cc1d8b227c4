/* The command line, taken apart against a command's declaration. Points into argv; owns nothing. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdio.h>

#include "cli/commands.h"

struct args {
    const struct command *command;
    const char *values[COMMAND_ARGS]; /* as command->args */
    const char *options[COMMAND_OPTIONS]; /* as command->options; NULL = not given */
    bool json; /* --json: the answer as it came */
    const char *field; /* --field a.0.b: one value of it */
};

/* ST_BAD_REQUEST with a line for the user. */
enum status args_parse(struct args *a, int argc, char **argv, struct err *err);
const char *args_option(const struct args *a, const char *name); /* NULL = not given */
void args_usage(FILE *out, const struct command *c); /* one command, or all when NULL */

#endif
