#include "gateway/idempotency.h"

#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "gateway/answer.h"
#include "gateway/routes.h"
#include "services/clock.h"

#define LEFT (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)
#define RETRY_MS 100u /* meterd is away: asked again this often */

enum status idempotency_check(const struct request *r, struct err *err)
{
    struct slice key = r->idempotency_key;
    bool fine = key.n >= 1 && key.n <= IDEMPOTENCY_KEY_MAX;
    size_t i;

    if (!key.p)
        return ST_OK;
    for (i = 0; fine && i < key.n; i++)
        fine = key.p[i] >= ' ' && key.p[i] <= '~';
    if (fine)
        return ST_OK;
    return err_set_field(err, ST_BAD_REQUEST, "invalid_idempotency_key", "Idempotency-Key",
                         "Invalid header 'Idempotency-Key': expected 1 to %d printable ASCII characters.",
                         IDEMPOTENCY_KEY_MAX);
}

/* ---- asking meterd ----------------------------------------------------------------------------------------------- */

static struct xchg_client *meterd(const struct idempotency *i)
{
    return svc_peer(i->r->gw->svc, SVC_METERD);
}

/* Both messages may come twice: meterd knows whose they are. */
static bool worth_repeating(enum status st)
{
    return st == ST_UNAVAILABLE || st == ST_DRAINING || st == ST_PEER_LOST || st == ST_TIMEOUT || st == ST_NO_MEMORY;
}

/* false: the client left, or the gateway ends. */
static bool sleep_beside_client(struct request *r, uint64_t ms)
{
    int shown = conn_sleep(r->conn, POLLRDHUP, ms);

    return !(shown > 0 && shown & LEFT) && !atomic_load(&r->gw->closing);
}

static enum status ask(struct idempotency *i, struct answer_begin_rep *rep, struct arena *a, struct err *err)
{
    struct answer_begin_req req = {.key_digest = {(const char *)i->key_digest, LIMIT_DIGEST},
                                   .idempotency_key = i->key,
                                   .body_digest = {(const char *)i->body_digest, LIMIT_DIGEST},
                                   .request_id = slice_of(i->r->id),
                                   .lease_ms = (uint64_t)i->r->gw->settings->call_timeout_ms + IDEMPOTENCY_GRACE_MS,
                                   .client_ip = i->r->client_ip};
    uint64_t end = clock_ms() + IDEMPOTENCY_ASK_MS, now;
    enum status st = ST_TIMEOUT;

    while ((now = clock_ms()) < end) {
        arena_reset(a);
        st = call_wait(meterd(i), &answer_begin_req_desc, &req, &answer_begin_rep_desc, rep, a, end - now, err);
        if (!worth_repeating(st))
            return st;
        if (!sleep_beside_client(i->r, RETRY_MS))
            break;
    }
    return st;
}

static enum status tell(struct idempotency *i, const struct answer_put_req *req, struct err *err)
{
    uint64_t end = clock_ms() + IDEMPOTENCY_TELL_MS, now;
    enum status st = ST_TIMEOUT;
    struct empty rep;
    struct arena a;

    arena_init(&a, IDEMPOTENCY_REPLY_MAX);
    while ((now = clock_ms()) < end) {
        arena_reset(&a);
        st = call_wait(meterd(i), &answer_put_req_desc, req, &empty_desc, &rep, &a, end - now, err);
        if (!worth_repeating(st) || atomic_load(&i->r->gw->closing))
            break;
        conn_sleep(i->r->conn, 0, RETRY_MS);
    }
    arena_fini(&a);
    return st;
}

static void put(struct idempotency *i, unsigned http, struct slice type, struct slice body)
{
    struct answer_put_req req = {.key_digest = {(const char *)i->key_digest, LIMIT_DIGEST},
                                 .idempotency_key = i->key,
                                 .request_id = slice_of(i->r->id),
                                 .http_status = http,
                                 .content_type = type,
                                 .body = body};
    struct err err = {.status = ST_OK};
    enum status st;

    i->told = true;
    st = tell(i, &req, &err);
    if (st == ST_OK)
        return;
    metric_add(i->r->gw->metrics.answers_lost, 1);
    log_event(svc_log(i->r->gw->svc), LOG_WARN, slice_of(i->r->id), "answer_not_kept", LOG_N("status", http),
              LOG_N("bytes", body.n), LOG_C("outcome", status_name(st)), LOG_C("why", err.text));
}

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

static void client_left(struct request *r)
{
    struct err err = {.status = ST_OK};

    if (atomic_load(&r->gw->closing)) {
        err_set(&err, ST_DRAINING, "%s", status_text(ST_DRAINING));
        answer_error(r, &err);
        return;
    }
    r->status = status_http(ST_CANCELLED);
    r->quiet = true;
    r->keep_alive = false;
    metric_add(r->gw->metrics.client_gone, 1);
}

static void replay(struct request *r, const struct answer_begin_rep *rep)
{
    char type[LIMIT_NAME + 1] = "", text[160 + LIMIT_ID_TEXT];
    int n = snprintf(text, sizeof(text), "x-router-replayed: true\r\nx-router-original-request-id: " SLICE_FMT "\r\n",
                     SLICE_ARG(rep->request_id));

    slice_copy(rep->content_type, type, sizeof(type));
    answer_send(r, (int)rep->http_status, type, (struct slice){text, n > 0 ? (size_t)n : 0}, rep->body);
    metric_add(r->gw->metrics.replayed, 1);
    log_event(svc_log(r->gw->svc), LOG_INFO, slice_of(r->id), "replayed", LOG_S("original", rep->request_id),
              LOG_N("status", rep->http_status), LOG_N("bytes", rep->body.n));
}

