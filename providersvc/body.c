#include "providersvc/body.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "services/json.h"

#define NUMBER_TEXT 24

struct body_cuts body_cuts_for(const struct completion_req *req, const struct call_route *route, bool no_stream_options)
{
    struct body_cuts cuts = {0};

    if (!slice_eq(req->model, route->upstream_model))
        cuts.model = route->upstream_model;
    cuts.force_usage = req->stream && !req->usage_asked && !no_stream_options;
    cuts.output_limit = req->output_limit;
    return cuts;
}

/* Replaces one member in *at (which may be out's own bytes) and leaves the result in out. */
static enum status cut(struct slice *at, const char *key, struct slice raw, struct buf *out)
{
    struct buf next;
    enum status st;

    buf_init(&next, BODY_MAX);
    st = buf_reserve(&next, at->n + raw.n + strlen(key) + 8 < BODY_MAX ? at->n + raw.n + strlen(key) + 8 : at->n);
    if (st == ST_OK)
        st = json_splice(*at, key, raw, &next);
    if (st != ST_OK) {
        buf_fini(&next);
        return st;
    }
    buf_fini(out);
    *out = next;
    *at = (struct slice){out->p, out->n};
    return ST_OK;
}

static struct slice value_of(struct slice object, const char *key)
{
    struct json_cut c;

    if (!json_find(object, key, &c))
        return (struct slice){NULL, 0};
    return (struct slice){object.p + c.value, c.value_end - c.value};
}

static enum status cut_model(struct slice *at, struct slice model, struct buf *out)
{
    struct buf quoted;
    enum status st;

    if (model.n == 0)
        return ST_OK;
    buf_init(&quoted, 8u * LIMIT_MODEL);
    st = json_add_string(&quoted, model);
    if (st == ST_OK)
        st = cut(at, "model", (struct slice){quoted.p, quoted.n}, out);
    buf_fini(&quoted);
    return st;
}

/* Other members of stream_options stay. One that is neither an object nor null is left for upstream to refuse. */
static enum status cut_usage(struct slice *at, struct buf *out)
{
    struct slice options = value_of(*at, "stream_options");
    struct buf next;
    enum status st;

    if (options.n == 0 || slice_is(options, "null"))
        return cut(at, "stream_options", slice_of("{\"include_usage\":true}"), out);
    if (options.p[0] != '{')
        return ST_OK;
    buf_init(&next, BODY_MAX);
    st = json_splice(options, "include_usage", slice_of("true"), &next);
    if (st == ST_OK)
        st = cut(at, "stream_options", (struct slice){next.p, next.n}, out);
    buf_fini(&next);
    return st;
}

/* Under the name that the client used; both, should it have used both. Where it used neither, max_tokens is for hosts
 * that may know no other: OpenAI's reasoning models refuse it. */
static enum status cut_limit(struct slice *at, const struct body_cuts *cuts, struct buf *out)
{
    char text[NUMBER_TEXT];
    struct slice raw;
    bool old_name = value_of(*at, "max_tokens").n > 0;
    bool new_name = value_of(*at, "max_completion_tokens").n > 0;
    enum status st = ST_OK;

    snprintf(text, sizeof(text), "%" PRIu64, cuts->output_limit);
    raw = slice_of(text);
    if (cuts->limit_member != NULL)
        return cuts->limit_member[0] != '\0' ? cut(at, cuts->limit_member, raw, out) : ST_OK;
    if (!old_name && !new_name)
        return cut(at, cuts->old_limit ? "max_tokens" : "max_completion_tokens", raw, out);
    if (old_name)
        st = cut(at, "max_tokens", raw, out);
    if (st == ST_OK && new_name)
        st = cut(at, "max_completion_tokens", raw, out);
    return st;
}

static enum status drop(struct slice *at, struct slice name, struct buf *out)
{
    char key[LIMIT_MODEL + 1];
    struct buf next;
    enum status st;

    if (!slice_copy(name, key, sizeof(key)) || value_of(*at, key).n == 0)
        return ST_OK;
    buf_init(&next, BODY_MAX);
    st = json_remove(*at, key, &next);
    if (st != ST_OK) {
        buf_fini(&next);
        return st;
    }
    buf_fini(out);
    *out = next;
    *at = (struct slice){out->p, out->n};
    return ST_OK;
}

enum status body_make(struct slice client, const struct body_cuts *cuts, struct buf *out, struct slice *ret)
{
    struct slice at = client;
    enum status st = cut_model(&at, cuts->model, out);

    if (st == ST_OK && cuts->force_usage)
        st = cut_usage(&at, out);
    if (st == ST_OK && cuts->output_limit > 0)
        st = cut_limit(&at, cuts, out);
    for (size_t i = 0; st == ST_OK && cuts->drop != NULL && i < cuts->drop->n; i++)
        st = drop(&at, cuts->drop->items[i], out);
    if (st == ST_OK && cuts->no_stream_options)
        st = drop(&at, slice_of("stream_options"), out);
    if (st == ST_OK)
        *ret = at;
    return st;
}
