/* What a service sees of attacks reaches a real meterd once, however hostile the client and however often meterd is
 * away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "services/clock.h"
#include "services/ids.h"
#include "services/sightings.h"

#define CALL_MS 8000
#define DIR_TEMPLATE "/tmp/test_sightings.XXXXXX"
#define DIR_SIZE sizeof(DIR_TEMPLATE)

struct world {
    char dir[DIR_SIZE];
    struct settings settings;
    struct svc *meterd, *service;
    struct sightings *s;
    struct xchg_client *meter;
    struct arena arena;
    struct err err;
};

static const struct svc_def service_def = {
    .name = "service", .settings = SET_A, .state_size = 1, .self = SVC_PEERS, .peers = 1u << SVC_METERD};

static char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void start_meterd(struct world *w)
{
    if (svc_start(&meterd_def, &w->settings, &w->meterd, &w->err) != ST_OK)
        fail_msg("%s", w->err.text);
}

static void stop_meterd(struct world *w)
{
    svc_drain(w->meterd, 5000);
    svc_stop(w->meterd);
    w->meterd = NULL;
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct xchg_client_options meter = {.url = "inproc://ts-meterd", .instance = id_number()};
    struct settings *s = &w->settings;
    char path[DIR_SIZE + 16];

    assert_true(sodium_init() >= 0);
    memcpy(w->dir, DIR_TEMPLATE, DIR_SIZE);
    assert_non_null(mkdtemp(w->dir));
    arena_init(&w->arena, 4 << 20);
    assert_int_equal(settings_load(s, SET_L, no_env, NULL), ST_OK);
    snprintf(path, sizeof(path), "%s/app.db", w->dir);
    settings_set(&s->db_path, path);
    settings_set(&s->log_level, "error");
    settings_set(&s->admin_password, "correct horse battery");
    settings_set(&s->meterd_url, "inproc://ts-meterd");
    settings_set(&s->meterd_feed_url, "inproc://ts-meterd-feed");
    settings_set(&s->meterd_events_url, "inproc://ts-meterd-events");
    start_meterd(w);
    assert_int_equal(svc_start(&service_def, s, &w->service, &w->err), ST_OK);
    assert_int_equal(xchg_client_new(&meter, &w->meter, NULL), ST_OK);
    assert_int_equal(sightings_new(w->service, &w->s, &w->err), ST_OK);
    *state = w;
    return 0;
}

static int stop(void **state)
{
    static const char *const names[] = {"app.db", "app.db-wal", "app.db-shm", "app.db.lock", "admin_password"};
    struct world *w = *state;
    char path[DIR_SIZE + 32];
    size_t i;

    sightings_free(w->s);
    xchg_client_free(w->meter);
    svc_stop(w->service);
    stop_meterd(w);
    settings_fini(&w->settings);
    arena_fini(&w->arena);
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        unlink(path);
    }
    rmdir(w->dir);
    free(w);
    return 0;
}

static void see(struct world *w, enum security_kind kind, const char *subject, const char *address)
{
    sightings_note(w->s, &(struct sighting){kind, slice_of(subject), slice_of(address), 0});
}

static struct security_list_rep told(struct world *w)
{
    struct security_list_req req = {.limit = LIMIT_PAGE};
    struct security_list_rep rep = {0};

    sightings_flush(w->s, CALL_MS);
    arena_reset(&w->arena);
    if (call_wait(w->meter, &security_list_req_desc, &req, &security_list_rep_desc, &rep, &w->arena, CALL_MS,
                  &w->err) != ST_OK)
        fail_msg("%s", w->err.text);
    return rep;
}

static void the_same_is_counted_and_told_once(void **state)
{
    struct world *w = *state;
    struct security_list_rep rep;
    int i;

    for (i = 0; i < 30; i++)
        see(w, SECURITY_LOGIN_FAILED, "a@x.test", "192.0.2.1");
    see(w, SECURITY_LOGIN_FAILED, "a@x.test", "192.0.2.2");
    rep = told(w);
    assert_int_equal(rep.data.n, 2);
    assert_int_equal(rep.data.items[1].count, 30);
    assert_true(slice_is(rep.data.items[1].address, "192.0.2.1"));
    rep = told(w);
    assert_int_equal(rep.data.items[1].count, 30);
    see(w, SECURITY_LOGIN_FAILED, "a@x.test", "192.0.2.1");
    assert_int_equal(told(w).data.items[1].count, 31);
}

static void an_ipv6_client_is_its_network(void **state)
{
    struct world *w = *state;
    struct security_list_rep rep;

    see(w, SECURITY_LOGIN_FAILED, "a", "2001:db8::1");
    see(w, SECURITY_LOGIN_FAILED, "a", "2001:db8::ffff:1");
    see(w, SECURITY_LOGIN_FAILED, "a", "::ffff:192.0.2.1");
    see(w, SECURITY_LOGIN_FAILED, "a", "nonsense\r\n");
    rep = told(w);
    assert_int_equal(rep.data.n, 3);
    assert_int_equal(rep.data.items[2].count, 2);
    assert_true(slice_is(rep.data.items[2].address, "2001:db8::/64"));
    assert_true(slice_is(rep.data.items[1].address, "192.0.2.1"));
    assert_int_equal(rep.data.items[0].address.n, 0);
}

static void a_million_addresses_take_the_room_of_a_few(void **state)
{
    struct world *w = *state;
    struct security_list_rep rep;
    uint64_t all = 0;
    char address[32];
    size_t i;

    for (i = 0; i < 1000000; i++) {
        snprintf(address, sizeof(address), "10.%u.%u.%u", (unsigned)(i >> 16), (unsigned)(i >> 8) & 255,
                 (unsigned)i & 255);
        see(w, SECURITY_HOSTILE_REQUEST, "why", address);
    }
    see(w, SECURITY_ADMIN_DENIED, "usr_1", "192.0.2.1"); /* another kind has its own room */
    rep = told(w);
    assert_int_equal(rep.data.n, SIGHTINGS_ROWS + 2);
    assert_true(slice_is(rep.data.items[0].kind, "hostile_request"));
    for (i = 0; i < rep.data.n; i++) {
        bool others = slice_is(rep.data.items[i].subject, SECURITY_OTHERS);

        if (slice_is(rep.data.items[i].kind, "hostile_request"))
            all += rep.data.items[i].count;
        assert_true(!others || rep.data.items[i].address.n == 0);
    }
    assert_int_equal(all, 1000000);
}

