#include "tests/unit/answer_fake.h"

#include <stdlib.h>
#include <string.h>

struct kept_answers kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

void answer_fake_reset(void)
{
    size_t i;

    for (i = 0; i < KEPT_KEYS; i++)
        free(kept.answers[i].body);
    kept = (struct kept_answers){.lock = PTHREAD_MUTEX_INITIALIZER};
}

/* Under the lock. NULL = there is none. */
static struct kept_answer *find(struct slice key)
{
    size_t i;

    for (i = 0; i < KEPT_KEYS; i++)
        if (kept.answers[i].key[0] && slice_is(key, kept.answers[i].key))
            return &kept.answers[i];
    return NULL;
}

static struct kept_answer *make(const struct answer_begin_req *req)
{
    struct kept_answer *a;
    size_t i;

    for (i = 0; i < KEPT_KEYS && kept.answers[i].key[0]; i++)
        ;
    if (i == KEPT_KEYS)
        return NULL;
    a = &kept.answers[i];
    slice_copy(req->idempotency_key, a->key, sizeof(a->key));
    slice_copy(req->request_id, a->request_id, sizeof(a->request_id));
    memcpy(a->digest, req->body_digest.p, sizeof(a->digest));
    return a;
}

static bool fails(struct svc_call *call, enum status *ret_st)
{
    if (!kept.fail_times)
        return false;
    kept.fail_times--;
    *ret_st = err_set(&call->err, kept.fail_with, "as told");
    return true;
}

static enum status begin(struct svc_call *call, const struct answer_begin_req *req, struct answer_begin_rep *rep)
{
    struct kept_answer *a = find(req->idempotency_key);
    enum status st = ST_OK;

    kept.asked++;
    if (fails(call, &st))
        return st;
    if (!a)
        a = make(req);
    if (!a)
        return err_set(&call->err, ST_INTERNAL, "too many keys for a fake");
    if (memcmp(a->digest, req->body_digest.p, sizeof(a->digest)))
        return err_set_field(&call->err, ST_CONFLICT, "idempotency_key_reused", NULL, "reused");
    rep->state = slice_of(slice_is(req->request_id, a->request_id) ? "begun" : "running");
    if (kept.interrupted)
        rep->state = slice_of("interrupted");
    rep->request_id = slice_of(a->request_id); /* nobody changes it before the answer is encoded */
    if (!a->http)
        return ST_OK;
    rep->state = slice_of("stored");
    rep->http_status = a->http;
    rep->content_type = slice_of(a->type);
    rep->body = arena_copy(call->arena, (struct slice){a->body, a->n}, &st);
    return st;
}

enum status answer_fake_begin(struct svc_call *call, const void *in, void *out)
{
    enum status st;

    pthread_mutex_lock(&kept.lock);
    st = begin(call, in, out);
    pthread_mutex_unlock(&kept.lock);
    return st;
}

static enum status put(struct svc_call *call, const struct answer_put_req *req)
{
    struct kept_answer *a = find(req->idempotency_key);
    enum status st;

    if (fails(call, &st))
        return st;
    if (!a || !slice_is(req->request_id, a->request_id))
        return err_set(&call->err, ST_CONFLICT, "not yours");
    if (!req->http_status) {
        kept.forgotten++;
        *a = (struct kept_answer){.http = 0};
        return ST_OK;
    }
    kept.stored++;
    a->body = malloc(req->body.n + 1);
    if (!a->body)
        return err_set(&call->err, ST_NO_MEMORY, "no memory");
    if (req->body.n)
        memcpy(a->body, req->body.p, req->body.n);
    a->body[req->body.n] = '\0';
    a->n = req->body.n;
    a->http = (unsigned)req->http_status;
    slice_copy(req->content_type, a->type, sizeof(a->type));
    return ST_OK;
}

enum status answer_fake_put(struct svc_call *call, const void *in, void *out)
{
    enum status st;

    (void)out;
    pthread_mutex_lock(&kept.lock);
    st = put(call, in);
    pthread_mutex_unlock(&kept.lock);
    return st;
}

bool answer_fake_holds(const char *key, unsigned http)
{
    struct kept_answer *a;
    bool so;

    pthread_mutex_lock(&kept.lock);
    a = find(slice_of(key));
    so = a && a->http == http;
    pthread_mutex_unlock(&kept.lock);
    return so;
}
