/* What the gateway answers about itself and its house: /, /docs, health, metrics, the administrator's view of the
 * system. */
#include "gateway/answer.h"
#include "gateway/console.h"
#include "gateway/exposition.h"
#include "gateway/reference.h"
#include "gateway/routes.h"
#include "services/json.h"
#include "services/version.h"

#define PAGE_CALL_MS 2000u
#define PAGE_MAX (8u * 1024u * 1024u)
#define METRICS_PAGE_MAX (32u * 1024u * 1024u)
#define PAGE_LINES_MAX 1024u /* bytes of a page's own headers */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

static const enum svc_peer peers[] = {SVC_AUTHSVC, SVC_PROVIDERSVC, SVC_METERD};
static const char *const peer_names[] = {"authsvc", "providersvc", "meterd"};
#define PEERS_N (sizeof(peers) / sizeof(peers[0]))

static enum status ask_health(struct request *r, enum svc_peer peer, bool ready_only, struct health_rep *rep)
{
    struct health_req req = {.ready_only = ready_only};

    return call_wait(svc_peer(r->gw->svc, peer), &health_req_desc, &req, &health_rep_desc, rep, r->arena, PAGE_CALL_MS,
                     NULL);
}

static void answer_page(struct request *r, int http, struct buf *out)
{
    if (buf_add(out, "\n", 1) == ST_OK)
        answer_json(r, http, (struct slice){out->p, out->n});
    else
        answer_error(r, &(struct err){.status = ST_NO_MEMORY});
    buf_fini(out);
}

/* Browsers go on to the console; whoever is at a terminal reads what is here. */
void page_root(struct request *r)
{
    static const char text[] =
        "OpenAI Router " ROUTER_VERSION "\n"
        "\n"
        "OpenAI-compatible API   /v1/chat/completions  /v1/responses  /v1/embeddings  /v1/models …\n"
        "Anthropic's messages    /v1/messages\n"
        "Accounts                /auth/register  /auth/login  /auth/me\n"
        "Keys, usage, credit     /api/keys  /api/usage  /api/credits\n"
        "Health and metrics      /health  /metrics\n"
        "Web console             /console/\n"
        "API reference           /docs  /docs/openapi.yaml\n"
        "\n"
        "With an OpenAI SDK: base_url = this address followed by /v1, api_key = a key of yours.\n";

    answer_send(r, 302, "text/plain; charset=utf-8", slice_of(CONSOLE_LOCATION),
                (struct slice){text, sizeof(text) - 1});
}

/* Nothing of the page runs and nothing is fetched for it: its own style is all that it may use. */
void page_docs(struct request *r)
{
    struct slice page = {(const char *)reference_page, reference_page_size};
    struct buf lines;

    buf_init(&lines, PAGE_LINES_MAX);
    if (buf_addf(&lines,
                 "content-security-policy: default-src 'none'; style-src '%s'; base-uri 'none'; form-action 'none'; "
                 "frame-ancestors 'none'\r\nreferrer-policy: no-referrer\r\n",
                 reference_style) == ST_OK)
        answer_send(r, 200, "text/html; charset=utf-8", (struct slice){lines.p, lines.n}, page);
    else
        answer_error(r, &(struct err){.status = ST_NO_MEMORY});
    buf_fini(&lines);
}

/* RFC 9512 */
void page_openapi(struct request *r)
{
    answer_send(r, 200, "application/yaml", (struct slice){NULL, 0},
                (struct slice){(const char *)reference_yaml, reference_yaml_size});
}

static void answer_health(struct request *r, bool good, const char *word)
{
    struct buf out;

    buf_init(&out, PAGE_MAX);
    buf_addf(&out, "{\"status\":\"%s\",\"service\":\"gateway\",\"version\":\"" ROUTER_VERSION "\"}", word);
    answer_page(r, good ? 200 : 503, &out);
}

void page_live(struct request *r)
{
    answer_health(r, true, "ok");
}

void page_health(struct request *r)
{
    answer_health(r, true, svc_draining(r->gw->svc) ? "draining" : "ok");
}

