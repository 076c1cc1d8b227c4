/* CONFIG files: what they say arrives, what they must not say is refused with its place, and hostile ones do no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meterd/config_file.h"

#define ARENA_MAX (256u * 1024u * 1024u)

static const char sample[] = "# a team's providers\n"
                             "providers:\n"
                             "  - name: openai\n"
                             "    kind: openai\n"
                             "    base_url: https://${REGION}.example.com/v1\n"
                             "    api_keys: [\"${OPENAI_API_KEY}\", sk-literal]\n"
                             "    internal: true\n"
                             "    disconnect: drain\n"
                             "    timeouts: {connect_ms: 2000, first_byte_ms: 60000}\n"
                             "    drop_params: [user]\n"
                             "    chat_only: true\n"
                             "  - name: spare\n"
                             "    kind: echo\n"
                             "models:\n"
                             "  - name: team-chat\n"
                             "    aliases: [chat, default]\n"
                             "    routes:\n"
                             "      - {provider: openai, model: gpt-4o-mini, tier: 1, weight: 3}\n"
                             "      - {provider: spare, model: \"org/x:8b\"}\n"
                             "    price: {input: \"0.15\", cached_input: 0.075, output: \"0.60\", mode: chat}\n"
                             "    max_output: 16384\n"
                             "    context_window: 128000\n"
                             "  - name: plain\n"
                             "    routes: [{provider: echo, model: echo}]\n";

static char *env(const char *name)
{
    static char value[] = "eu";

    return strcmp(name, "REGION") == 0 ? value : NULL;
}

static enum status parse(struct arena *a, struct slice text, struct config_file *file, struct err *err)
{
    memset(err, 0, sizeof(*err));
    return config_file_parse(text, env, a, file, err);
}

static void providers_of(const struct config_file *file)
{
    const struct provider_put_req *p = &file->providers[0];

    assert_int_equal(file->n_providers, 2);
    assert_true(slice_is(p->base_url, "https://eu.example.com/v1"));
    assert_int_equal(p->api_keys.n, 2);
    assert_true(slice_is(p->api_keys.items[0], "${OPENAI_API_KEY}")); /* stays a reference */
    assert_true(p->internal);
    assert_true(p->chat_only);
    assert_int_equal(p->connect_ms, 2000);
    assert_int_equal(p->drop_params.n, 1);
    assert_true(WIRE_HAS(p, 15));
    p = &file->providers[1];
    assert_true(WIRE_HAS(p, 5) && WIRE_HAS(p, 8) && WIRE_HAS(p, 14) && WIRE_HAS(p, 16)); /* left out = the default */
    assert_false(WIRE_HAS(p, 15)); /* but keys stay as they are */
}

static void what_a_file_says_arrives(void **state)
{
    const struct model_put_req *m;
    struct config_file file;
    struct arena a;
    struct err err;

    (void)state;
    arena_init(&a, ARENA_MAX);
    if (parse(&a, slice_of(sample), &file, &err) != ST_OK)
        fail_msg("%s", err.text);
    providers_of(&file);
    m = &file.models[0];
    assert_int_equal(file.n_models, 2);
    assert_int_equal(m->aliases.n, 2);
    assert_int_equal(m->routes.n, 2);
    assert_int_equal(m->routes.items[0].weight, 3);
    assert_true(slice_is(m->routes.items[1].model, "org/x:8b"));
    assert_false(WIRE_HAS(&m->routes.items[1], 4));
    assert_int_equal(m->price.n, 1);
    assert_true(m->price.items[0].cached_input_pico == 75000); /* to the last digit */
    assert_true(m->price.items[0].output_pico == 600000);
    assert_int_equal(m->max_output, 16384);
    m = &file.models[1];
    assert_true(WIRE_HAS(m, 9) && !m->own_price && m->price.n == 0);
    assert_true(WIRE_HAS(m, 4) && WIRE_HAS(m, 6) && WIRE_HAS(m, 8));
    arena_fini(&a);
}

static void nothing_is_a_file(void **state)
{
    static const char *const empty[] = {"", "# only a comment\n", "{}\n", "providers: []\nmodels: []\n"};
    struct config_file file;
    struct arena a;
    struct err err;
    size_t i;

    (void)state;
    arena_init(&a, ARENA_MAX);
    for (i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        if (parse(&a, slice_of(empty[i]), &file, &err) != ST_OK)
            fail_msg("%s: %s", empty[i], err.text);
        assert_int_equal(file.n_providers + file.n_models, 0);
    }
    arena_fini(&a);
}

struct wrong {
    const char *text, *words;
};

