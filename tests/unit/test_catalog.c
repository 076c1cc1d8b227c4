/* The catalog as meterd keeps it: what is stored, what is told to those who follow, what is refused. */
#include "tests/unit/meter_fixture.h"

#include "meterd/catalog.h"
#include "meterd/config.h"
#include "meterd/state.h"
#include "services/json.h"

#define MASTER "0123456789abcdef0123456789abcdef"
#define KEY "sk-a-key-of-a-provider-0001"

static int set_up(void **state)
{
    int rc = meter_setup(state);
    struct meter *m = *state;

    assert_int_equal(seal_key_init(&m->store->seal, MASTER, NULL), ST_OK);
    return rc;
}

/* ---- asking --------------------------------------------------------------------------------------------------------
 */

static enum status put_provider(struct meter *m, bool create, const char *json, struct provider_rep *rep)
{
    struct provider_put_req req = {.actor_id = slice_of("usr_t"), .create = create};

    memset(rep, 0, sizeof(*rep));
    memset(&m->err, 0, sizeof(m->err));
    if (json_decode(&provider_put_req_desc, slice_of(json), NULL, &req, &m->arena, &m->err) != ST_OK)
        fail_msg("%s", m->err.text);
    return meter_run(m, op_provider_put, &req, rep);
}

static struct catalog_provider provider(struct meter *m, bool create, const char *json)
{
    struct provider_rep rep;

    meter_must(m, put_provider(m, create, json, &rep), json);
    assert_int_equal(rep.provider.n, 1);
    return rep.provider.items[0];
}

static enum status put_model(struct meter *m, bool create, const char *json, struct model_rep *rep)
{
    struct model_put_req req = {.actor_id = slice_of("usr_t"), .create = create};

    memset(rep, 0, sizeof(*rep));
    memset(&m->err, 0, sizeof(m->err));
    if (json_decode(&model_put_req_desc, slice_of(json), NULL, &req, &m->arena, &m->err) != ST_OK)
        fail_msg("%s", m->err.text);
    return meter_run(m, op_model_put, &req, rep);
}

static struct catalog_model model(struct meter *m, bool create, const char *json)
{
    struct model_rep rep;

    meter_must(m, put_model(m, create, json, &rep), json);
    assert_int_equal(rep.model.n, 1);
    return rep.model.items[0];
}

/* The newest record of a kind after a revision, decoded into to; how many there are. */
static size_t told(struct meter *m, uint64_t after, const struct wire_desc *desc, void *to)
{
    struct state_read_req req = {.after_revision = after};
    struct state_read_rep rep = {0};
    struct wire_alloc mem = arena_wire(&m->arena);
    size_t i, n = 0;

    METER_OK(m, op_state_read, &req, &rep);
    for (i = 0; i < rep.changes.n; i++) {
        const struct state_change *c = &rep.changes.items[i];

        if (c->kind != desc->type)
            continue;
        assert_int_equal(wire_decode(desc, c->record.p, c->record.n, to, &mem, &m->err), ST_OK);
        n++;
    }
    return n;
}

static enum status config(struct meter *m, const char *text, bool dry, bool pruned, struct config_apply_rep *rep)
{
    struct config_apply_req req = {
        .actor_id = slice_of("usr_t"), .text = slice_of(text), .dry_run = dry, .prune = pruned};

    memset(rep, 0, sizeof(*rep));
    return meter_run(m, op_config_apply, &req, rep);
}

/* ---- providers -----------------------------------------------------------------------------------------------------
 */

static void a_provider_is_told_with_its_sealed_keys(void **state)
{
    struct meter *m = *state;
    uint64_t before = m->store->revision;
    struct provider_state got = {.has = 0};
    struct seal_place place;
    struct slice opened = {NULL, 0};
    char text[LIMIT_SECRET];

    provider(m, true,
             "{\"name\":\"team\",\"kind\":\"openai\",\"api_keys\":[\"" KEY "\",\"${TEAM_KEY}\"],\"idle_ms\":500}");
    assert_int_equal(told(m, before, &provider_state_desc, &got), 1);
    assert_int_equal(got.keys.n, 2);
    assert_int_equal(got.provider.items[0].idle_ms, 500);
    assert_true(slice_is(got.provider.items[0].keys.items[0].hint, "\xe2\x80\xa6"
                                                                   "0001"));
    assert_true(slice_is(got.keys.items[1].env, "TEAM_KEY"));
    assert_int_equal(got.keys.items[1].sealed.n, 0);
    place = (struct seal_place){slice_of("team"), got.keys.items[0].id};
    assert_int_equal(seal_open(&m->store->seal, &place, got.keys.items[0].sealed, text, &opened, NULL), ST_OK);
    assert_true(slice_is(opened, KEY));
    assert_int_equal(told(m, 0, &provider_state_desc, &got), 1); /* the snapshot has it, too */
    assert_int_equal(meter_number(m, "SELECT count(*) FROM provider_key WHERE instr(sealed, CAST('" KEY "' AS BLOB))"),
                     0);
}

