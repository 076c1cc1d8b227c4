/* The account and administration API: one handler for every route that becomes one message (routes.c says which). */
#include <string.h>

#include "gateway/answer.h"
#include "gateway/routes.h"
#include "services/json.h"

#define ACCOUNT_CALL_MS 15000u
#define ACCOUNT_SLOW_MS 600000u
#define ACCOUNT_SYNC_MS 2000u
#define ACCOUNT_BODY_MAX 65536u
#define ACCOUNT_LARGE_MAX (2u * LIMIT_CONFIG) /* a file within JSON */
#define QUERY_NAME_MAX 64u
#define QUERY_VALUE_MAX 4096u
#define ANSWER_BODY_MAX (16u * 1024u * 1024u)

/* Members that only the gateway sets. */
static const char *const reserved[] = {"actor_id", "client_ip", "session_id", "idempotency_key", "create"};

/* Of whom an administrator wants to see what everybody has; others see their own. */
#define WHOSE "user"

#define RESERVED_N (sizeof(reserved) / sizeof(reserved[0]))
#define PARAM_NAME_MAX 32

/* What a client may not set: the reserved members, and what the path names. Others of that kind may be arguments: a
 * refund names a user in the path and a call in the body. */
struct closed {
    char param[PARAM_NAME_MAX]; /* the member that the {…} of the path fills; empty = the path has none */
    const char *names[RESERVED_N + 3];
};

static void close_members(const struct request *r, struct closed *c)
{
    const char *open = strchr(r->route->path, '{');
    size_t n = open ? strcspn(open + 1, "}*") : 0, used = RESERVED_N;

    memcpy(c->names, reserved, sizeof(reserved));
    if (slice_copy((struct slice){open ? open + 1 : "", n}, c->param, sizeof(c->param)) && r->param.n)
        c->names[used++] = c->param;
    if (!(r->route->flags & ROUTE_EVERYBODY))
        c->names[used++] = WHOSE;
    c->names[used] = NULL;
}

/* The code of a 404, by what the path begins with. */
static const struct {
    const char *path, *code;
} missing[] = {
    {"/api/keys/", "key_not_found"},
    {"/api/usage/requests/", "request_not_found"},
    {"/api/admin/requests/", "request_not_found"},
    {"/api/admin/users/", "user_not_found"},
    {"/api/admin/codes/", "code_not_found"},
    {"/api/admin/providers/", "provider_not_found"},
    {"/api/admin/models/", "model_not_found"},
    {"/api/admin/alerts/", "alert_not_found"},
};

/* name: as the message calls it. */
static enum status not_found(const struct request *r, struct slice name, struct err *err)
{
    const char *code = NULL;
    struct closed closed;
    size_t i;

    close_members(r, &closed);
    for (i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
        if (!strncmp(r->route->path, missing[i].path, strlen(missing[i].path)))
            code = missing[i].code;
    return err_set_field(err, ST_NOT_FOUND, code, closed.param, "There is no '" SLICE_FMT "'.", SLICE_ARG(name));
}

/* What is longer than its member may be names nothing. */
static bool param_fits(const struct wire_desc *desc, const struct closed *closed, struct slice param)
{
    const struct wire_field *f = wire_field_named(desc, slice_of(closed->param));

    return !f || param.n <= f->limit;
}

static void set_member(const struct wire_desc *desc, void *msg, const char *name, struct slice value)
{
    const struct wire_field *f = wire_field_named(desc, slice_of(name));
    uint64_t has;

    if (!f || !value.n)
        return;
    memcpy((char *)msg + f->offset, &value, sizeof(value));
    memcpy(&has, msg, sizeof(has)); /* the first member of every message */
    has |= UINT64_C(1) << f->tag;
    memcpy(msg, &has, sizeof(has));
}

static void set_flag(const struct wire_desc *desc, void *msg, const char *name)
{
    const struct wire_field *f = wire_field_named(desc, slice_of(name));

    if (f && f->kind == WIRE_BOOL)
        *((bool *)msg + f->offset) = true; /* members of one byte */
}

static const struct wire_desc nothing = {.name = "nothing"}; /* of the query where arguments are in the body */

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* The list's own text, which lives on; NULL = it is not there. */
static const char *listed(struct slice name, const char *const *list)
{
    while (*list && !slice_is(name, *list))
        list++;
    return *list;
}

static enum status set_argument(struct request *r, const struct wire_desc *desc, const struct closed *closed, void *msg,
                                struct slice raw_name, struct slice raw_value, struct err *err)
{
    char name[QUERY_NAME_MAX + 1], value[QUERY_VALUE_MAX]; /* the value without a NUL at its end */
    const char *closed_name;
    struct slice n, v;
    enum status st;

