#include "tests/unit/routing_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "services/svc.h"
#include "tests/lib/slow.h"

#define CALL_MS 20000
#define HANG_MS 20000

/* ---- upstreams -----------------------------------------------------------------------------------------------------
 */

static bool send_text(int fd, const char *text)
{
    return text == NULL || tiny_send(fd, text, strlen(text));
}

static bool chunk(int fd, const char *name, const char *delta, const char *finish)
{
    char text[256];

    snprintf(text, sizeof(text),
             "data: {\"id\":\"%s\",\"choices\":[{\"index\":0,\"delta\":{%s},\"finish_reason\":%s}]}\n\n", name, delta,
             finish);
    return tiny_sse(fd, text);
}

static bool token(int fd, const char *name)
{
    char delta[64];

    snprintf(delta, sizeof(delta), "\"content\":\"from %s\"", name);
    return chunk(fd, name, delta, "null");
}

static bool end_stream(int fd, const char *name)
{
    return chunk(fd, name, "", "\"stop\"") &&
           tiny_sse(fd, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\n") &&
           tiny_sse(fd, "data: [DONE]\n\n") && tiny_sse_end(fd);
}

static bool stream(int fd, struct side *s)
{
    bool ok = tiny_sse_head(fd);

    if (atomic_load(&s->does) == DOES_EVENTS)
        return ok && tiny_sse(fd, atomic_load(&s->text)) && tiny_sse_end(fd);
    ok = ok && chunk(fd, s->name, "\"role\":\"assistant\",\"content\":\"\"", "null");
    if (atomic_load(&s->does) == DOES_SLOW_TOKEN && tiny_wait_gone(fd, atomic_load(&s->delay_ms)))
        return false;
    ok = ok && token(fd, s->name);
    if (atomic_load(&s->does) == DOES_STALL)
        (void)tiny_wait_gone(fd, HANG_MS);
    return ok && end_stream(fd, s->name);
}

static bool answer(int fd, struct side *s, const struct tiny_request *r)
{
    char body[512];

    if (atomic_load(&s->does) == DOES_ANSWER && atomic_load(&s->delay_ms) > 0 &&
        tiny_wait_gone(fd, atomic_load(&s->delay_ms)))
        return false;
    if (strstr(r->body, "\"stream\":true") != NULL)
        return stream(fd, s);
    snprintf(body, sizeof(body),
             "{\"id\":\"x\",\"object\":\"chat.completion\",\"service_tier\":\"flex\",\"choices\":[{\"index\":0,"
             "\"message\":{\"role\":"
             "\"assistant\",\"content\":\"from %s\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,"
             "\"completion_tokens\":2}}",
             s->name);
    return tiny_answer(fd, 200, "application/json", body);
}

static bool refuse(int fd, struct side *s, const struct tiny_request *r)
{
    const char *text = atomic_load(&s->text), *lines = atomic_load(&s->lines), *post = atomic_load(&s->post_text);
    int status = atomic_load(&s->status);
    char head[1024];

    if (post != NULL && strncmp(r->head, "POST ", 5) == 0) {
        text = post;
        status = atomic_load(&s->post_status);
    }
    if (text == NULL)
        text = "{\"error\":{\"message\":\"told to\",\"type\":\"server_error\"}}";
    snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
             status, lines != NULL ? lines : "", strlen(text));
    return send_text(fd, head) && send_text(fd, text);
}

static bool with_key(const struct tiny_request *r, const char *key)
{
    char line[64];

    snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", key);
    return memmem(r->head, r->head_n, line, strlen(line)) != NULL;
}

static void count_key(struct side *s, const struct tiny_request *r)
{
    for (unsigned i = 1; i <= ROUTING_KEYS; i++) {
        char key[16];

        snprintf(key, sizeof(key), "sk-%u", i);
        if (with_key(r, key)) {
            atomic_fetch_add(&s->by_key[i], 1);
            return;
        }
    }
    atomic_fetch_add(&s->by_key[0], 1);
}

static enum tiny_next script(int fd, const struct tiny_request *r, void *ctx)
{
    struct side *s = ctx;
    const char *bad = atomic_load(&s->bad_key);

    count_key(s, r);
    if (bad != NULL && with_key(r, bad))
        return refuse(fd, s, r) ? TINY_KEEP : TINY_CLOSE;
    switch ((enum does)atomic_load(&s->does)) {
    case DOES_STATUS: return refuse(fd, s, r) ? TINY_KEEP : TINY_CLOSE;
    case DOES_HANG: (void)tiny_wait_gone(fd, HANG_MS); return TINY_CLOSE;
    case DOES_RAW: (void)send_text(fd, atomic_load(&s->text)); return TINY_CLOSE;
    default: return answer(fd, s, r) ? TINY_KEEP : TINY_CLOSE;
    }
}

/* ---- the world -----------------------------------------------------------------------------------------------------
 */