static void what_is_too_long_is_cut(void **state)
{
    struct world *w = *state;
    char subject[LIMIT_EMAIL + 100];

    memset(subject, 'a', sizeof(subject) - 1);
    subject[sizeof(subject) - 1] = '\0';
    see(w, SECURITY_LOGIN_FAILED, subject, "192.0.2.1");
    assert_int_equal(told(w).data.items[0].subject.n, LIMIT_EMAIL);
}

static void guess(struct world *w, const char *address, uint64_t what)
{
    sightings_note(w->s, &(struct sighting){SECURITY_KEY_GUESSING, {NULL, 0}, slice_of(address), what});
}

static void a_wrong_key_is_no_guessing_and_many_are(void **state)
{
    struct world *w = *state;
    struct security_list_rep rep;
    uint64_t i;

    for (i = 0; i < 1000; i++)
        guess(w, "192.0.2.1", 7); /* somebody's program, with one wrong key */
    for (i = 1; i < SIGHTINGS_GUESSES; i++)
        guess(w, "192.0.2.2", i);
    assert_int_equal(told(w).data.n, 0);
    guess(w, "192.0.2.2", 100);
    rep = told(w);
    assert_int_equal(rep.data.n, 1);
    assert_int_equal(rep.data.items[0].count, SIGHTINGS_GUESSES);
    assert_true(slice_is(rep.data.items[0].address, "192.0.2.2"));
}

static void what_is_seen_while_meterd_is_away_is_told_later_and_once(void **state)
{
    struct world *w = *state;
    struct security_list_rep rep;

    see(w, SECURITY_LOGIN_FAILED, "a", "192.0.2.1");
    stop_meterd(w);
    sightings_flush(w->s, 300); /* a batch that nobody takes */
    see(w, SECURITY_LOGIN_FAILED, "a", "192.0.2.1");
    see(w, SECURITY_LOGIN_FAILED, "b", "192.0.2.1");
    start_meterd(w);
    sightings_flush(w->s, CALL_MS); /* it ends … */
    sightings_flush(w->s, CALL_MS); /* … and is sent again … */
    rep = told(w); /* … and what came meanwhile after it */
    assert_int_equal(rep.data.n, 2);
    assert_true(slice_is(rep.data.items[0].subject, "b"));
    assert_int_equal(rep.data.items[0].count, 1);
    assert_int_equal(rep.data.items[1].count, 2);
}

static void one_batch_a_second(void **state)
{
    struct world *w = *state;
    uint64_t began = clock_ms();
    struct security_list_req req = {.limit = 10};
    struct security_list_rep rep = {0};

    told(w);
    see(w, SECURITY_LOGIN_FAILED, "a", "192.0.2.1");
    while (rep.data.n == 0 && clock_ms() - began < CALL_MS) {
        sightings_tick(w->s);
        usleep(10000);
        call_wait(w->meter, &security_list_req_desc, &req, &security_list_rep_desc, &rep, &w->arena, CALL_MS, &w->err);
    }
    assert_int_equal(rep.data.n, 1);
    assert_true(clock_ms() - began >= SIGHTINGS_SEND_MS - 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_is_counted_and_told_once, start, stop),
        cmocka_unit_test_setup_teardown(an_ipv6_client_is_its_network, start, stop),
        cmocka_unit_test_setup_teardown(a_million_addresses_take_the_room_of_a_few, start, stop),
        cmocka_unit_test_setup_teardown(what_is_too_long_is_cut, start, stop),
        cmocka_unit_test_setup_teardown(a_wrong_key_is_no_guessing_and_many_are, start, stop),
        cmocka_unit_test_setup_teardown(what_is_seen_while_meterd_is_away_is_told_later_and_once, start, stop),
        cmocka_unit_test_setup_teardown(one_batch_a_second, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
