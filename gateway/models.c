/* GET /v1/models and /v1/models/{id}: what this key may use, in OpenAI's shape; for who speaks Anthropic's API in one
 * that is both. */
#include <sodium.h>
#include <time.h>

#include "gateway/answer.h"
#include "gateway/routes.h"
#include "services/json.h"

#define MODELS_CALL_MS 5000u
#define MODELS_BODY_MAX (8u * 1024u * 1024u)

static enum status ask(struct request *r, struct models_rep *rep, struct err *err)
{
    struct slice key = request_key(r);
    unsigned char digest[crypto_hash_sha256_BYTES];
    struct models_req req = {
        .key_digest = {(const char *)digest, sizeof(digest)}, .model = r->param, .client_ip = r->client_ip};

    if (!key.n)
        return err_set(err, ST_UNAUTHENTICATED,
                       "You didn't provide an API key. Send it in an Authorization header using Bearer auth.");
    if (r->param.n > LIMIT_MODEL)
        return err_set_field(err, ST_NOT_FOUND, "model_not_found", "model", "There is no model of that name.");
    crypto_hash_sha256(digest, (const unsigned char *)key.p, key.n);
    return call_wait(svc_peer(r->gw->svc, SVC_AUTHSVC), &models_req_desc, &req, &models_rep_desc, rep, r->arena,
                     MODELS_CALL_MS, err);
}

static void add_model(const struct request *r, const struct model_info *m, struct buf *out)
{
    char created[32] = "";
    time_t at = (time_t)m->created;
    struct tm tm;

    json_encode(&model_info_desc, m, out);
    if (!r->anthropic_version.n || !out->n)
        return;
    out->n--; /* its closing brace */
    if (gmtime_r(&at, &tm))
        strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_addf(out, ",\"type\":\"model\",\"display_name\":");
    json_add_string(out, m->id);
    buf_addf(out, ",\"created_at\":\"%s\"}", created);
}

static void add_end(struct buf *out, const char *name, struct slice id)
{
    buf_addf(out, ",\"%s\":", name);
    if (id.n)
        json_add_string(out, id);
    else
        buf_addf(out, "null");
}

static void add_models(const struct request *r, const struct models_rep *rep, struct buf *out)
{
    size_t i, n = rep->data.n;

    buf_addf(out, "{\"object\":\"list\",\"data\":[");
    for (i = 0; i < n; i++) {
        if (i)
            buf_addf(out, ",");
        add_model(r, &rep->data.items[i], out);
    }
    buf_addf(out, "],\"has_more\":false");
    if (r->anthropic_version.n) {
        add_end(out, "first_id", n ? rep->data.items[0].id : slice_of(""));
        add_end(out, "last_id", n ? rep->data.items[n - 1].id : slice_of(""));
    }
    buf_addf(out, "}");
}

void models_handle(struct request *r)
{
    struct err err = {.status = ST_OK};
    struct models_rep rep = {.has = 0};
    enum status st = ask(r, &rep, &err);
    struct buf out;

    r->anthropic = r->anthropic_version.n > 0;
    if (st == ST_OK && r->param.n && !rep.data.n)
        st = err_set_field(&err, ST_NOT_FOUND, "model_not_found", "model",
                           "The model `" SLICE_FMT "` does not exist or you do not have access to it.",
                           SLICE_ARG(r->param));
    if (st != ST_OK) {
        err.status = st;
        answer_error(r, &err);
        return;
    }
    buf_init(&out, MODELS_BODY_MAX);
    if (!r->param.n)
        add_models(r, &rep, &out);
    else if (rep.data.items)
        add_model(r, &rep.data.items[0], &out);
    if (buf_add(&out, "\n", 1) == ST_OK)
        answer_json(r, 200, (struct slice){out.p, out.n});
    else
        answer_error(r, &(struct err){.status = ST_NO_MEMORY});
    buf_fini(&out);
}