int routing_setup(void **state)
{
    struct routing *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return -1;
    for (unsigned i = 1; i <= ROUTING_KEYS; i++) {
        char name[32], key[16];

        snprintf(name, sizeof(name), "ROUTING_KEY_%u", i);
        snprintf(key, sizeof(key), "sk-%u", i);
        if (setenv(name, key, 1) != 0) {
            free(r);
            return -1;
        }
    }
    for (unsigned i = 0; i < ROUTING_SIDES; i++) {
        r->sides[i].name[0] = (char)('a' + i);
        atomic_init(&r->sides[i].status, 500);
        r->sides[i].tiny = tiny_start(script, &r->sides[i]);
    }
    provider_world_start(&r->w, NULL, NULL);
    if (settings_set(&r->w.settings.master_key, ROUTING_MASTER) != ST_OK)
        return -1;
    provider_world_service(&r->w, &providersvc_def);
    *state = r;
    return 0;
}

int routing_teardown(void **state)
{
    struct routing *r = *state;

    provider_world_stop(&r->w);
    for (unsigned i = 0; i < ROUTING_SIDES; i++)
        tiny_stop(r->sides[i].tiny);
    free(r);
    return 0;
}

void routing_wait(struct routing *r, uint64_t revision)
{
    uint64_t until = clock_ms() + slow_ms(15000);

    while (svc_revision(r->w.svc) < revision && clock_ms() < until)
        usleep(1000);
    assert_true(svc_revision(r->w.svc) >= revision);
}

void routing_put_state(struct routing *r, const struct provider_state *state)
{
    routing_wait(r, meter_fake_provider(r->w.meter, state));
}

void routing_put(struct routing *r, unsigned side, unsigned n_keys, const struct catalog_provider *more)
{
    static const char *const ids[] = {"ukey_1", "ukey_2", "ukey_3", "ukey_4"};
    struct catalog_provider def = more != NULL ? *more : (struct catalog_provider){.has = 0};
    struct upstream_key keys[ROUTING_KEYS];
    struct sealed_key sealed[ROUTING_KEYS];
    char names[ROUTING_KEYS][32], url[64];
    struct provider_state state = {.provider = {&def, 1}, .keys = {sealed, n_keys}};

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1", tiny_port(r->sides[side].tiny));
    def.name = slice_of(r->sides[side].name);
    if (def.kind.n == 0)
        def.kind = slice_of("openai");
    if (def.base_url.n == 0)
        def.base_url = slice_of(url);
    for (unsigned i = 0; i < n_keys; i++) {
        snprintf(names[i], sizeof(names[i]), "ROUTING_KEY_%u", i + 1);
        keys[i] = (struct upstream_key){.id = slice_of(ids[i]), .hint = slice_of("${…}")};
        sealed[i] = (struct sealed_key){.id = slice_of(ids[i]), .env = slice_of(names[i])};
    }
    def.keys.items = keys;
    def.keys.n = n_keys;
    routing_put_state(r, &state);
}

void routing_drop(struct routing *r, unsigned side)
{
    struct catalog_provider def = {.name = slice_of(r->sides[side].name), .kind = slice_of("")};

    routing_put_state(r, &(struct provider_state){.provider = {&def, 1}});
}

/* ---- calls ---------------------------------------------------------------------------------------------------------
 */

void routing_request(struct routing *r, struct completion_req *req, const char *names, bool stream)
{
    static const struct price price = {.id = 7};

    provider_world_request(
        &r->w, req, "",
        stream ? "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
               : "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    req->model = slice_of("m");
    req->stream = stream;
    for (size_t i = 0; names[i] != '\0'; i++)
        r->routes[i] = (struct call_route){
            .provider = {&names[i], 1}, .upstream_model = slice_of("m"), .tier = 1, .weight = 1, .price = {&price, 1}};
    req->routes.items = r->routes;
    req->routes.n = strlen(names);
}

void routing_call(struct routing *r, struct completion_req *req, struct answered *a, struct meter_fake_event *ev)
{
    memset(ev, 0, sizeof(*ev));
    provider_world_open(&r->w, req, CALL_MS, a);
    assert_true(answered_wait(a, CALL_MS + 2000));
    if (a->status == ST_UNAVAILABLE && !a->has_head) /* never begun: no record */
        return;
    assert_true(meter_fake_find(r->w.meter, a->request_id, 15000, ev));
}

void routing_good(struct routing *r, const char *names, bool stream, const char *who)
{
    struct completion_req req;
    struct meter_fake_event ev;
    struct answered a = {0};

    routing_request(r, &req, names, stream);
    for (size_t i = 0; i < req.routes.n; i++)
        r->routes[i].tier = i + 1;
    routing_call(r, &req, &a, &ev);
    if (a.status != ST_OK)
        fail_msg("%s: %s", status_name(a.status), a.err.text);
    assert_int_equal(a.http_status, 200);
    assert_string_equal(a.provider, who);
    assert_string_equal(ev.status, "ok");
    assert_int_equal(ev.prompt, 10);
    assert_int_equal(ev.completion, 2);
    answered_fini(&a);
}

unsigned routing_seen(struct routing *r, unsigned side)
{
    return tiny_requests(r->sides[side].tiny);
}