static const struct wrong wrongs[] = {
    {"providers:\n  - name: a\n    knd: x\n", "line 3: unknown member 'knd' in providers[0]"},
    {"models:\n  - routes:\n      - provider: a\n        wait: 3\n",
     "line 4: unknown member 'wait' in models[0].routes"},
    {"provider: []\n", "unknown member 'provider'"},
    {"providers:\n  - {name: a, name: b}\n", "already seen: name"},
    {"providers: []\nproviders: []\n", "already seen: providers"},
    {"providers: {name: a}\n", "line 1: Expecting SEQUENCE"},
    {"- a\n", "Expecting MAPPING"},
    {"text\n", "Expecting MAPPING"},
    {"providers:\n  - name: [a]\n", "in providers[0].name"},
    {"providers:\n  - &a {name: x}\n  - *a\n", "alias"},
    {"providers: [\n", "line 1"},
    {"providers:\n\t- name: a\n", "line"},
    {"providers: []\n---\nmodels: []\n", "more than one YAML document"},
    {"providers:\n  - {name: a, internal: maybe}\n", "providers[0] (a): Invalid type for 'internal'"},
    {"providers:\n  - {name: a, chat_only: 2}\n", "providers[0] (a): Invalid type for 'chat_only'"},
    {"providers:\n  - {name: a, timeouts: {connect_ms: -1}}\n", "providers[0] (a): Invalid 'connect_ms'"},
    {"providers:\n  - {name: a, timeouts: {connect_ms: 1e3}}\n", "providers[0] (a): Invalid type for 'connect_ms'"},
    {"providers:\n  - {name: a, timeouts: {connect_ms: 0x10}}\n", "providers[0] (a): Invalid type for 'connect_ms'"},
    {"providers:\n  - {name: a, timeouts: {connect_ms: 99999999999999999999}}\n", "above maximum value"},
    {"providers:\n  - {name: a}\n  - {name: a}\n", "providers[1] (a): the provider 'a' stands in the file twice"},
    {"providers:\n  - {name: a, base_url: \"https://${UNSET}\"}\n", "${UNSET} is not set"},
    {"providers:\n  - {name: \"${JWT_SECRET}\"}\n", "is a secret of the router itself"},
    {"providers:\n  - {name: \"${REGION\"}\n", "has no closing }"},
    {"models:\n  - {name: m}\n  - {name: m}\n", "models[1] (m): the model 'm' stands in the file twice"},
    {"models:\n  - {name: m, price: {input: 1e-6}}\n", "models[0] (m): price: Invalid 'input'"},
    {"models:\n  - {name: m, price: {input: \"0.0000001\"}}\n", "models[0] (m): price: Invalid 'input'"},
    {"models:\n  - {name: m, price: {input: -1}}\n", "models[0] (m): price: Invalid 'input'"},
    {"models:\n  - {name: m, price: {input: .nan}}\n", "models[0] (m): price: Invalid 'input'"},
    {"models:\n  - {name: m, price: 3}\n", "line 2"},
    {"models:\n  - {name: m, routes: [{tier: x}]}\n", "models[0] (m): routes[0]: Invalid type for 'tier'"},
};

static void a_mistake_is_said_with_its_place(void **state)
{
    struct config_file file;
    struct arena a;
    struct err err;
    size_t i;

    (void)state;
    arena_init(&a, ARENA_MAX);
    for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        assert_int_equal(parse(&a, slice_of(wrongs[i].text), &file, &err), ST_BAD_REQUEST);
        if (!strstr(err.text, wrongs[i].words))
            fail_msg("%s\nsays: %s\nnot: %s", wrongs[i].text, err.text, wrongs[i].words);
        if (strchr(err.text, '\n'))
            fail_msg("more than one line: %s", err.text);
    }
    arena_fini(&a);
}

static void more_providers_than_there_can_be_are_refused(void **state)
{
    struct config_file file;
    struct buf text;
    struct arena a;
    struct err err;

    (void)state;
    arena_init(&a, ARENA_MAX);
    buf_init(&text, LIMIT_CONFIG);
    assert_int_equal(buf_addc(&text, "providers:\n"), ST_OK);
    for (unsigned i = 0; i < LIMIT_PROVIDERS; i++)
        assert_int_equal(buf_addf(&text, "  - {name: p%u, kind: echo}\n", i), ST_OK);
    assert_int_equal(parse(&a, (struct slice){text.p, text.n}, &file, &err), ST_OK);
    assert_int_equal(file.n_providers, LIMIT_PROVIDERS);
    assert_int_equal(buf_addc(&text, "  - {name: one-more, kind: echo}\n"), ST_OK);
    assert_int_equal(parse(&a, (struct slice){text.p, text.n}, &file, &err), ST_BAD_REQUEST);
    assert_non_null(strstr(err.text, "100 max"));
    assert_non_null(strstr(err.text, "providers"));
    buf_fini(&text);
    arena_fini(&a);
}

