#include "gateway/batch_file.h"

#include <assert.h>
#include <string.h>

#include <yyjson.h>

#include "gateway/surfaces.h"

#define BATCH_LINE_SMALL 65536u /* bytes of a line that waits for no others to be parsed */
#define SCRATCH_MAX (64u * 1024u) /* what a reader keeps of one line: a model's name and ids of objects */
#define TEXT_SHOWN 400 /* bytes of what is wrong with a line: the rest of an error's text says which */

static_assert(SCRATCH_MAX > 2 * (LIMIT_MODEL + CALL_OBJECTS_MAX * LIMIT_OBJECT_ID), "a line's names find room");
static_assert(TEXT_SHOWN + 64 < ERR_TEXT_MAX, "an error's text finds room");
static_assert(BATCH_LINES_MAX * LIMIT_CHOICES <= LIMIT_COUNT, "answers without a limit can be counted");

/* The url of a line, whose body's reader is the surface's. answers: it writes text, which a body may limit. */
static const struct {
    const char *url;
    enum surface_kind surface;
    bool answers;
} targets[] = {
    {"/v1/chat/completions", SURFACE_CHAT, true},    {"/v1/completions", SURFACE_COMPLETIONS, true},
    {"/v1/responses", SURFACE_RESPONSES, true},      {"/v1/embeddings", SURFACE_EMBEDDINGS, false},
    {"/v1/moderations", SURFACE_MODERATIONS, false},
};
#define TARGETS (sizeof(targets) / sizeof(targets[0]))

/* ---- one line ---------------------------------------------------------------------------------------------------- */

static enum status wrong(struct err *err, const char *why)
{
    return err_set(err, ST_BAD_REQUEST, "%s", why);
}

static enum status find_target(yyjson_val *url, size_t *ret, struct err *err)
{
    size_t i;

    for (i = 0; i < TARGETS; i++)
        if (yyjson_equals_str(url, targets[i].url)) {
            *ret = i;
            return ST_OK;
        }
    return wrong(err, "Invalid 'url': a batch is made of requests to /v1/chat/completions, /v1/completions, "
                      "/v1/responses, /v1/embeddings or /v1/moderations.");
}

/* Of the body, what its surface's reader says. */
static enum status read_members(struct batch_file *b, yyjson_val *root, size_t *ret_target, struct call_request *ret,
                                struct err *err)
{
    enum { CUSTOM_ID, METHOD, URL, BODY };
    static const char *const names[] = {"custom_id", "method", "url", "body"};
    yyjson_val *found[sizeof(names) / sizeof(names[0])];
    struct call_reading r = {.arena = &b->scratch, .ret = ret, .err = err};
    enum status st = members_find(&r, root, names, sizeof(names) / sizeof(names[0]), found);
    unsigned i;

    for (i = CUSTOM_ID; st == ST_OK && i <= BODY; i++)
        if (!found[i])
            st = member_missing(&r, names[i]);
    for (i = CUSTOM_ID; st == ST_OK && i < BODY; i++)
        st = member_text(&r, found[i], names[i]);
    if (st == ST_OK && !yyjson_equals_str(found[METHOD], "POST"))
        st = wrong(err, "Invalid 'method': a batch is made of requests with POST.");
    if (st == ST_OK)
        st = find_target(found[URL], ret_target, err);
    if (st == ST_OK)
        st = call_request_read_value(&surfaces[targets[*ret_target].surface], found[BODY], &b->scratch, ret, err);
    if (st == ST_OK && yyjson_get_bool(yyjson_obj_get(found[BODY], "stream")))
        st = wrong(err, "Invalid 'stream': the answers of a batch are not streamed.");
    return st;
}

static enum status take_model(struct batch_file *b, struct slice model, struct err *err)
{
    enum status st = ST_OK;

    if (!model.n)
        return wrong(err, "Missing required parameter: 'model'.");
    if (b->worth.model.n)
        return slice_eq(model, b->worth.model) ? ST_OK : wrong(err, "All lines of a batch must name the same model.");
    b->worth.model = arena_copy(b->arena, model, &st);
    return st == ST_OK ? ST_OK : err_set(err, st, "%s", status_text(st));
}

static enum status take_objects(struct batch_file *b, const struct call_request *line, struct err *err)
{
    struct call_reading r = {.arena = b->arena, .ret = &b->named, .err = err};
    enum status st = ST_OK;
    unsigned i;

    for (i = 0; st == ST_OK && i < line->n_objects; i++)
        st = call_add_object(&r, line->objects[i].param, line->objects[i].id);
    return st;
}

/* No overflow: a line adds LIMIT_TOKENS times LIMIT_CHOICES at most to what is not above LIMIT_TOKENS. */
static enum status add_line(struct batch_file *b, size_t target, const struct call_request *line, struct err *err)
{
    struct batch_worth *w = &b->worth;
    enum status st = take_model(b, line->model, err);