    if (!request_decode(raw_name, true, name, QUERY_NAME_MAX, &n))
        return err_set(err, ST_BAD_REQUEST, "The query string is not valid.");
    name[n.n] = '\0';
    if (!request_decode(raw_value, true, value, sizeof(value), &v))
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", name,
                             "Invalid '%s': expected %u bytes at most, percent-encoded.", name, QUERY_VALUE_MAX);
    closed_name = listed(n, closed->names);
    if (closed_name)
        return err_set_field(err, ST_BAD_REQUEST, "unknown_parameter", closed_name, "Unknown parameter: '%s'.",
                             closed_name);
    n = arena_copy(r->arena, n, &st);
    if (st == ST_OK)
        v = arena_copy(r->arena, v, &st);
    if (st != ST_OK)
        return err_set(err, st, "%s", status_text(st));
    return json_set_text(desc, n, v, msg, r->arena, err);
}

static enum status read_query(struct request *r, const struct wire_desc *desc, const struct closed *closed, void *msg,
                              struct err *err)
{
    struct slice rest = r->query;
    enum status st = ST_OK;

    while (rest.n && st == ST_OK) {
        const char *amp = memchr(rest.p, '&', rest.n);
        struct slice pair = {rest.p, amp ? (size_t)(amp - rest.p) : rest.n};
        const char *eq = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
        struct slice name = {pair.p, eq ? (size_t)(eq - pair.p) : pair.n};
        struct slice value = {eq ? eq + 1 : NULL, eq ? pair.n - name.n - 1 : 0};

        if (pair.n)
            st = set_argument(r, desc, closed, msg, name, value, err);
        rest.p += pair.n + (amp != NULL);
        rest.n -= pair.n + (amp != NULL);
    }
    return st;
}

enum status account_no_query(struct request *r, struct err *err)
{
    struct closed closed;

    close_members(r, &closed);
    return read_query(r, &nothing, &closed, NULL, err);
}

static enum status read_arguments(struct request *r, const struct closed *closed, void *msg, struct err *err)
{
    size_t most = r->route->flags & ROUTE_LARGE ? ACCOUNT_LARGE_MAX : ACCOUNT_BODY_MAX;
    bool body = slice_is(r->method, "POST") || slice_is(r->method, "PATCH");
    enum status st = read_query(r, body ? &nothing : r->route->req, closed, msg, err);

    if (!body || (r->route->flags & ROUTE_NO_BODY) || st != ST_OK)
        return st;
    st = request_read_body(r, most, err);
    if (st == ST_OK && r->body.n) /* none is an empty object: what is due is missed by name */
        st = json_decode(r->route->req, r->body, closed->names, msg, r->arena, err);
    return st;
}