static void answer_interrupted(struct request *r, struct slice first)
{
    struct err err = {.status = ST_OK};

    err_set_field(&err, ST_CONFLICT, "idempotency_interrupted", NULL,
                  "The first request with this Idempotency-Key (" SLICE_FMT ") was billed, but its answer is not known "
                  "in full. It is not made again: send the request with a new key.",
                  SLICE_ARG(first));
    answer_error(r, &err);
}

static void answer_in_use(struct request *r, struct slice first)
{
    struct err err = {.status = ST_OK};
    struct problem p;

    err_set_field(&err, ST_CONFLICT, "idempotency_key_in_use", NULL,
                  "The first request with this Idempotency-Key (" SLICE_FMT
                  ") is still running. Repeat this one later.",
                  SLICE_ARG(first));
    p = problem_of(&err);
    p.should_retry = 1;
    answer_problem(r, &p, (struct slice){NULL, 0});
}

/* It may have begun all the same, and then nobody is to wait for it. */
static void answer_failed(struct idempotency *i, enum status st, struct err *err)
{
    struct answer_put_req req = {.key_digest = {(const char *)i->key_digest, LIMIT_DIGEST},
                                 .idempotency_key = i->key,
                                 .request_id = slice_of(i->r->id)};

    if (worth_repeating(st)) {
        call_tell(meterd(i), &answer_put_req_desc, &req);
        st = err_set(err, ST_UNAVAILABLE, "The router cannot honour the Idempotency-Key now. Try again.");
    }
    err->status = st;
    answer_error(i->r, err);
}

/* true: this request makes the call. */
static bool wait_for_first(struct idempotency *i, struct arena *a)
{
    uint64_t end = clock_ms() + (uint64_t)i->r->gw->settings->call_timeout_ms;
    uint64_t pause = IDEMPOTENCY_POLL_MIN_MS;
    struct err err = {.status = ST_OK};
    struct answer_begin_rep rep;

    for (;;) {
        enum status st = ask(i, &rep, a, &err);

        if (st == ST_NOT_FOUND) { /* no caller: admission says so */
            i->key.n = 0;
            return true;
        }
        if (st != ST_OK)
            answer_failed(i, st, &err);
        else if (slice_is(rep.state, "begun"))
            return true;
        else if (slice_is(rep.state, "stored"))
            replay(i->r, &rep);
        else if (!slice_is(rep.state, "running"))
            answer_interrupted(i->r, rep.request_id);
        else if (clock_ms() >= end)
            answer_in_use(i->r, rep.request_id);
        else if (sleep_beside_client(i->r, pause)) {
            pause = 2 * pause < IDEMPOTENCY_POLL_MAX_MS ? 2 * pause : IDEMPOTENCY_POLL_MAX_MS;
            continue;
        } else
            client_left(i->r);
        return false;
    }
}

/* A key means one request: its URL counts, too. */
static void digest_request(const struct request *r, uint8_t to[LIMIT_DIGEST])
{
    crypto_hash_sha256_state s;

    crypto_hash_sha256_init(&s);
    crypto_hash_sha256_update(&s, (const unsigned char *)r->path.p, r->path.n);
    crypto_hash_sha256_update(&s, (const unsigned char *)"?", 2);
    crypto_hash_sha256_update(&s, (const unsigned char *)r->query.p, r->query.n);
    if (r->body_digest)
        crypto_hash_sha256_update(&s, r->body_digest, LIMIT_DIGEST);
    else
        crypto_hash_sha256_update(&s, (const unsigned char *)r->body.p, r->body.n);
    crypto_hash_sha256_final(&s, to);
}

bool idempotency_begin(struct idempotency *i, struct request *r, const uint8_t key_digest[LIMIT_DIGEST])
{
    struct arena a;
    bool mine;

    if (!r->idempotency_key.n || !slice_is(r->method, "POST")) /* what only looks or deletes may be made again */
        return true;
    i->r = r;
    i->key = r->idempotency_key;
    memcpy(i->key_digest, key_digest, LIMIT_DIGEST);
    digest_request(r, i->body_digest);
    buf_init(&i->record, LIMIT_BODY);
    arena_init(&a, IDEMPOTENCY_REPLY_MAX);
    mine = wait_for_first(i, &a);
    arena_fini(&a);
    return mine;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void drop_record(struct idempotency *i)
{
    if (i->counted)
        atomic_fetch_sub(&i->r->gw->record_bytes, i->counted);
    i->counted = 0;
    buf_fini(&i->record);
}

void idempotency_record(struct idempotency *i, struct slice bytes)
{
    if (!i->key.n || i->incomplete)
        return;
    i->counted += bytes.n;
    i->incomplete = atomic_fetch_add(&i->r->gw->record_bytes, bytes.n) + bytes.n > IDEMPOTENCY_RECORDS_MAX ||
                    buf_add(&i->record, bytes.p, bytes.n) != ST_OK;
    if (i->incomplete)
        drop_record(i);
}

void idempotency_store(struct idempotency *i, unsigned http, struct slice type, struct slice body)
{
    if (i->key.n && !i->told)
        put(i, http, type, body);
    drop_record(i);
}

void idempotency_forget(struct idempotency *i)
{
    if (i->key.n && !i->told)
        put(i, 0, (struct slice){NULL, 0}, (struct slice){NULL, 0});
}

void idempotency_fini(struct idempotency *i)
{
    if (!i->r)
        return;
    if (i->incomplete) {
        metric_add(i->r->gw->metrics.answers_lost, 1);
        log_event(svc_log(i->r->gw->svc), LOG_WARN, slice_of(i->r->id), "answer_not_kept", LOG_C("why", "too large"));
    }
    drop_record(i);
}
