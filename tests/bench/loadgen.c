/* loadgen: options and choice of mode. See loadgen.h. */
#include "loadgen.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: loadgen calls|streams|idle --url http://127.0.0.1:PORT/v1/chat/completions [options]\n"
    "  all:     --key K  --model M  --user PREFIX  --extra JSON-MEMBERS  --max-tokens N\n"
    "           --timeout SECONDS\n"
    "  calls:   --connections N (1)  --requests N (1000)  --duration SECONDS\n"
    "           --rate N (calls a second, begun at fixed times whatever becomes of the others)\n"
    "           --prompt TEXT (%d = call number)  --journal FILE  --stream\n"
    "  streams: --streams N (100)  --tokens N (100)  --delay-ms N (20)  --first-ms N (0)\n"
    "           --ramp-ms N (1000)  --usage\n"
    "  idle:    --streams N  --hold SECONDS (10)  --ramp-ms N  --begun (hold after a first token)\n"
    "Prints JSON. Exit code: 0 all was well, 1 something failed, 2 could not run.\n";

enum kind { KIND_TEXT, KIND_NUMBER, KIND_FLAG };

struct option_row {
    const char *name;
    enum kind kind;
    size_t offset;
    int64_t least;
    int64_t most;
};

static const struct option_row rows[] = {
    {"--url", KIND_TEXT, offsetof(struct options, url), 0, 0},
    {"--key", KIND_TEXT, offsetof(struct options, key), 0, 0},
    {"--model", KIND_TEXT, offsetof(struct options, model), 0, 0},
    {"--prompt", KIND_TEXT, offsetof(struct options, prompt), 0, 0},
    {"--extra", KIND_TEXT, offsetof(struct options, extra), 0, 0},
    {"--user", KIND_TEXT, offsetof(struct options, user), 0, 0},
    {"--journal", KIND_TEXT, offsetof(struct options, journal), 0, 0},
    {"--connections", KIND_NUMBER, offsetof(struct options, connections), 1, 4096},
    {"--requests", KIND_NUMBER, offsetof(struct options, requests), 1, 100000000},
    {"--duration", KIND_NUMBER, offsetof(struct options, duration_s), 1, 3600},
    {"--rate", KIND_NUMBER, offsetof(struct options, rate), 1, 1000000},
    {"--streams", KIND_NUMBER, offsetof(struct options, streams), 1, 20000},
    {"--tokens", KIND_NUMBER, offsetof(struct options, tokens), 1, 1000000},
    {"--delay-ms", KIND_NUMBER, offsetof(struct options, delay_ms), 0, 3600000},
    {"--first-ms", KIND_NUMBER, offsetof(struct options, first_ms), 0, 3600000},
    {"--ramp-ms", KIND_NUMBER, offsetof(struct options, ramp_ms), 0, 3600000},
    {"--hold", KIND_NUMBER, offsetof(struct options, hold_s), 0, 3600},
    {"--timeout", KIND_NUMBER, offsetof(struct options, timeout_s), 1, 7200},
    {"--max-tokens", KIND_NUMBER, offsetof(struct options, max_tokens), 1, 1000000000},
    {"--stream", KIND_FLAG, offsetof(struct options, stream), 0, 0},
    {"--usage", KIND_FLAG, offsetof(struct options, usage), 0, 0},
    {"--begun", KIND_FLAG, offsetof(struct options, begun), 0, 0},
};

static bool set_number(const struct option_row *row, const char *text, char *at)
{
    char *end = NULL;
    long long v;
    int64_t number;

    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end || v < row->least || v > row->most) {
        fprintf(stderr, "loadgen: %s wants a number from %lld to %lld\n", row->name, (long long)row->least,
                (long long)row->most);
        return false;
    }
    number = v;
    memcpy(at, &number, sizeof(number));
    return true;
}

/* Applies argv[*i], with its value. */
static bool take_option(struct options *o, int argc, char **argv, int *i)
{
    const char *name = argv[*i];

    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        const struct option_row *row = &rows[k];
        char *at = (char *)o + row->offset;
        bool yes = true;

        if (strcmp(name, row->name) != 0)
            continue;
        if (row->kind == KIND_FLAG) {
            memcpy(at, &yes, sizeof(yes));
            return true;
        }
        if (*i + 1 >= argc) {
            fprintf(stderr, "loadgen: %s wants a value\n", name);
            return false;
        }
        ++*i;
        if (row->kind == KIND_NUMBER)
            return set_number(row, argv[*i], at);
        memcpy(at, &argv[*i], sizeof(argv[*i]));
        return true;
    }
    fprintf(stderr, "loadgen: unknown option %s\n%s", name, usage);
    return false;
}

int main(int argc, char **argv)
{
    struct options o = {.key = "sk-test",
                        .model = "fake-small",
                        .prompt = "call %d",
                        .user = "u-",
                        .connections = 1,
                        .streams = 100,
                        .tokens = 100,
                        .delay_ms = 20,
                        .ramp_ms = 1000,
                        .hold_s = 10};

    if (argc < 2) {
        fputs(usage, stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    o.mode = argv[1];
    for (int i = 2; i < argc; i++) {
        if (!take_option(&o, argc, argv, &i))
            return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (o.url && strcmp(o.mode, "calls") == 0)
        return calls_main(&o);
    if (o.url && strcmp(o.mode, "streams") == 0)
        return streams_main(&o);
    if (o.url && strcmp(o.mode, "idle") == 0)
        return idle_main(&o);
    fputs(usage, stderr);
    return 2;
}