static void a_secret_is_not_repeated_in_an_error(void **state)
{
    static const char *const texts[] = {"providers:\n  - {name: a, api_keys: [[sk-hidden]]}\n",
                                        "providers:\n  - {name: a, api_keys: sk-hidden}\n",
                                        "providers:\n  - {name: a, api_keys: [sk-hidden, \"}\n"};
    struct config_file file;
    struct arena a;
    struct err err;
    size_t i;

    (void)state;
    arena_init(&a, ARENA_MAX);
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(parse(&a, slice_of(texts[i]), &file, &err), ST_BAD_REQUEST);
        assert_null(strstr(err.text, "sk-hidden"));
    }
    arena_fini(&a);
}

/* ---- hostile -------------------------------------------------------------------------------------------------------
 */

static char *repeated(const char *head, const char *part, size_t times, size_t *ret_n)
{
    size_t h = strlen(head), n = strlen(part), i;
    char *text = malloc(h + n * times + 1);

    memcpy(text, head, h);
    for (i = 0; i < times; i++)
        memcpy(text + h + i * n, part, n);
    *ret_n = h + n * times;
    return text;
}

static void large_and_deep_files_are_refused(void **state)
{
    static const struct {
        const char *head, *part;
        size_t times;
    } rows[] = {{"", "[", 100000},
                {"", "{a: ", 100000},
                {"a: ", "[", 100000},
                {"providers: [", "{name: x},", 501},
                {"models: [", "{name: x},", 5001},
                {"", "- ", 100000},
                {"? ", "? ", 50000},
                {"", "#", LIMIT_CONFIG + 1},
                {"providers:\n- name: \"", "x", 100000}, /* never closed */
                {"", "&a ", 50000},
                {"", "!t ", 50000},
                {"%", "Y", 100000}};
    struct config_file file;
    struct arena a;
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = 0;
        char *text = repeated(rows[i].head, rows[i].part, rows[i].times, &n);

        arena_init(&a, ARENA_MAX);
        assert_int_equal(parse(&a, (struct slice){text, n}, &file, &err), ST_BAD_REQUEST);
        arena_fini(&a);
        free(text);
    }
}

static void a_large_file_takes_memory_in_proportion(void **state)
{
    struct config_file file;
    struct arena a;
    struct buf text;
    struct err err;
    int i;

    (void)state;
    buf_init(&text, LIMIT_CONFIG);
    assert_int_equal(buf_addc(&text, "models:\n"), ST_OK);
    for (i = 0; i < CONFIG_MODELS_MAX; i++)
        assert_int_equal(
            buf_addf(&text, "  - {name: m%d, aliases: [a%d], routes: [{provider: echo, model: echo}]}\n", i, i), ST_OK);
    arena_init(&a, ARENA_MAX);
    if (parse(&a, (struct slice){text.p, text.n}, &file, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(file.n_models, CONFIG_MODELS_MAX);
    assert_true(a.used < text.n * 64);
    arena_fini(&a);
    buf_fini(&text);
}

/* Whatever a damaged file says: an answer, a line when it is an error, and no harm (the sanitizers look on). */
static void damaged_files_do_no_harm(void **state)
{
    static const char bytes[] = "{}[]:,-?&*!|>'\"%@`#\n\t \\$~\x00\x80\xff\xc2";
    size_t n = sizeof(sample) - 1, i, good = 0;
    struct config_file file;
    struct arena a;
    struct err err;
    char *copy = malloc(n);

    (void)state;
    srand(7);
    for (i = 0; i < 20000; i++) {
        int hits = 1 + rand() % 4;
        size_t length = rand() % 8 ? n : (size_t)rand() % n;

        memcpy(copy, sample, n);
        while (hits-- > 0)
            copy[(size_t)rand() % n] = bytes[(size_t)rand() % (sizeof(bytes) - 1)];
        arena_init(&a, ARENA_MAX);
        if (parse(&a, (struct slice){copy, length}, &file, &err) == ST_OK)
            good++;
        else if (!err.text[0] || strchr(err.text, '\n'))
            fail_msg("an error of no line or of several: %s", err.text);
        arena_fini(&a);
    }
    assert_true(good > 0);
    free(copy);
}

static void without_memory_it_says_so(void **state)
{
    struct config_file file;
    struct err err;
    struct arena a;
    size_t room;
    enum status st = ST_NO_MEMORY;

    (void)state;
    for (room = 1024; st != ST_OK; room += 4096) {
        arena_init(&a, room);
        st = parse(&a, slice_of(sample), &file, &err);
        assert_true(st == ST_OK || st == ST_NO_MEMORY);
        arena_fini(&a);
        assert_true(room < ARENA_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_file_says_arrives),
        cmocka_unit_test(nothing_is_a_file),
        cmocka_unit_test(a_mistake_is_said_with_its_place),
        cmocka_unit_test(more_providers_than_there_can_be_are_refused),
        cmocka_unit_test(a_secret_is_not_repeated_in_an_error),
        cmocka_unit_test(large_and_deep_files_are_refused),
        cmocka_unit_test(a_large_file_takes_memory_in_proportion),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(without_memory_it_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