static void set_ours(struct request *r, const struct closed *closed, void *msg)
{
    const struct wire_desc *desc = r->route->req;

    if (!(r->route->flags & ROUTE_EVERYBODY))
        set_member(desc, msg, "actor_id", r->user_id);
    if (r->route->flags & ROUTE_SELF)
        set_member(desc, msg, "id", r->user_id);
    if (r->route->flags & ROUTE_IDEMPOTENT)
        set_member(desc, msg, "idempotency_key", r->idempotency_key);
    set_member(desc, msg, "session_id", r->session_id);
    set_member(desc, msg, "client_ip", r->client_ip);
    if (closed->param[0])
        set_member(desc, msg, closed->param, r->param);
    if (r->route->flags & ROUTE_NEW)
        set_flag(desc, msg, "create");
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static const void *member_at(const void *msg, const struct wire_field *f)
{
    return (const char *)msg + f->offset;
}

static const struct wire_field *list_of(const struct wire_desc *desc)
{
    const struct wire_field *f = wire_field_named(desc, slice_of("data"));

    return f && f->kind == WIRE_LIST ? f : NULL;
}

static void add_items(const struct wire_field *f, const struct wire_list *list, struct buf *out)
{
    size_t i;

    buf_addf(out, "[");
    for (i = 0; i < list->n; i++) {
        if (i)
            buf_addf(out, ",");
        json_encode(f->item, (const char *)list->items + i * f->item->size, out);
    }
    buf_addf(out, "]");
}

/* What a list says beside its rows, its total and its place. */
static void add_others(const struct wire_desc *desc, const void *rep, struct buf *out)
{
    uint32_t i;

    for (i = 0; i < desc->n_fields; i++) {
        const struct wire_field *f = &desc->fields[i];

        if (f->kind == WIRE_LIST || f->kind == WIRE_BIN || !strcmp(f->name, "next") || !strcmp(f->name, "revision"))
            continue;
        buf_addf(out, ",");
        json_encode_member(f, rep, out);
    }
}

/* {"object":"list","data":[…],"total":{…},…,"has_more":…,"next":…} */
static void add_list(const struct wire_desc *desc, const void *rep, struct buf *out)
{
    const struct wire_field *data = list_of(desc), *next = wire_field_named(desc, slice_of("next"));
    const struct wire_field *total = wire_field_named(desc, slice_of("total"));
    struct slice cursor = {NULL, 0};

    buf_addf(out, "{\"object\":\"list\",\"data\":");
    add_items(data, member_at(rep, data), out);
    if (total) {
        const struct wire_list *one = member_at(rep, total);

        buf_addf(out, ",\"total\":");
        if (one->n)
            json_encode(total->item, one->items, out);
        else
            buf_addf(out, "null");
    }
    add_others(desc, rep, out);
    if (next)
        memcpy(&cursor, member_at(rep, next), sizeof(cursor));
    buf_addf(out, ",\"has_more\":%s,\"next\":", cursor.n ? "true" : "false");
    if (cursor.n)
        json_add_string(out, cursor);
    else
        buf_addf(out, "null");
    buf_addf(out, "}");
}

/* The one object of a reply that has one; NULL when it is not there. */
static const void *only_item(const struct wire_desc *desc, const void *rep, const struct wire_desc **ret_item)
{
    const struct wire_list *list = NULL;
    uint32_t i;

    for (i = 0; i < desc->n_fields && !list; i++) {
        if (desc->fields[i].kind == WIRE_LIST) {
            list = member_at(rep, &desc->fields[i]);
            *ret_item = desc->fields[i].item;
        }
    }
    return list && list->n ? list->items : NULL;
}

static void answer_reply(struct request *r, const void *rep)
{
    const struct route *route = r->route;
    const struct wire_desc *desc = route->rep;
    struct buf out;

    if (route->success == 204) {
        answer_nothing(r, 204);
        return;
    }
    buf_init(&out, ANSWER_BODY_MAX);
    if (route->flags & (ROUTE_UNWRAP | ROUTE_FIRST)) {
        rep = only_item(desc, rep, &desc);
        if (!rep) {
            struct err err = {.status = ST_OK};

            not_found(r, r->param, &err);
            answer_error(r, &err);
            return;
        }
    }
    if (desc == route->rep && list_of(desc))
        add_list(desc, rep, &out);
    else
        json_encode(desc, rep, &out);
    if (buf_add(&out, "\n", 1) == ST_OK)
        answer_json(r, route->success, (struct slice){out.p, out.n});
    else
        answer_error(r, &(struct err){.status = ST_NO_MEMORY});
    buf_fini(&out);
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

/* A write that was answered is in force: admission has seen it. Best effort: the write itself is done. */
static void wait_until_in_force(struct request *r, const void *rep)
{
    const struct wire_field *f = wire_field_named(r->route->rep, slice_of("revision"));
    struct state_sync_req sync = {.revision = 0};
    struct empty ignored;

    if (!f || slice_is(r->method, "GET") || r->head)
        return;
    memcpy(&sync.revision, member_at(rep, f), sizeof(sync.revision));
    if (sync.revision)
        call_wait(svc_peer(r->gw->svc, SVC_AUTHSVC), &state_sync_req_desc, &sync, &empty_desc, &ignored, r->arena,
                  ACCOUNT_SYNC_MS, NULL);
}

static enum status call_service(struct request *r, void *rep, struct err *err)
{
    const struct route *route = r->route;
    void *msg = arena_alloc(r->arena, route->req->size);
    struct closed closed;
    enum status st;

    if (!msg)
        return err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    close_members(r, &closed);
    if (!param_fits(route->req, &closed, r->param))
        return not_found(r, slice_of("…"), err);
    st = read_arguments(r, &closed, msg, err);
    if (st != ST_OK)
        return st;
    set_ours(r, &closed, msg);
    st = json_check_required(route->req, msg, err);
    if (st != ST_OK)
        return st;
    return call_wait(svc_peer(r->gw->svc, route->peer), route->req, msg, route->rep, rep, r->arena,
                     route->flags & ROUTE_SLOW ? ACCOUNT_SLOW_MS : ACCOUNT_CALL_MS, err);
}

void account_handle(struct request *r)
{
    struct err err = {.status = ST_OK};
    void *rep = arena_alloc(r->arena, r->route->rep->size);
    enum status st = rep ? call_service(r, rep, &err) : ST_NO_MEMORY;

    if (st != ST_OK) {
        err.status = st;
        answer_error(r, &err);
        return;
    }
    wait_until_in_force(r, rep);
    answer_reply(r, rep);
}
