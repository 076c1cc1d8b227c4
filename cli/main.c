/* routerctl: administration from the shell, over the HTTP API. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "cli/request.h"
#include "services/version.h"

static void help(void)
{
    fputs("usage: routerctl COMMAND [arguments] [--json] [--field a.0.b]\n\n", stdout);
    args_usage(stdout, NULL);
    fputs("\n--json prints the answer as it came, --field one value of it. Settings:\n", stdout);
    settings_help(stdout, "routerctl", SET_C);
}

static int run(const struct args *a)
{
    struct err err = {.status = ST_OK};
    struct settings settings;
    struct http http;
    int code;

    if (sodium_init() < 0 || settings_load(&settings, SET_C, getenv, &err) != ST_OK) {
        cli_fail(&err);
        return CLI_USAGE;
    }
    if (http_init(&http, &settings, &err) != ST_OK)
        code = cli_fail(&err);
    else if (a->command->run)
        code = a->command->run(&http, a->command, a);
    else
        code = request_run(&http, a);
    http_fini(&http);
    settings_fini(&settings);
    return code;
}

int main(int argc, char **argv)
{
    struct err err = {.status = ST_OK};
    struct args args;

    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help();
        return argc < 2 ? CLI_USAGE : CLI_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        fputs("routerctl " ROUTER_VERSION "\n", stdout);
        return CLI_OK;
    }
    if (args_parse(&args, argc - 1, argv + 1, &err) != ST_OK) {
        cli_fail(&err);
        if (args.command)
            args_usage(stderr, args.command);
        return CLI_USAGE;
    }
    return run(&args);
}