/* A peer that does not speak with us is a mistake in the settings: said here as well as in the log. */
static void answer_not_ready(struct request *r)
{
    enum frame_refusal why = FRAME_ACCEPTED;
    struct buf out;
    size_t i;

    for (i = 0; i < PEERS_N && why == FRAME_ACCEPTED; i++)
        why = xchg_client_refused(svc_peer(r->gw->svc, peers[i]));
    if (why == FRAME_ACCEPTED) {
        answer_health(r, false, "not ready");
        return;
    }
    buf_init(&out, PAGE_MAX);
    buf_addf(&out,
             "{\"status\":\"not ready\",\"service\":\"gateway\",\"version\":\"" ROUTER_VERSION
             "\",\"reason\":\"%s refused: %s\"}",
             peer_names[i - 1], trust_advice(why));
    answer_page(r, 503, &out);
}

/* Ready = a call would work. Without meterd calls go on, so it is not asked. */
void page_ready(struct request *r)
{
    struct health_rep auth, provider;

    if (svc_draining(r->gw->svc))
        answer_health(r, false, "draining");
    else if (!svc_ready(r->gw->svc) || ask_health(r, SVC_AUTHSVC, true, &auth) != ST_OK || !auth.ready ||
             ask_health(r, SVC_PROVIDERSVC, true, &provider) != ST_OK || !provider.ready)
        answer_not_ready(r);
    else
        answer_health(r, true, "ready");
}

/* {"status":…,"services":[{…}, …]}: ours first. A service that does not answer is shown as not ready. */
static void answer_services(struct request *r)
{
    struct health_rep rep;
    bool good = true;
    struct buf out, list;
    size_t i;

    buf_init(&out, PAGE_MAX);
    buf_init(&list, PAGE_MAX);
    if (svc_health(r->gw->svc, r->arena, &rep) == ST_OK)
        json_encode(&health_rep_desc, &rep, &list);
    good = rep.ready;
    for (i = 0; i < PEERS_N; i++) {
        buf_addf(&list, ",");
        if (ask_health(r, peers[i], false, &rep) == ST_OK) {
            good = good && rep.ready;
            json_encode(&health_rep_desc, &rep, &list);
        } else {
            good = false;
            buf_addf(&list, "{\"service\":\"%s\",\"ready\":false,\"error\":\"does not answer\"}", peer_names[i]);
        }
    }
    buf_addf(&out, "{\"status\":\"%s\",\"services\":[", good ? "ok" : "degraded");
    buf_add(&out, list.p, list.n);
    buf_addf(&out, "]}");
    buf_fini(&list);
    answer_page(r, 200, &out);
}

void page_detailed(struct request *r)
{
    answer_services(r);
}

void page_system(struct request *r)
{
    struct err err = {.status = ST_OK};

    if (account_no_query(r, &err) == ST_OK)
        answer_services(r);
    else
        answer_error(r, &err);
}

/* Of every instance: one asked at random would tell other counts each time. One that does not answer is left out. */
static size_t ask_metrics(struct request *r, enum svc_peer peer, struct slice texts[XCHG_INSTANCES_MAX])
{
    struct call_to to = {.client = svc_peer(r->gw->svc, peer), .deadline_ms = PAGE_CALL_MS};
    struct metrics_req req = {.unused = false};
    uint64_t instances[XCHG_INSTANCES_MAX];
    unsigned i, n = xchg_client_instances(to.client, instances);
    struct metrics_rep rep;
    size_t got = 0;

    for (i = 0; i < n; i++) {
        to.instance = instances[i];
        if (call_wait_at(&to, &metrics_req_desc, &req, &metrics_rep_desc, &rep, r->arena, NULL) == ST_OK)
            texts[got++] = rep.text;
    }
    return got;
}

void page_metrics(struct request *r)
{
    struct slice texts[1 + PEERS_N * XCHG_INSTANCES_MAX];
    struct buf own, out;
    size_t i, n = 0;

    buf_init(&own, LIMIT_METRICS);
    buf_init(&out, METRICS_PAGE_MAX);
    if (svc_metrics_text(r->gw->svc, &own) == ST_OK)
        texts[n++] = (struct slice){own.p, own.n};
    for (i = 0; i < PEERS_N; i++)
        n += ask_metrics(r, peers[i], texts + n);
    if (exposition_merge(texts, n, r->arena, &out) == ST_OK)
        answer_send(r, 200, METRICS_TYPE, (struct slice){NULL, 0}, (struct slice){out.p, out.n});
    else
        answer_error(r, &(struct err){.status = ST_NO_MEMORY});
    buf_fini(&own);
    buf_fini(&out);
}