static void one_that_is_gone_is_told_and_not_in_a_snapshot(void **state)
{
    struct provider_drop_req drop = {.actor_id = slice_of("usr_t"), .name = slice_of("team")};
    struct meter *m = *state;
    struct empty done = {0};
    struct provider_state got = {.has = 0};
    uint64_t before;

    provider(m, true, "{\"name\":\"team\",\"kind\":\"openai\",\"api_keys\":[\"" KEY "\"]}");
    before = m->store->revision;
    METER_OK(m, op_provider_drop, &drop, &done);
    assert_int_equal(done.revision, before + 1);
    assert_int_equal(told(m, before, &provider_state_desc, &got), 1);
    assert_true(slice_is(got.provider.items[0].name, "team"));
    assert_int_equal(got.provider.items[0].kind.n, 0);
    assert_int_equal(got.keys.n, 0);
    assert_int_equal(told(m, 0, &provider_state_desc, &got), 0);
    assert_int_equal(meter_run(m, op_provider_drop, &drop, &done), ST_NOT_FOUND);
    provider(m, true, "{\"name\":\"team\",\"kind\":\"echo\"}");
    assert_int_equal(told(m, 0, &provider_state_desc, &got), 1);
    assert_int_equal(got.keys.n, 0);
}

static void what_changes_nothing_is_no_change(void **state)
{
    struct meter *m = *state;
    struct provider_rep rep;
    uint64_t before;

    provider(m, true, "{\"name\":\"team\",\"kind\":\"openai\",\"api_keys\":[\"" KEY "\"]}");
    before = m->store->revision;
    meter_must(m,
               put_provider(m, false,
                            "{\"name\":\"team\",\"kind\":\"openai\",\"api_keys\":[\"" KEY "\"],\"idle_ms\":0}", &rep),
               "put");
    assert_int_equal(rep.revision, 0);
    assert_int_equal(m->store->revision, before);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM audit"), 1);
}

static void keys_that_stay_keep_their_ids(void **state)
{
    struct meter *m = *state;
    struct catalog_provider one =
        provider(m, true, "{\"name\":\"p\",\"kind\":\"openai\",\"api_keys\":[\"" KEY "\",\"${A}\"]}");
    struct catalog_provider two = provider(m, false, "{\"name\":\"p\",\"api_keys\":[\"${A}\",\"sk-new\",\"" KEY "\"]}");
    struct catalog_provider none = provider(m, false, "{\"name\":\"p\",\"api_keys\":[]}");

    assert_true(slice_eq(one.keys.items[0].id, two.keys.items[2].id));
    assert_true(slice_eq(one.keys.items[1].id, two.keys.items[0].id));
    assert_true(slice_is(two.keys.items[1].hint, "\xe2\x80\xa6")); /* too short to show any of it */
    assert_int_equal(none.keys.n, 0);
}

static void a_key_needs_a_master_key_but_a_reference_does_not(void **state)
{
    struct meter *m = *state;
    struct provider_rep rep;

    seal_key_fini(&m->store->seal);
    assert_int_equal(put_provider(m, true, "{\"name\":\"p\",\"kind\":\"openai\",\"api_keys\":[\"" KEY "\"]}", &rep),
                     ST_BAD_REQUEST);
    assert_string_equal(m->err.code, "master_key_missing");
    assert_int_equal(meter_number(m, "SELECT count(*) FROM provider_def"), 0);
    provider(m, true, "{\"name\":\"p\",\"kind\":\"openai\",\"api_keys\":[\"${A}\"]}");
}