    if (st == ST_OK)
        st = take_objects(b, line, err);
    if (st != ST_OK)
        return st;
    if (w->requests == BATCH_LINES_MAX)
        return err_set(err, ST_BAD_REQUEST, "A batch has %u requests at most.", BATCH_LINES_MAX);
    w->requests++;
    if (surfaces[targets[target].surface].flags & SURFACE_FREE)
        return ST_OK;
    w->prompt_tokens += line->tokens_upper;
    w->contexts += line->context != NULL;
    if (targets[target].answers && line->output_limit)
        w->output_tokens += line->output_limit * line->choices;
    else if (targets[target].answers)
        w->unlimited += line->choices;
    if (w->prompt_tokens > LIMIT_TOKENS || w->output_tokens > LIMIT_TOKENS)
        return err_set(err, ST_BAD_REQUEST, "Up to this line the requests may use more than %llu tokens.",
                       (unsigned long long)LIMIT_TOKENS);
    return ST_OK;
}

static enum status parse_line(struct batch_file *b, struct slice text, struct err *err)
{
    yyjson_doc *doc = yyjson_read(text.p, text.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct call_request line = {.stream = false};
    size_t target = 0;
    enum status st;

    if (!yyjson_is_obj(root))
        st = wrong(err, "It is not a JSON object.");
    else
        st = read_members(b, root, &target, &line, err);
    if (st == ST_OK)
        st = add_line(b, target, &line, err);
    yyjson_doc_free(doc);
    arena_reset(&b->scratch);
    return st;
}

static enum status read_line(struct batch_file *b, struct slice text, struct err *err)
{
    bool large = b->parsing && text.n > BATCH_LINE_SMALL;
    enum status st;

    if (large)
        gate_enter(b->parsing, text.n);
    st = parse_line(b, text, err);
    if (large)
        gate_leave(b->parsing, text.n);
    return st;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static void forget(struct batch_file *b)
{
    if (b->held)
        atomic_fetch_sub(b->all, b->held);
    b->held = 0;
    buf_fini(&b->line);
    arena_fini(&b->scratch);
}

/* Nothing more is read. */
static void stop(struct batch_file *b, enum status st, const struct err *why)
{
    forget(b);
    b->worth = (struct batch_worth){.requests = 0};
    b->named.n_objects = 0;
    if (st == ST_BAD_REQUEST)
        err_set_field(&b->err, st, "invalid_value", "file", "Invalid 'file': line %llu: %.*s",
                      (unsigned long long)b->n_lines + 1, TEXT_SHOWN, why->text);
    else
        b->err = *why;
    b->err.status = st;
}

static enum status keep(struct batch_file *b, struct slice text, struct err *err)
{
    uint64_t more = b->line.n + text.n > b->held ? b->line.n + text.n - b->held : 0;

    if (atomic_fetch_add(b->all, more) + more > BATCH_HELD_MAX) {
        atomic_fetch_sub(b->all, more);
        return err_set(err, ST_UNAVAILABLE, "There is no room for a line of the file now. Try again later.");
    }
    b->held += more;
    return buf_add(&b->line, text.p, text.n) == ST_OK ? ST_OK
                                                      : err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
}

static struct slice skip_blanks(struct slice s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t' || *s.p == '\r')) {
        s.p++;
        s.n--;
    }
    return s;
}

/* A piece of a line, its end or all of it. */
static enum status take_piece(struct batch_file *b, struct slice text, bool ends, struct err *err)
{
    enum status st = ST_OK;

    if (!b->line.n)
        text = skip_blanks(text);
    if (!b->line.n && text.n && *text.p != '{')
        return wrong(err, "It is not a JSON object.");
    if (text.n > b->line.max - b->line.n)
        return err_set(err, ST_BAD_REQUEST, "It is longer than %zu bytes.", b->line.max);
    if (b->line.n || !ends)
        st = keep(b, text, err);
    if (st != ST_OK || !ends)
        return st;
    if (b->line.n)
        text = (struct slice){b->line.p, b->line.n};
    if (text.n)
        st = read_line(b, text, err);
    b->line.n = 0;
    return st;
}

void batch_file_begin(struct batch_file *b, struct arena *a, size_t line_max, _Atomic uint64_t *all)
{
    *b = (struct batch_file){.arena = a, .all = all};
    arena_init(&b->scratch, SCRATCH_MAX);
    buf_init(&b->line, line_max);
}

void batch_file_feed(struct batch_file *b, struct slice bytes)
{
    while (bytes.n && b->err.status == ST_OK) {
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        size_t n = lf ? (size_t)(lf - bytes.p) : bytes.n;
        struct err err = {.status = ST_OK};
        enum status st = take_piece(b, (struct slice){bytes.p, n}, lf != NULL, &err);

        if (st != ST_OK)
            stop(b, st, &err);
        b->n_lines += lf != NULL;
        n += lf != NULL;
        bytes = (struct slice){bytes.p + n, bytes.n - n};
    }
}

void batch_file_end(struct batch_file *b)
{
    batch_file_feed(b, (struct slice){"\n", 1}); /* the last line may have none */
    forget(b);
    if (b->err.status == ST_OK && !b->worth.requests)
        b->err.status = err_set_field(&b->err, ST_BAD_REQUEST, "invalid_value", "file",
                                      "Invalid 'file': it holds no request of a batch.");
}

void batch_file_fini(struct batch_file *b)
{
    forget(b);
}
