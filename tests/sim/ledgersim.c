/*
 * ledgersim [--seeds N] [--from N] [--for SECONDS] [--mutants N]: runs the simulator over N seeds, or as many as the
 * time allows; with --mutants it also proves that it can fail: each error put in on purpose must be found within N
 * seeds. Ends with a sum line. ledgersim --seed N [--mutate NAME]: one run, told operation by operation.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/sim.h"

#define FAILURES_MAX 10 /* that are told before it stops */

struct mutant {
    const char *option, *text;
};

#define MUTANT(name, option, text) {option, text},
static const struct mutant mutants[] = {{"none", ""}, SIM_MUTATIONS(MUTANT)};

struct options {
    uint64_t seeds, from, seconds, mutants, seed; /* seconds: 0 = as long as it takes */
    bool one;
    enum sim_mutation mutation;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int one_seed(struct sim *w, const struct options *o)
{
    sim_run(w, o->seed, o->mutation, stdout);
    if (!w->failure[0]) {
        printf("seed %" PRIu64 ": nothing wrong\n", o->seed);
        return 0;
    }
    printf("seed %" PRIu64 ", operation %u: %s\n", o->seed, w->op, w->failure);
    return 1;
}

static bool all_seeds(struct sim *w, const struct options *o)
{
    uint64_t i, calls = 0, strict = 0, bad = 0;
    double began = now_s();

    for (i = o->from; i < o->from + o->seeds && bad < FAILURES_MAX; i++) {
        if (o->seconds > 0 && now_s() - began > (double)o->seconds)
            break;
        sim_run(w, i, o->mutation, NULL);
        calls += w->n_calls;
        strict += !w->excused;
        if (!w->failure[0])
            continue;
        bad++;
        printf("FAIL seed %" PRIu64 ", operation %u: %s; again with: make sim SEED=%" PRIu64 "\n", i, w->op, w->failure,
               i);
    }
    printf("  %s  %" PRIu64 " seeds from %" PRIu64 " on, %d operations each, %" PRIu64 " calls, %" PRIu64
           " seeds without any excuse for overage, %.1f s\n",
           bad ? "bad" : "ok ", i - o->from, o->from, SIM_OPS, calls, strict, now_s() - began);
    return bad == 0;
}

static bool is_found(struct sim *w, enum sim_mutation mutation, uint64_t seeds)
{
    uint64_t i;

    for (i = 0; i < seeds; i++) {
        sim_run(w, i, mutation, NULL);
        if (w->failure[0]) {
            printf("  ok   %s: seed %" PRIu64 ": %s\n", mutants[mutation].option, i, w->failure);
            return true;
        }
    }
    printf("FAIL %s (%s): not found in %" PRIu64 " seeds\n", mutants[mutation].option, mutants[mutation].text, seeds);
    return false;
}

static enum sim_mutation mutation_of(const char *option)
{
    unsigned i;

    for (i = 0; i < MUTATIONS; i++)
        if (strcmp(option, mutants[i].option) == 0)
            return (enum sim_mutation)i;
    fprintf(stderr, "there is no mutation %s; there are:", option);
    for (i = 1; i < MUTATIONS; i++)
        fprintf(stderr, " %s", mutants[i].option);
    fputc('\n', stderr);
    exit(2);
}

static struct options read_options(int argc, char **argv)
{
    struct options o = {0};
    int i;

    for (i = 1; i + 1 < argc; i += 2) {
        uint64_t n = strtoull(argv[i + 1], NULL, 10);

        if (strcmp(argv[i], "--seeds") == 0)
            o.seeds = n;
        else if (strcmp(argv[i], "--from") == 0)
            o.from = n;
        else if (strcmp(argv[i], "--for") == 0)
            o.seconds = n;
        else if (strcmp(argv[i], "--mutants") == 0)
            o.mutants = n;
        else if (strcmp(argv[i], "--mutate") == 0)
            o.mutation = mutation_of(argv[i + 1]);
        else if (strcmp(argv[i], "--seed") == 0) {
            o.seed = n;
            o.one = true;
        } else
            break;
    }
    if (argc > 1 && i >= argc)
        return o;
    fputs("ledgersim [--seeds N] [--from N] [--for SECONDS] [--mutants N] | --seed N [--mutate NAME]\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    struct options o = read_options(argc, argv);
    struct sim *w = malloc(sizeof(*w));
    unsigned passed = 0, failed = 0, i;
    int code;

    if (!w)
        return 2;
    if (o.one) {
        code = one_seed(w, &o);
        free(w);
        return code;
    }
    if (o.seeds > 0) {
        bool well = all_seeds(w, &o);

        passed += well;
        failed += !well;
    }
    for (i = 1; i < MUTATIONS && o.mutants > 0; i++) {
        bool found = is_found(w, (enum sim_mutation)i, o.mutants);

        passed += found;
        failed += !found;
    }
    free(w);
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