static void a_row_cannot_take_anothers_key(void **state)
{
    struct meter *m = *state;
    struct provider_state got = {.has = 0};
    struct seal_place place;
    struct slice opened = {NULL, 0};
    char text[LIMIT_SECRET];

    provider(m, true, "{\"name\":\"a\",\"kind\":\"openai\",\"api_keys\":[\"" KEY "\"]}");
    provider(m, true,
             "{\"name\":\"b\",\"kind\":\"openai\",\"base_url\":\"https://evil.example\",\"api_keys\":[\"sk-other\"]}");
    meter_sql(
        m,
        "UPDATE provider_key SET sealed = (SELECT sealed FROM provider_key WHERE provider = 'a') WHERE provider = 'b'");
    told(m, 0, &provider_state_desc, &got);
    assert_true(slice_is(got.provider.items[0].name, "b"));
    place = (struct seal_place){slice_of("b"), got.keys.items[0].id};
    assert_int_equal(seal_open(&m->store->seal, &place, got.keys.items[0].sealed, text, &opened, NULL), ST_FORBIDDEN);
}

/* ---- models --------------------------------------------------------------------------------------------------------
 */

#define ROUTES "\"routes\":[{\"provider\":\"echo\",\"model\":\"echo\"}]"

static void a_model_is_told_with_aliases_and_routes(void **state)
{
    struct model_drop_req drop = {.actor_id = slice_of("usr_t"), .name = slice_of("org/m:1")};
    struct meter *m = *state;
    uint64_t before = m->store->revision;
    struct catalog_model got = {.has = 0};
    struct empty done = {0};

    model(m, true,
          "{\"name\":\"org/"
          "m:1\",\"aliases\":[\"a\",\"b\"],\"routes\":[{\"provider\":\"openai\",\"model\":\"x\",\"weight\":7},"
          "{\"provider\":\"echo\",\"model\":\"echo\",\"tier\":2}],\"price\":{\"input\":\"1\",\"output\":\"2\"}}");
    assert_int_equal(told(m, before, &catalog_model_desc, &got), 1);
    assert_int_equal(got.aliases.n, 2);
    assert_int_equal(got.routes.n, 2);
    assert_true(got.routes.items && got.routes.items[0].weight == 7 && got.routes.items[1].tier == 2);
    assert_true(got.own_price);
    assert_int_equal(got.price.n, 0); /* prices are told as prices */
    assert_int_equal(
        meter_number(m, "SELECT count(*) FROM price WHERE model = 'org/m:1' AND in_force = 1 AND provider = ''"), 1);
    before = m->store->revision;
    METER_OK(m, op_model_drop, &drop, &done);
    assert_int_equal(told(m, before, &catalog_model_desc, &got), 1);
    assert_int_equal(got.routes.n, 0);
    assert_int_equal(told(m, 0, &catalog_model_desc, &got), 0);
    model(m, true, "{\"name\":\"a\"," ROUTES "}"); /* its aliases are free */
}

