#include "gateway/call.h"

#include <poll.h>
#include <sodium.h>
#include <string.h>

#include "gateway/answer.h"
#include "gateway/caller.h"
#include "gateway/routes.h"
#include "services/clock.h"

#define NO_KEY_TEXT                                                                                                    \
    "You didn't provide an API key. Send it in an Authorization header using Bearer auth (Authorization: Bearer "      \
    "YOUR_KEY)."

static void answer_unknown_url(struct request *r)
{
    struct err err = {.status = ST_OK};

    err_set_field(&err, ST_NOT_FOUND, "unknown_url", NULL, "Unknown request URL: " SLICE_FMT " " SLICE_FMT ".",
                  SLICE_ARG(r->method), SLICE_ARG(r->path));
    answer_error(r, &err);
}

static void answer_no_key(struct request *r)
{
    struct problem p = {.http = 401, .type = "invalid_request_error", .message = NO_KEY_TEXT, .should_retry = -1};

    answer_problem(r, &p, (struct slice){NULL, 0});
}

static void attach(struct call *c)
{
    pthread_mutex_lock(&c->conn->lock);
    c->conn->call = c;
    pthread_mutex_unlock(&c->conn->lock);
}

static void detach(struct call *c)
{
    pthread_mutex_lock(&c->conn->lock);
    c->conn->call = NULL;
    pthread_mutex_unlock(&c->conn->lock);
    atomic_store_explicit(&c->conn->quiet_since_ms, 0, memory_order_relaxed);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

#define LEFT (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)

/* What the thread knows while it waits. */
struct waiting {
    short events; /* to look for on the socket; 0 = it has nothing more to say */
    bool seen; /* the client's next request, or its end, or the connection has been idle for too long */
    uint64_t stalled_since; /* the socket has taken nothing since; 0 = nothing waits */
};

/* The client takes less than there is: the slow path. Under the lock, which it lets go while it waits. */
static void help_stream(struct call *c, struct waiting *w)
{
    struct conn *conn = c->conn;
    struct xchg_client *provider = svc_peer(c->gw->svc, SVC_PROVIDERSVC);
    size_t before = c->stream.backlog.n;
    short events = c->over ? POLLOUT : POLLOUT | POLLRDHUP; /* a client that only stopped talking gets the rest */
    bool stop = false;
    struct xchg_id id = {0, 0};
    uint32_t credit;
    int shown;

    if (!w->stalled_since) {
        metric_add(c->gw->metrics.slow_streams, 1);
        w->stalled_since = clock_ms();
    }
    pthread_mutex_unlock(&conn->lock);
    shown = conn_sleep(conn, events, CALL_STALL_MS);
    pthread_mutex_lock(&conn->lock);
    if (stream_flush(&c->stream) || c->stream.backlog.n < before)
        w->stalled_since = c->stream.backlog.n ? clock_ms() : 0;
    if (c->stream.broken || c->gone || (shown > 0 && shown & (LEFT & events)) ||
        (w->stalled_since && clock_ms() - w->stalled_since > CALL_STALL_MS)) {
        c->stream.broken = true;
        stream_flush(&c->stream); /* nothing waits any more; what the provider is owed for it comes back */
        stop = !c->gone && !c->over && !c->runs_on;
        c->gone = true;
    }
    credit = stream_credit(&c->stream);
    id = c->ids[c->attempt - 1];
    pthread_mutex_unlock(&conn->lock);
    if (stop)
        xchg_cancel(provider, id);
    else if (credit)
        xchg_window(provider, id, credit);
    pthread_mutex_lock(&conn->lock);
}

/* How long a connection that has its answer may stay idle. */
static uint64_t patience(const struct call *c)
{
    uint64_t idle = c->settled ? clock_ms() - c->settled_ms : 0;

    return idle < CALL_IDLE_MS ? CALL_IDLE_MS - idle : 0;
}

/* Under the lock, which it lets go while it sleeps. */
static void sleep_on_socket(struct call *c, struct waiting *w)
{
    uint64_t ms = patience(c);
    int shown;

    c->wake_me = !(w->events & POLLIN);
    pthread_mutex_unlock(&c->conn->lock);
    shown = conn_sleep(c->conn, w->events, ms);
    pthread_mutex_lock(&c->conn->lock);
    if (shown < 0) {
        if (c->settled && patience(c) == 0) {
            c->r->keep_alive = false;
            w->seen = true;
        }
    } else if (shown & LEFT) {
        call_left(c);
        w->events = 0;
        w->seen = true;
    } else if (shown & POLLIN) { /* the next request: later, if this one is still running */
        w->events = POLLRDHUP;
        w->seen = true;
    }
}

static void wait_until_over(struct call *c)
{
    struct waiting w = {.events = POLLIN | POLLRDHUP};

    if (conn_has_more(c->conn))
        w = (struct waiting){.events = POLLRDHUP, .seen = true};
    pthread_mutex_lock(&c->conn->lock);
    for (;;) {
        if (c->runs_on && c->over && c->openers == 0) {
            c->runs_on = false;
            pthread_mutex_unlock(&c->conn->lock);
            call_keep(c);
            pthread_mutex_lock(&c->conn->lock);
            if (call_keeps_back(c) && !c->gone)
                call_answer_plain(c);
        } else if (c->n_wants)
            call_help_upload(c);
        else if (c->stream.backlog.n)
            help_stream(c, &w);
        else if (c->over && c->openers == 0 && (!c->settled || w.seen))
            break;
        else
            sleep_on_socket(c, &w);
    }
    pthread_mutex_unlock(&c->conn->lock);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void answer_refused(struct call *c)
{
    struct problem p = problem_of(&c->err);
    struct buf lines;

    if (c->surface->flags & SURFACE_OTHER && c->err.status == ST_NOT_FOUND && !c->ask.model.n && !c->attempt) {
        answer_unknown_url(c->r); /* nobody is willing to serve it */
        return;
    }
    buf_init(&lines, LIMIT_HEADER);
    call_limit_lines(&c->limits, &lines);
    answer_problem(c->r, &p, (struct slice){lines.p, lines.n});
    buf_fini(&lines);
}

static void finish(struct call *c)
{
    struct request *r = c->r;

    if (c->stream.began) {
        r->sent_bytes = c->stream.sent;
        if (c->gone)
            r->keep_alive = false;
    } else if (c->gone) {
        r->quiet = true;
    } else {
        answer_refused(c);
    }
    if (c->gone || r->quiet) {
        r->status = status_http(ST_CANCELLED);
        r->quiet = true;
        r->keep_alive = false;
        metric_add(c->gw->metrics.client_gone, 1);
    }
}

static void run(struct call *c)
{
    struct call_note note;
    enum status st;

    attach(c);
    metric_move(c->gw->metrics.streams, c->ask.stream);
    st = call_begin(c, &c->err);
    if (st == ST_OK) {
        wait_until_over(c);
    } else {
        c->st = c->err.status = st;
        call_keep(c);
    }
    detach(c);
    if (!c->settled) {
        finish(c);
        call_take_note(c, &note);
        call_log(&note);
    }
    idempotency_fini(&c->keep);
    stream_fini(&c->stream);
    buf_fini(&c->answer);
    upload_fini(c->upload);
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

#define V1_N 3u /* bytes of "/v1" */

/* What an upstream, or something before it, could read as a path of another place. */
static bool climbs(struct slice path)
{
    size_t i, from = 0;

    for (i = 0; i <= path.n; i++) {
        if (i < path.n && path.p[i] != '/' && path.p[i] != '\\')
            continue;
        if (i > from && i - from <= 2 && path.p[from] == '.' && path.p[i - 1] == '.')
            return true;
        from = i + 1;
    }
    return false;
}

static bool visible(struct slice s, char least)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (s.p[i] < least || s.p[i] > '~')
            return false;
    return true;
}

/* Without api-version, which is Azure's alone. */
static struct slice add_query(const struct request *r, char *to, size_t n)
{
    static const char azure[] = "api-version=";
    struct slice left = r->query;
    char mark = '?';

    while (left.n) {
        const char *end = memchr(left.p, '&', left.n);
        size_t part = end ? (size_t)(end - left.p) : left.n;

        if (!(r->deployment.p && part >= sizeof(azure) - 1 && !memcmp(left.p, azure, sizeof(azure) - 1))) {
            to[n++] = mark;
            memcpy(to + n, left.p, part);
            n += part;
            mark = '&';
        }
        part += end != NULL;
        left = (struct slice){left.p + part, left.n - part};
    }
    return (struct slice){to, n};
}

#define PATH_SHOWN 128u /* of a path, in a text that says how to write it */

static enum status check_plain(const struct request *r, struct err *err)
{
    size_t n = r->path.n < PATH_SHOWN ? r->path.n : PATH_SHOWN;

    if (route_plain(r))
        return ST_OK;
    return err_set_field(err, ST_NOT_FOUND, "unknown_url", NULL,
                         "Unknown request URL: " SLICE_FMT " %.*s. It may be another way to write a URL that is known: "
                         "write it in small letters, without empty segments, without a slash at its end, without ';', "
                         "and without percent-encoding of letters, digits or any of -._~/\\%%?#;",
                         SLICE_ARG(r->method), (int)n, r->path.p);
}

/* The path that upstream is to see, when the endpoint's name does not say it all. */
static enum status read_path(struct call *c, struct err *err)
{
    struct request *r = c->r;
    struct slice path = {r->api_path.p + V1_N, r->api_path.n - V1_N};
    enum status st;
    char *to;

    if (!(c->surface->flags & SURFACE_PATH) && !r->query.n)
        return ST_OK;
    if (!visible(path, '!') || !visible(r->query, '!') || climbs(path) || climbs(r->param))
        return err_set_field(err, ST_NOT_FOUND, "unknown_url", NULL,
                             "Unknown request URL: " SLICE_FMT " " SLICE_FMT ".", SLICE_ARG(r->method),
                             SLICE_ARG(r->path));
    st = check_plain(r, err);
    if (st != ST_OK)
        return st;
    if (path.n + r->query.n + 1 > LIMIT_URL)
        return err_set(err, ST_BAD_REQUEST, "The URL is longer than %d bytes.", LIMIT_URL);
    to = arena_alloc(r->arena, path.n + r->query.n + 1);
    if (!to)
        return err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    memcpy(to, path.p, path.n);
    c->path = add_query(r, to, path.n);
    if (!(c->surface->flags & SURFACE_PATH) && c->path.n == path.n)
        c->path.n = 0; /* there was only Azure's */
    return ST_OK;
}

/* "stream=true" in the URL: a response that is read again. */
static bool query_streams(struct slice query)
{
    static const char text[] = "stream=true";
    size_t n = sizeof(text) - 1;

    for (; query.n >= n; query.p++, query.n--)
        if (!memcmp(query.p, text, n) && (query.n == n || query.p[n] == '&'))
            return true;
    return false;
}

/* Parsed JSON takes several times its bytes: large ones wait for each other. */
static enum status parse_body(struct call *c, struct err *err)
{
    struct request *r = c->r;
    bool large = r->body.n > REQUEST_SMALL;
    enum status st;

    if (large)
        gate_enter(&r->gw->parsing, r->body.n);
    st = call_request_read(c->surface, r->body, r->arena, &c->ask, err);
    if (large)
        gate_leave(&r->gw->parsing, r->body.n);
    return st;
}

static enum status take_body(struct call *c, struct err *err)
{
    struct request *r = c->r;
    enum status st;

    if (c->surface->form && !c->surface->json && slice_is(r->method, "POST"))
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "content-type",
                             "Invalid header 'content-type': expected multipart/form-data.");
    st = request_read_body(r, (size_t)r->gw->settings->max_body_bytes, err);
    return st == ST_OK ? parse_body(c, err) : st;
}

static enum status take_upload(struct call *c, struct err *err)
{
    struct request *r = c->r;
    bool is_form = multipart_is(r->content_type);
    enum status st;

    if (r->content_type.n > LIMIT_TITLE || !visible(r->content_type, ' '))
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "content-type",
                             "Invalid header 'content-type': expected %d printable ASCII characters at most.",
                             LIMIT_TITLE);
    st = upload_take(r, is_form, is_form && c->surface->flags & SURFACE_FILE, &c->upload, err);
    if (st != ST_OK)
        return st;
    r->body_digest = c->upload->digest;
    if (!is_form)
        return call_request_read(c->surface, (struct slice){NULL, 0}, r->arena, &c->ask, err);
    st = call_request_read_form(c->surface, &c->upload->form.form, r->arena, &c->ask, err);
    return st == ST_OK && c->upload->has_batch ? call_take_file(c, err) : st;
}

