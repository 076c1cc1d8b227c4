/*
 * The commands of routerctl, as data: what is asked of the router, from which words of the command line, and what of
 * the answer is shown. A command that is more than one request has a function of its own (run).
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/http.h"

#define COMMAND_ARGS 3
#define COMMAND_OPTIONS 28

enum word_kind {
    WORD_NONE,
    WORD_USER, /* id or e-mail address: becomes the %s of the path */
    WORD_PATH, /* becomes the %s of the path */
    WORD_STRING, /* a member of the body; a field "price.input" is the member input of the object price */
    WORD_NUMBER,
    WORD_TIME, /* cli/times.h; a member of the body */
    WORD_BOOL, /* true or false */
    WORD_ROUTES, /* comma-separated PROVIDER/MODEL[:tier[:weight]] */
    WORD_LIST, /* comma-separated strings */
    WORD_QUERY, /* a parameter of the query */
    WORD_QUERY_TIME,
    WORD_QUERY_FLAG, /* the same, without a value of its own: given = true */
    WORD_QUERY_USER, /* id or e-mail address: its id, a parameter of the query; asks everybody's path */
    WORD_ALL_FLAG, /* asks everybody's path, which is its field, in the place of the caller's own */
    WORD_OWN, /* for the command's own function */
    WORD_OWN_FLAG,
};

/* A positional argument (shown as its name) or an option (--name VALUE). field NULL = the name, with _ for -. */
struct word {
    const char *name;
    enum word_kind kind;
    const char *field;
};

struct args; /* cli/args.h */

struct command {
    const char *group, *verb; /* verb "" = the group alone */
    const char *method, *path;
    struct word args[COMMAND_ARGS]; /* all are due but the last ones, in [] */
    struct word options[COMMAND_OPTIONS];
    const char *fixed; /* a ready body */
    const char *columns; /* of a list's rows */
    const char *help;
    int (*run)(struct http *h, const struct command *c, const struct args *a); /* NULL = the request, then print */
};

extern const struct command commands[]; /* ends with a NULL group */

#endif