static void the_same_price_makes_no_version(void **state)
{
    struct meter *m = *state;
    struct model_rep rep;

    model(m, true, "{\"name\":\"m\"," ROUTES ",\"price\":{\"input\":\"1\",\"cached_input\":\"0\",\"output\":\"2\"}}");
    meter_must(m,
               put_model(m, false,
                         "{\"name\":\"m\",\"price\":{\"input\":\"1.0\",\"cached_input\":\"0\",\"output\":\"2\"}}",
                         &rep),
               "same");
    assert_int_equal(rep.revision, 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE model = 'm'"), 1);
    model(m, false, "{\"name\":\"m\",\"price\":{\"input\":\"1\",\"output\":\"2\"}}"); /* cached as input, not free */
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE model = 'm'"), 2);
}

static void a_wrong_model_leaves_no_price_behind(void **state)
{
    struct meter *m = *state;
    struct model_rep rep;

    assert_int_equal(put_model(m, true,
                               "{\"name\":\"m\",\"routes\":[{\"provider\":\"nobody\",\"model\":\"x\"}],\"price\":{"
                               "\"input\":\"1\",\"output\":\"2\"}}",
                               &rep),
                     ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "routes[0].provider");
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE model = 'm'"), 0);
    assert_int_equal(put_model(m, true, "{\"name\":\"m\"," ROUTES ",\"price\":{\"input\":\"1\"}}", &rep),
                     ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "price.output");
    assert_int_equal(put_model(m, false, "{\"name\":\"m\"}", &rep), ST_NOT_FOUND);
    model(m, true, "{\"name\":\"m\"," ROUTES "}");
    assert_int_equal(put_model(m, true, "{\"name\":\"m\"," ROUTES "}", &rep), ST_CONFLICT);
}

static void a_provider_in_use_stays(void **state)
{
    struct provider_drop_req drop = {.actor_id = slice_of("usr_t"), .name = slice_of("mine")};
    struct meter *m = *state;
    struct empty done = {0};

    provider(m, true, "{\"name\":\"mine\",\"kind\":\"openai\"}");
    model(m, true, "{\"name\":\"m\",\"routes\":[{\"provider\":\"mine\",\"model\":\"x\"}]}");
    assert_int_equal(meter_run(m, op_provider_drop, &drop, &done), ST_CONFLICT);
    assert_non_null(strstr(m->err.text, "'m'"));
    provider(m, true, "{\"name\":\"openai\",\"kind\":\"openai\",\"base_url\":\"https://proxy.example/v1\"}");
    model(m, true, "{\"name\":\"n\",\"routes\":[{\"provider\":\"openai\",\"model\":\"x\"}]}");
    drop.name = slice_of("openai"); /* what is built in is there without it */
    METER_OK(m, op_provider_drop, &drop, &done);
}

/* ---- addresses -----------------------------------------------------------------------------------------------------
 */

static void addresses_are_looked_at(void **state)
{
    static const struct {
        const char *url;
        bool ok;
    } rows[] = {{"https://api.example.com/v1", true},
                {"http://127.0.0.1:8080", true},
                {"http://[::1]:8080/v1", true},
                {"https://host_with.under-score/", true},
                {"HTTPS://api.example.com", false},
                {"https:/api.example.com", false},
                {"https://", false},
                {"https:///v1", false},
                {"https://:80", false},
                {"https://h:", false},
                {"https://h:0", false},
                {"https://h:65536", false},
                {"https://h:8a", false},
                {"https://[::1", false},
                {"https://[]", false},
                {"https://[g]", false},
                {"https://[::1]x", false},
                {"https://a@b", false},
                {"https://a:b@c/", false},
                {"https://h/?q", false},
                {"https://h/#f", false},
                {"https://h/a b", false},
                {"https://h/\\evil", false},
                {"https://h/${X}", false},
                {"https://h\xc3\xa9", false},
                {"file:///etc/passwd", false},
                {"gopher://h", false}};
    struct meter *m = *state;
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct work w = {.s = m->store, .a = &m->arena, .err = &m->err};
        struct catalog_provider p = {
            .name = slice_of("p"), .kind = slice_of("openai"), .base_url = slice_of(rows[i].url)};
        enum status st = catalog_check_provider(&w, &p);

        if ((st == ST_OK) != rows[i].ok)
            fail_msg("%s: %s", rows[i].url, st == ST_OK ? "accepted" : m->err.text);
    }
}

/* ---- files ---------------------------------------------------------------------------------------------------------
 */

#define FILE_TEXT "providers:\n  - {name: p, kind: openai, api_keys: [" KEY "], idle_ms: 1}\n"

static void a_dry_run_changes_nothing_and_says_the_same(void **state)
{
    static const char text[] =
        "providers:\n  - {name: p, kind: openai, api_keys: [" KEY "]}\n"
        "models:\n  - {name: m, routes: [{provider: p, model: x}], price: {input: 1, output: 2}}\n";
    struct meter *m = *state;
    uint64_t before = m->store->revision;
    struct config_apply_rep dry, done;

    meter_must(m, config(m, text, true, false, &dry), "dry");
    assert_int_equal(dry.data.n, 2);
    assert_true(slice_is(dry.data.items[0].action, "added"));
    assert_int_equal(dry.revision, 0);
    assert_int_equal(m->store->revision, before);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM provider_def"), 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM price WHERE model = 'm'"), 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM audit"), 0);
    meter_must(m, config(m, text, false, false, &done), "apply");
    assert_int_equal(done.data.n, 2);
    assert_int_equal(done.revision, m->store->revision);
    meter_must(m, config(m, text, false, true, &done), "again");
    assert_true(slice_is(done.data.items[0].action, "unchanged"));
    assert_true(slice_is(done.data.items[1].action, "unchanged"));
    meter_must(m, config(m, "models: []\n", false, true, &done), "prune");
    assert_int_equal(done.data.n, 2);
    assert_true(slice_is(done.data.items[0].object, "model")); /* first, or its provider would be in use */
    assert_true(slice_is(done.data.items[1].action, "removed"));
}