static enum status read_request(struct call *c, struct err *err)
{
    struct request *r = c->r;
    enum status st = read_path(c, err);

    if (st == ST_OK)
        st = idempotency_check(r, err);
    if (st == ST_OK)
        st = call_read_max_price(c, err);
    c->ask.model = r->deployment;
    if (st == ST_OK)
        st = call_has_upload(c) ? take_upload(c, err) : take_body(c, err);
    if (st == ST_OK && c->surface->flags & SURFACE_OBJECT) {
        c->ask.stream |= query_streams(r->query);
        c->ask.objects[0] = (struct call_object){c->surface->object, r->param};
        c->ask.n_objects = 1;
    }
    if (st == ST_OK && (c->ask.n_objects || c->surface->flags & SURFACE_BATCH))
        st = call_find_objects(c, err);
    c->headers = request_passed(r, c->surface->flags & SURFACE_PATH, &c->n_headers);
    return st;
}

/* What reaches beyond the caller's own is the operator's to allow; what we do not know is unknown to who has no key. */
static bool not_served(const struct request *r, bool has_key)
{
    unsigned flags = r->route->surface->flags;

    if (flags & SURFACE_OTHER && !has_key)
        return true;
    return flags & (SURFACE_OTHER | SURFACE_SHARED) && slice_is(slice_of(r->gw->settings->other_endpoints), "refuse");
}

void call_handle(struct request *r)
{
    struct slice key = request_key(r);
    struct call *c = arena_alloc(r->arena, sizeof(*c));
    struct err err = {.status = ST_OK};
    enum status st = ST_NO_MEMORY;

    if (not_served(r, key.n > 0)) {
        answer_unknown_url(r);
        return;
    }
    if (!key.n) {
        r->stranger = true;
        answer_no_key(r);
        return;
    }
    r->vouch = caller_check_key;
    if (c) {
        c->gw = r->gw;
        c->conn = r->conn;
        c->r = r;
        c->surface = r->route->surface;
        crypto_hash_sha256(c->digest, (const unsigned char *)key.p, key.n);
        st = read_request(c, &err);
    }
    if (st != ST_OK) {
        err.status = st;
        answer_error(r, &err);
        upload_fini(c ? c->upload : NULL);
        return;
    }
    buf_init(&c->answer, CALL_GATHER_MAX);
    if (!idempotency_begin(&c->keep, r, c->digest)) {
        upload_fini(c->upload);
        return;
    }
    c->created_ms = clock_wall_ms(); /* who waited for another's answer begins only now */
    c->began_ms = clock_ms();
    c->runs_on = c->keep.key.n > 0;
    run(c);
}
