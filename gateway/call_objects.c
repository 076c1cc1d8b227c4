#include <string.h>

#include "gateway/call.h"
#include "gateway/caller.h"
#include "services/clock.h"

#define OBJECT_ASK_MS 2000u /* meterd may take so long */
#define OBJECT_WAIT_MS 1000u /* what was made a moment ago may not be known yet: its bill is on its way */
#define OBJECT_PAUSE_MS 50u
#define PREVIOUS_RESPONSE "previous_response_id"

/* As OpenAI says it. */
static enum status not_found(const struct call_object *o, struct err *err)
{
    int n = (int)o->id.n;

    if (!strcmp(o->param, PREVIOUS_RESPONSE))
        return err_set_field(err, ST_BAD_REQUEST, "previous_response_not_found", o->param,
                             "Previous response with id '%.*s' not found.", n, o->id.p);
    if (!strcmp(o->param, "response_id"))
        return err_set_field(err, ST_NOT_FOUND, NULL, o->param, "Response with id '%.*s' not found.", n, o->id.p);
    if (!strcmp(o->param, "batch_id"))
        return err_set_field(err, ST_NOT_FOUND, NULL, o->param, "No batch found with id '%.*s'.", n, o->id.p);
    if (!strcmp(o->param, "conversation"))
        return err_set_field(err, ST_NOT_FOUND, NULL, o->param, "Conversation with id '%.*s' not found.", n, o->id.p);
    return err_set_field(err, ST_NOT_FOUND, NULL, o->param, "No such File object: %.*s", n, o->id.p);
}

static enum status find(struct call *c, const struct call_object *o, uint64_t until_ms, struct object_find_rep *ret,
                        struct err *err)
{
    struct object_find_req req = {.object_id = o->id, .key_digest = {(const char *)c->digest, sizeof(c->digest)}};
    enum status st;
    bool checked = false;

    if (o->id.n > LIMIT_OBJECT_ID)
        return not_found(o, err);
    for (;;) {
        st = call_wait(svc_peer(c->gw->svc, SVC_METERD), &object_find_req_desc, &req, &object_find_rep_desc, ret,
                       c->r->arena, OBJECT_ASK_MS, err);
        if (st != ST_NOT_FOUND || clock_ms() >= until_ms || atomic_load(&c->gw->closing))
            break;
        if (!checked && caller_check_key(c->r, err) != ST_OK) /* nobody waits for a stranger */
            return err->status;
        checked = true;
        conn_sleep(c->conn, 0, OBJECT_PAUSE_MS);
    }
    if (st == ST_OK)
        return ST_OK;
    if (st == ST_NOT_FOUND)
        return not_found(o, err);
    return err_set(err, ST_UNAVAILABLE, "The router cannot look up '" SLICE_FMT "' now. Try again.", SLICE_ARG(o->id));
}

static bool is_input_file(const struct call_object *o)
{
    return !strcmp(o->param, "input_file_id");
}

/* A batch costs what the lines of its file can use: nobody runs one of a file that nobody has read. */
static enum status check_worth(const struct call *c, struct err *err)
{
    if (!(c->surface->flags & SURFACE_BATCH) || c->worth.requests)
        return ST_OK;
    if (!c->ask.n_objects || !is_input_file(&c->ask.objects[0]))
        return err_set_field(err, ST_BAD_REQUEST, "missing_required_parameter", "input_file_id",
                             "Missing required parameter: 'input_file_id'.");
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "input_file_id",
                         "Invalid 'input_file_id': '" SLICE_FMT "' is no file for a batch. Upload it through this "
                         "router with purpose \"batch\".",
                         SLICE_ARG(c->ask.objects[0].id));
}

static void take_worth(struct call *c, const struct batch_worth *worth)
{
    c->worth = *worth;
    c->ask.model = worth->model;
    c->ask.tokens_upper = worth->prompt_tokens;
    c->ask.context = NULL; /* it is the lines that have one */
}

static uint64_t more_tokens(uint64_t tokens, uint64_t by)
{
    return by < LIMIT_TOKENS - tokens ? tokens + by : LIMIT_TOKENS;
}

/* What upstream goes on from is input of this call, too. */
static void take_context(struct call_request *q, const struct call_object *o, uint64_t tokens)
{
    if (!tokens || strcmp(o->param, PREVIOUS_RESPONSE) != 0)
        return;
    q->tokens = more_tokens(q->tokens, tokens);
    q->tokens_upper = more_tokens(q->tokens_upper, tokens);
    if (q->context &&
        !strcmp(q->context, PREVIOUS_RESPONSE)) /* else there is something of which nobody knows the size */
        q->context_tokens = tokens;
}

enum status call_find_objects(struct call *c, struct err *err)
{
    uint64_t until = clock_ms() + OBJECT_WAIT_MS;
    unsigned i;

    for (i = 0; i < c->ask.n_objects; i++) {
        const struct call_object *o = &c->ask.objects[i];
        struct object_find_rep found = {.provider = {NULL, 0}};
        enum status st = find(c, o, until, &found, err);

        if (st != ST_OK)
            return st;
        if (i && !slice_eq(found.provider, c->provider))
            return err_set_field(err, ST_BAD_REQUEST, "invalid_value", o->param,
                                 "'" SLICE_FMT "' and '" SLICE_FMT "' are kept by different providers: no call can use "
                                 "both.",
                                 SLICE_ARG(c->ask.objects[0].id), SLICE_ARG(o->id));
        c->provider = found.provider;
        take_context(&c->ask, o, found.tokens);
        if (c->surface->flags & SURFACE_BATCH && is_input_file(o) && found.worth.n)
            take_worth(c, &found.worth.items[0]);
    }
    return check_worth(c, err);
}