static void a_start_leaves_alone_what_the_api_changed(void **state)
{
    struct meter *m = *state;
    struct provider_list_req all = {.limit = 0};
    struct provider_list_rep rep = {0};
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/admin_password", m->folder); /* a name that the fixture removes */
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("providers:\n  - {name: a, kind: openai, timeouts: {idle_ms: 500}}\n  - {name: b, kind: openai}\n", f);
    assert_int_equal(fclose(f), 0);
    provider(m, true, "{\"name\":\"a\",\"kind\":\"openai\",\"idle_ms\":900}");
    meter_must(m, config_seed(m->store, path, NULL, &m->err), "seed");
    METER_OK(m, op_provider_list, &all, &rep);
    assert_int_equal(rep.data.n, 2);
    assert_int_equal(rep.data.items[0].idle_ms, 900);
    assert_true(slice_is(rep.data.items[0].source, "api"));
    assert_true(slice_is(rep.data.items[1].source, "config"));
    assert_int_equal(meter_number(m, "SELECT count(*) FROM audit WHERE actor = ''"), 1);
    assert_int_equal(config_seed(m->store, "/no/such/file", NULL, &m->err), ST_BAD_REQUEST);
    assert_non_null(strstr(m->err.text, "CONFIG: cannot read /no/such/file"));
}

static void seed(struct meter *m, const char *text, enum status expected)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/admin_password", m->folder); /* a name that the fixture removes */
    f = fopen(path, "w");
    if (!f) {
        fail();
        return;
    }
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    memset(&m->err, 0, sizeof(m->err));
    assert_int_equal(config_seed(m->store, path, NULL, &m->err), expected);
}

static void a_model_that_was_renamed_in_the_file_is_renamed(void **state)
{
    struct meter *m = *state;

    seed(m, "models:\n  - {name: chat, aliases: [default], routes: [{provider: echo, model: echo}]}\n", ST_OK);
    seed(m, "models:\n  - {name: team, aliases: [chat, default], routes: [{provider: echo, model: echo}]}\n", ST_OK);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM model_def WHERE gone = 0"), 1);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM model_alias WHERE model = 'team'"), 2);
}

static void what_the_api_gave_away_does_not_stop_a_start(void **state)
{
    static const char text[] = "models:\n  - {name: one, aliases: [chat], routes: [{provider: echo, model: echo}]}\n"
                               "  - {name: two, routes: [{provider: echo, model: echo}]}\n";
    struct meter *m = *state;
    struct config_apply_rep rep;

    model(m, true, "{\"name\":\"mine\",\"aliases\":[\"chat\"]," ROUTES "}");
    seed(m, text, ST_OK);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM model_def WHERE name = 'one'"), 0);
    assert_int_equal(meter_number(m, "SELECT count(*) FROM model_def WHERE name = 'two'"), 1);
    assert_int_equal(config(m, text, false, false, &rep), ST_BAD_REQUEST); /* an administrator is told */
    assert_string_equal(m->err.code, CATALOG_NAME_TAKEN);
    seed(m,
         "models:\n  - {name: a, aliases: [x], routes: [{provider: echo, model: e}]}\n"
         "  - {name: b, aliases: [x], routes: [{provider: echo, model: e}]}\n",
         ST_BAD_REQUEST); /* a mistake of the file itself */
}

static void a_mistake_in_a_file_is_said_with_its_place(void **state)
{
    static const struct {
        const char *text, *words, *param;
    } rows[] = {{FILE_TEXT, "unknown member 'idle_ms'", "providers[0]"},
                {"providers:\n  - {name: a}\n", "providers[0] (a): Invalid 'kind'", "providers[0].kind"},
                {"providers:\n  - {kind: echo}\n", "providers[0] (): Invalid 'name'", "providers[0].name"},
                {"models:\n  - {name: x, aliases: [x], routes: [{provider: echo, model: e}]}\n",
                 "models[0] (x): Invalid 'aliases[0]'", "models[0].aliases[0]"},
                {"models:\n  - {name: x}\n", "models[0] (x): Invalid 'routes'", "models[0].routes"}};
    struct meter *m = *state;
    struct config_apply_rep rep;
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(config(m, rows[i].text, false, false, &rep), ST_BAD_REQUEST);
        if (!strstr(m->err.text, rows[i].words) || strcmp(m->err.param, rows[i].param) != 0)
            fail_msg("%s: %s (%s)", rows[i].text, m->err.text, m->err.param);
    }
    assert_int_equal(meter_number(m, "SELECT count(*) FROM provider_def"), 0);
}

static void records_fit_at_their_largest(void **state)
{
    struct meter *m = *state;
    struct slice keys[LIMIT_UPSTREAM_KEYS], drops[LIMIT_MODELS];
    struct provider_put_req req = {.actor_id = slice_of("usr_t"), .create = true, .kind = slice_of("azure")};
    char url[LIMIT_URL], name[LIMIT_NAME], params[LIMIT_MODELS][65];
    struct provider_rep rep = {0};
    struct provider_state got = {.has = 0};
    size_t i;

    for (i = 0; i < LIMIT_UPSTREAM_KEYS; i++) {
        char *text = arena_alloc(&m->arena, LIMIT_SECRET + 1);

        memset(text, 'k', LIMIT_SECRET);
        snprintf(text, 8, "key%02zu--", i);
        text[7] = 'x';
        keys[i] = (struct slice){text, LIMIT_SECRET};
    }
    for (i = 0; i < LIMIT_MODELS; i++) {
        snprintf(params[i], sizeof(params[i]), "%064zu", i);
        drops[i] = slice_of(params[i]);
    }
    memset(name, 'n', sizeof(name));
    memset(url, 'u', sizeof(url));
    memcpy(url, "https://u/", 10);
    req.name = (struct slice){name, sizeof(name)};
    req.base_url = (struct slice){url, sizeof(url)};
    req.api_keys = (struct wire_strs){keys, LIMIT_UPSTREAM_KEYS};
    req.drop_params = (struct wire_strs){drops, LIMIT_MODELS};
    req.has = UINT64_C(1) << 4 | UINT64_C(1) << 5 | UINT64_C(1) << 14 | UINT64_C(1) << 15;
    METER_OK(m, op_provider_put, &req, &rep);
    assert_int_equal(told(m, 0, &provider_state_desc, &got), 1);
    assert_int_equal(got.keys.n, LIMIT_UPSTREAM_KEYS);
}

/* As many as a providersvc serves; those that are there can be changed, and one that goes makes room. */
static void there_are_no_more_providers_than_are_served(void **state)
{
    static const char more[] = "{\"name\":\"more\",\"kind\":\"echo\"}";
    struct provider_drop_req drop = {.actor_id = slice_of("usr_t"), .name = slice_of("p0")};
    struct meter *m = *state;
    struct provider_rep rep;
    struct empty done;
    char json[64];

    for (unsigned i = 0; i < LIMIT_PROVIDERS; i++) {
        (void)snprintf(json, sizeof(json), "{\"name\":\"p%u\",\"kind\":\"echo\"}", i);
        (void)provider(m, true, json);
    }
    assert_int_equal(put_provider(m, true, more, &rep), ST_BAD_REQUEST);
    assert_string_equal(m->err.param, "name");
    assert_non_null(strstr(m->err.text, "at most 100 providers"));
    (void)provider(m, false, "{\"name\":\"p7\",\"idle_ms\":500}");
    METER_OK(m, op_provider_drop, &drop, &done);
    (void)provider(m, true, more);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, meter_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_provider_is_told_with_its_sealed_keys),
        T(one_that_is_gone_is_told_and_not_in_a_snapshot),
        T(what_changes_nothing_is_no_change),
        T(keys_that_stay_keep_their_ids),
        T(a_key_needs_a_master_key_but_a_reference_does_not),
        T(a_row_cannot_take_anothers_key),
        T(a_model_is_told_with_aliases_and_routes),
        T(the_same_price_makes_no_version),
        T(a_wrong_model_leaves_no_price_behind),
        T(a_provider_in_use_stays),
        T(addresses_are_looked_at),
        T(a_dry_run_changes_nothing_and_says_the_same),
        T(a_start_leaves_alone_what_the_api_changed),
        T(a_model_that_was_renamed_in_the_file_is_renamed),
        T(what_the_api_gave_away_does_not_stop_a_start),
        T(a_mistake_in_a_file_is_said_with_its_place),
        T(records_fit_at_their_largest),
        T(there_are_no_more_providers_than_are_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
