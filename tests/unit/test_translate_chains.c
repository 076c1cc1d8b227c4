/*
 * Two translators in a row, as the relay runs them: what the first asks for the second has to be able to say, and what
 * the second gives the first has to understand: requests, whole answers, streams cut anywhere or ended by us. What a
 * client sees is written down in short (told) and compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

#include "providersvc/sse.h"
#include "tests/lib/translating.h"

#define CHAIN_OUT_MAX (4u * 1024u * 1024u)

/* ---- a chain -------------------------------------------------------------------------------------------------------
 */

struct chain {
    const struct translator *steps[2]; /* from the client's to upstream's */
    void *states[2];
    struct translate_call call;
    struct buf dropped, out;
    struct usage usage;
    struct err err;
    bool final;
    size_t events, most; /* read; where we end it */
};

static void chain_begin(struct chain *c, const struct translator *client, const struct translator *upstream,
                        const char *model, bool stream)
{
    memset(c, 0, sizeof(*c));
    c->steps[0] = client;
    c->steps[1] = upstream;
    for (size_t i = 0; i < 2; i++) {
        c->states[i] = calloc(1, c->steps[i]->state_size);
        assert_non_null(c->states[i]);
    }
    buf_init(&c->dropped, TRANSLATE_DROPPED_MAX);
    buf_init(&c->out, CHAIN_OUT_MAX);
    c->most = SIZE_MAX;
    c->call = (struct translate_call){.model = slice_of("m"),
                                      .upstream_model = slice_of(model),
                                      .request_id = slice_of("req_test"),
                                      .created = 1700000000,
                                      .stream = stream,
                                      .dropped = &c->dropped};
}

static void chain_end(struct chain *c)
{
    for (size_t i = 0; i < 2; i++) {
        c->steps[i]->fini(c->states[i]);
        free(c->states[i]);
    }
    buf_fini(&c->dropped);
    buf_fini(&c->out);
}

static enum status chain_request(struct chain *c, struct slice body)
{
    struct buf between;
    enum status st;

    buf_init(&between, CHAIN_OUT_MAX);
    st = c->steps[0]->request(c->states[0], &c->call, body, &between, &c->err);
    if (st == ST_OK)
        st = c->steps[1]->request(c->states[1], &c->call, (struct slice){between.p, between.n}, &c->out, &c->err);
    buf_fini(&between);
    return st;
}

static enum status chain_answer(struct chain *c, struct slice body)
{
    struct buf between;
    enum status st;

    buf_init(&between, CHAIN_OUT_MAX);
    c->out.n = 0;
    st = c->steps[1]->answer(c->states[1], &c->call, body, &between, &c->err);
    if (st == ST_OK)
        st = c->steps[0]->answer(c->states[0], &c->call, (struct slice){between.p, between.n}, &c->out, &c->err);
    buf_fini(&between);
    return st;
}

static enum status to_client(void *ctx, struct slice name, struct slice data)
{
    struct chain *c = ctx;

    assert_true(name.n > 0); /* both of these clients know events by their names */
    return buf_addf(&c->out, "event: " SLICE_FMT "\ndata: " SLICE_FMT "\n\n", SLICE_ARG(name), SLICE_ARG(data));
}

static enum status to_first(void *ctx, struct slice name, struct slice data)
{
    struct chain *c = ctx;
    struct translate_sink sink = {to_client, c};

    assert_int_equal(name.n, 0); /* chat has no names */
    return c->steps[0]->event(c->states[0], &c->call, data, &sink, &c->err);
}

static enum status take_event(void *ctx, const struct sse_event *ev)
{
    struct chain *c = ctx;
    struct translate_sink sink = {to_first, c};
    struct facts facts;

    if (ev->data.n == 0)
        return ST_OK;
    if (c->events++ >= c->most)
        return ST_CANCELLED;
    assert_int_equal(c->steps[1]->upstream->read(ev->data, &c->usage, NULL, &facts), ST_OK);
    if (facts.failed)
        return err_set(&c->err, ST_UPSTREAM, "%s", facts.error.message);
    c->usage = facts.usage;
    c->final |= facts.final || facts.finished != 0;
    return c->steps[1]->event(c->states[1], &c->call, ev->data, &sink, &c->err);
}

static enum status chain_finish(struct chain *c, enum translate_end how, const struct usage *usage)
{
    struct translate_sink first = {to_first, c}, client = {to_client, c};
    enum status st = c->steps[1]->end(c->states[1], &c->call, how, usage, &first, &c->err);

    return st == ST_OK ? c->steps[0]->end(c->states[0], &c->call, how, usage, &client, &c->err) : st;
}

/* Pieces end at every multiple of step, and at `cut`. */
static enum status chain_stream(struct chain *c, struct slice bytes, size_t step, size_t cut)
{
    enum status st = ST_OK;
    struct sse sse;

    c->out.n = 0;
    sse_init(&sse);
    for (size_t at = 0, n; at < bytes.n && st == ST_OK; at += n) {
        n = bytes.n - at < step ? bytes.n - at : step;
        if (at < cut && at + n > cut)
            n = cut - at;
        st = sse_feed(&sse, (struct slice){bytes.p + at, n}, take_event, c);
    }
    if (st == ST_OK)
        st = sse_end(&sse, take_event, c);
    sse_fini(&sse);
    return st;
}

/* ---- what a client is told -----------------------------------------------------------------------------------------
 */

struct telling {
    struct buf *to;
    yyjson_val *root;
    uint64_t next; /* sequence_number, or a block's index */
    bool open; /* a block */
    bool ended;
};

static const char *text_at(yyjson_val *v, const char *pointer)
{
    const char *text = yyjson_get_str(yyjson_ptr_get(v, pointer));

    return text != NULL ? text : "";
}

static uint64_t number_at(yyjson_val *v, const char *pointer)
{
    return yyjson_get_uint(yyjson_ptr_get(v, pointer));
}

static void tell_usage(struct telling *t, yyjson_val *usage)
{
    uint64_t in = number_at(usage, "/input_tokens") + number_at(usage, "/cache_read_input_tokens") +
                  number_at(usage, "/cache_creation_input_tokens");

    (void)buf_addf(t->to, " {%llu>%llu}", (unsigned long long)in,
                   (unsigned long long)number_at(usage, "/output_tokens"));
}

static void tell_message(struct telling *t)
{
    yyjson_val *block;
    size_t i, n;

    yyjson_arr_foreach(yyjson_obj_get(t->root, "content"), i, n, block)
    {
        char *input = yyjson_val_write(yyjson_obj_get(block, "input"), 0, NULL);

        (void)buf_addf(t->to, "[%s %s%s%s]", text_at(block, "/type"), text_at(block, "/text"), text_at(block, "/name"),
                       input != NULL ? input : "");
        free(input);
    }
    (void)buf_addf(t->to, " %s", text_at(t->root, "/stop_reason"));
    tell_usage(t, yyjson_obj_get(t->root, "usage"));
}

/* An event of Anthropic's, which must come in their order. */
static void tell_messages_event(struct telling *t, struct slice name)
{
    yyjson_val *root = t->root;

    assert_false(t->ended);
    if (slice_is(name, "content_block_start")) {
        assert_false(t->open);
        assert_int_equal(number_at(root, "/index"), t->next);
        t->open = true;
        (void)buf_addf(t->to, "[%s %s", text_at(root, "/content_block/type"), text_at(root, "/content_block/name"));
    } else if (slice_is(name, "content_block_delta")) {
        assert_true(t->open);
        assert_int_equal(number_at(root, "/index"), t->next);
        (void)buf_addf(t->to, "%s%s", text_at(root, "/delta/text"), text_at(root, "/delta/partial_json"));
    } else if (slice_is(name, "content_block_stop")) {
        assert_true(t->open);
        t->open = false;
        t->next++;
        (void)buf_addc(t->to, "]");
    } else if (slice_is(name, "message_delta")) {
        assert_false(t->open);
        (void)buf_addf(t->to, " %s", text_at(root, "/delta/stop_reason"));
        tell_usage(t, yyjson_obj_get(root, "usage"));
    } else if (slice_is(name, "message_stop")) {
        t->ended = true;
    } else {
        assert_true(slice_is(name, "message_start"));
        assert_true(yyjson_is_obj(yyjson_ptr_get(root, "/message/usage")));
    }
}

static void tell_response(struct telling *t, yyjson_val *response)
{
    yyjson_val *item, *part;
    size_t i, n, j, m;

    yyjson_arr_foreach(yyjson_obj_get(response, "output"), i, n, item)
    {
        (void)buf_addf(t->to, "[%s %s%s%s%s", text_at(item, "/type"), text_at(item, "/name"),
                       text_at(item, "/arguments"), text_at(item, "/input"), text_at(item, "/output_format"));
        yyjson_arr_foreach(yyjson_obj_get(item, "content"), j, m, part)(void) buf_addc(t->to, text_at(part, "/text"));
        yyjson_arr_foreach(yyjson_obj_get(item, "summary"), j, m, part)(void) buf_addc(t->to, text_at(part, "/text"));
        (void)buf_addc(t->to, "]");
    }
    (void)buf_addf(t->to, " %s", text_at(response, "/status"));
    tell_usage(t, yyjson_obj_get(response, "usage"));
}

/* What the deltas say in turn has to be what the last event's object says: only that is told. */
static void tell_responses_event(struct telling *t, struct slice name)
{
    assert_false(t->ended);
    assert_int_equal(number_at(t->root, "/sequence_number"), t->next++);
    if (!slice_is(name, "response.completed") && !slice_is(name, "response.incomplete"))
        return;
    tell_response(t, yyjson_obj_get(t->root, "response"));
    t->ended = true;
}

static void tell(const struct chain *c, bool stream, struct buf *to)
{
    bool anthropic = c->steps[0]->client == &dialect_messages;
    struct telling t = {.to = to};
    const char *p = c->out.p, *end = c->out.p + c->out.n;

    while (p < end) {
        const char *stop = stream ? memmem(p, (size_t)(end - p), "\n\n", 2) : end;
        const char *line = stream ? memmem(p, (size_t)(end - p), "\ndata: ", 7) : NULL;
        const char *data = line != NULL ? line + 7 : p;
        struct slice name = {p + 7, line != NULL ? (size_t)(line - p) - 7 : 0};
        yyjson_doc *doc = yyjson_read(data, (size_t)(stop - data), 0);

        t.root = yyjson_doc_get_root(doc);
        assert_non_null(t.root);
        if (!stream && anthropic)
            tell_message(&t);
        else if (!stream)
            tell_response(&t, t.root);
        else if (anthropic)
            tell_messages_event(&t, name);
        else
            tell_responses_event(&t, name);
        yyjson_doc_free(doc);
        p = stream ? stop + 2 : end;
    }
    assert_true(t.ended || !stream);
    (void)buf_add(to, "", 1);
}

static void assert_told(const struct chain *c, bool stream, const char *what)
{
    struct buf told;

    buf_init(&told, CHAIN_OUT_MAX);
    tell(c, stream, &told);
    if (strcmp(told.p, what) != 0)
        fail_msg("told     %s\nexpected %s\nin " SLICE_FMT, told.p, what, (int)c->out.n, c->out.p);
    buf_fini(&told);
}

/* ---- the pairs that adapters make ----------------------------------------------------------------------------------
 */

#define ANTHROPIC "translate/messages_to_openai/1_anthropic.request.json"
#define RESPONSES "translate/responses_to_chat/1_responses.request.json"

struct pair {
    const struct translator *client, *upstream;
    const char *model, *request;
    const char *unsupported; /* what of the request upstream has nothing for; NULL = nothing */
    const char *upstream_says[3]; /* pieces of the body */
};

static const struct pair m2g = {&messages_to_chat,
                                &chat_to_gemini,
                                "gemini-3.8-flash",
                                ANTHROPIC,
                                NULL,
                                {"\"systemInstruction\"", "\"functionResponse\"", "\"mode\":\"ANY\""}};
static const struct pair m2r = {&messages_to_chat,
                                &chat_to_responses,
                                "gpt-6",
                                ANTHROPIC,
                                "stop",
                                {"\"function_call_output\"", "\"store\":false", "\"tool_choice\":\"required\""}};
static const struct pair r2m = {&responses_to_chat,
                                &chat_to_messages,
                                "claude-sonnet-4-5",
                                RESPONSES,
                                NULL,
                                {"\"tool_result\"", "\"input_schema\"", "\"max_tokens\":100"}};
static const struct pair r2g = {&responses_to_chat,
                                &chat_to_gemini,
                                "gemini-3.8-flash",
                                RESPONSES,
                                NULL,
                                {"\"functionResponse\"", "\"systemInstruction\"", "\"maxOutputTokens\":100"}};

struct row {
    const struct pair *pair;
    const char *upstream; /* fixture */
    const char *told;
};

#define HOLA "\xc2\xa1Hola!"
#define LIMA "{\"city\":\"Lima\",\"unit\":\"c\"}"
/* one call: the client asked for no more at once */
#define G_MESSAGE "[text " HOLA "][tool_use get_weather" LIMA "] tool_use {80>43}"
#define G_RESPONSE                                                                                                     \
    "[reasoning The weather is asked for.][message " HOLA "][function_call get_weather" LIMA                           \
    "][function_call get_time{}] completed {80>43}"
#define A_RESPONSE                                                                                                     \
    "[reasoning Two cities, two calls.][message Checking both.][function_call get_weather{\"city\": \"Lima\"}]"        \
    "[function_call get_weather{\"city\": \"Oslo\"}] completed {2045>118}"

static const struct row streams[] = {
    {&m2g, "gemini/stream.sse", "[text " HOLA "] end_turn {5>13}"},
    {&m2g, "translate/gemini_stream_to_chat/1_gemini.sse", G_MESSAGE},
    {&m2g, "gemini/stream_image.sse", "[text [image: image/png, 67 bytes]] end_turn {9>1299}"},
    {&m2r, "openai/responses_stream.sse", "[text " HOLA "] end_turn {12>4}"},
    {&m2r, "openai/responses_stream_tool.sse", "[tool_use get_weather" LIMA "] tool_use {58>17}"},
    {&m2r, "translate/responses_stream_to_chat/1_responses.sse", "[tool_use get_weather" LIMA "] tool_use {58>17}"},
    {&r2m, "anthropic/messages_stream.sse", A_RESPONSE},
    {&r2m, "translate/anthropic_stream_to_chat/1_anthropic.sse", A_RESPONSE},
    {&r2g, "gemini/stream.sse", "[message " HOLA "] completed {5>13}"},
    {&r2g, "translate/gemini_stream_to_chat/1_gemini.sse", G_RESPONSE},
    {&r2g, "gemini/stream_image.sse", "[image_generation_call png] completed {9>1299}"},
};

static const struct row answers[] = {
    {&m2g, "gemini/generate_plain.response.json", "[text Lima] end_turn {5>1}"},
    {&m2g, "gemini/generate_tools.response.json", "[tool_use get_weather{\"city\":\"Lima\"}] tool_use {120>45}"},
    {&m2g, "gemini/generate_image.response.json", "[text [image: image/png, 67 bytes]] end_turn {9>1299}"},
    {&m2r, "openai/responses.response.json", "[text Lima] end_turn {17>2}"},
    {&m2r, "translate/chat_to_responses/3_responses.response.json",
     "[tool_use get_weather{\"city\":\"Lima\"}] tool_use {150>40}"},
    {&r2m, "anthropic/messages_plain.response.json", "[message Lima] completed {1812>5}"},
    {&r2m, "anthropic/messages_tools.response.json",
     "[message I'll check both cities.][function_call get_weather{\"city\":\"Lima\"}]"
     "[function_call get_weather{\"city\":\"Oslo\"}] completed {410>96}"},
    {&r2g, "gemini/generate_plain.response.json", "[message Lima] completed {5>1}"},
    {&r2g, "gemini/generate_image.response.json", "[image_generation_call png] completed {9>1299}"},
    {&r2g, "gemini/generate_tools.response.json", "[function_call get_weather{\"city\":\"Lima\"}] completed {120>45}"},
};

/* The request is made, because it leaves what the answer needs. */
static void open_chain(struct chain *c, const struct pair *pair, bool stream)
{
    struct slice body = fixture(pair->request);

    chain_begin(c, pair->client, pair->upstream, pair->model, stream);
    c->call.drop_unsupported = true;
    if (chain_request(c, body) != ST_OK)
        fail_msg("%s: %s", pair->request, c->err.text);
    free((void *)(uintptr_t)body.p);
}

static void requests_pass_both(void **state)
{
    static const struct pair *const pairs[] = {&m2g, &m2r, &r2m, &r2g};

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const struct pair *pair = pairs[i];
        struct slice body = fixture(pair->request);
        struct chain c;

        for (unsigned stream = 0; stream < 2; stream++) { /* usage is asked for between the two, and no obstacle */
            open_chain(&c, pair, stream == 1);
            for (size_t k = 0; k < 3; k++)
                if (memmem(c.out.p, c.out.n, pair->upstream_says[k], strlen(pair->upstream_says[k])) == NULL)
                    fail_msg("no %s in " SLICE_FMT, pair->upstream_says[k], (int)c.out.n, c.out.p);
            assert_int_equal(c.dropped.n, pair->unsupported != NULL ? strlen(pair->unsupported) : 0);
            chain_end(&c);

            chain_begin(&c, pair->client, pair->upstream, pair->model, stream == 1);
            assert_int_equal(chain_request(&c, body), pair->unsupported != NULL ? ST_BAD_REQUEST : ST_OK);
            assert_string_equal(c.err.param, pair->unsupported != NULL ? pair->unsupported : "");
            chain_end(&c);
        }
        free((void *)(uintptr_t)body.p);
    }
}

/* What OpenAI would not take as strict is none in Responses either, whose default it is. */
static void only_what_openai_takes_is_strict(void **state)
{
    static const struct {
        const char *required, *sent;
    } rows[] = {{"\"a\",\"b\"", "\"strict\":true"}, {"\"a\"", "\"strict\":false"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chain c;
        char body[512];

        snprintf(body, sizeof(body),
                 "{\"model\":\"m\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"tools\":[{"
                 "\"name\":\"f\","
                 "\"strict\":true,\"input_schema\":{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},"
                 "\"required\":[%s],"
                 "\"additionalProperties\":false}}]}",
                 rows[i].required);
        chain_begin(&c, &messages_to_chat, &chat_to_responses, "gpt-5.6", false);
        if (chain_request(&c, slice_of(body)) != ST_OK)
            fail_msg("%s", c.err.text);
        if (memmem(c.out.p, c.out.n, rows[i].sent, strlen(rows[i].sent)) == NULL)
            fail_msg("no %s in " SLICE_FMT, rows[i].sent, (int)c.out.n, c.out.p);
        chain_end(&c);
    }
}

/* A turn of Codex: tools in the input, a custom one among them that was called, a word before the result. */
static void agents_of_responses_pass_both(void **state)
{
    static const char asked[] =
        "{'instructions':'i','input':[{'type':'additional_tools','role':'developer','tools':[{'type':'custom','name':"
        "'apply_patch','format':{'type':'grammar','syntax':'lark','definition':'g'}}]},{'role':'developer','content':"
        "'d'},{'role':'user','content':'q'},{'type':'custom_tool_call','call_id':'c1','name':'apply_patch','input':"
        "'*** Begin'},{'type':'message','role':'assistant','content':[{'type':'output_text','text':'Patched.'}]},"
        "{'type':'custom_tool_call_output','call_id':'c1','output':'Done'}]}";
    static const struct {
        const struct translator *upstream;
        const char *model, *history, *answer;
    } rows[] = {
        {&chat_to_messages, "claude-sonnet-4-5",
         "{'role':'assistant','content':[{'type':'text','text':'Patched.'},{'type':'tool_use','id':'c1','name':"
         "'apply_patch','input':{'input':'*** Begin'}}]},{'role':'user','content':[{'type':'tool_result',"
         "'tool_use_id':'c1','content':'Done'}]}",
         "{'type':'message','content':[{'type':'tool_use','id':'c2','name':'apply_patch','input':{'input':'*** End'}}],"
         "'stop_reason':'tool_use','usage':{'input_tokens':5,'output_tokens':3}}"},
        {&chat_to_gemini, "gemini-2.5-flash",
         "{'role':'model','parts':[{'text':'Patched.'},{'functionCall':{'id':'c1','name':'apply_patch','args':{'input':"
         "'*** Begin'}}}]},{'role':'user','parts':[{'functionResponse':{'id':'c1','name':'apply_patch','response':"
         "{'result':'Done'}}}]}",
         "{'candidates':[{'content':{'parts':[{'functionCall':{'name':'apply_patch','args':{'input':'*** End'}}}]},"
         "'finishReason':'STOP'}],'usageMetadata':{'promptTokenCount':5,'candidatesTokenCount':3}}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice body = quoted(asked), history = quoted(rows[i].history), answer = quoted(rows[i].answer);
        struct chain c;

        chain_begin(&c, &responses_to_chat, rows[i].upstream, rows[i].model, false);
        if (chain_request(&c, body) != ST_OK)
            fail_msg("%s: %s", rows[i].model, c.err.text);
        if (memmem(c.out.p, c.out.n, history.p, history.n) == NULL)
            fail_msg("no " SLICE_FMT " in " SLICE_FMT, SLICE_ARG(history), (int)c.out.n, c.out.p);
        if (chain_answer(&c, answer) != ST_OK)
            fail_msg("%s: %s", rows[i].model, c.err.text);
        assert_told(&c, false, "[custom_tool_call apply_patch*** End] completed {5>3}");
        chain_end(&c);
        free((void *)(uintptr_t)body.p), free((void *)(uintptr_t)history.p), free((void *)(uintptr_t)answer.p);
    }
}

static void answers_pass_both(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct slice body = fixture(answers[i].upstream);
        struct chain c;

        open_chain(&c, answers[i].pair, false);
        if (chain_answer(&c, body) != ST_OK)
            fail_msg("%s: %s", answers[i].upstream, c.err.text);
        assert_told(&c, false, answers[i].told);
        chain_end(&c);
        free((void *)(uintptr_t)body.p);
    }
}

static void stream_row(const struct row *row, struct slice sse, size_t step, size_t cut, bool usage_asked)
{
    struct chain c;

    open_chain(&c, row->pair, true);
    c.call.usage_asked = usage_asked;
    if (chain_stream(&c, sse, step, cut) != ST_OK || chain_finish(&c, TRANSLATE_WHOLE, &c.usage) != ST_OK)
        fail_msg("%s: %s", row->upstream, c.err.text);
    assert_told(&c, true, row->told);
    chain_end(&c);
}

static void streams_pass_both_wherever_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        struct slice sse = fixture(streams[i].upstream);

        stream_row(&streams[i], sse, sse.n, 0, false);
        stream_row(&streams[i], sse, sse.n, 0, true);
        stream_row(&streams[i], sse, 1, 0, false);
        for (size_t cut = 1; cut < sse.n; cut++)
            stream_row(&streams[i], sse, sse.n, cut, false);
        free((void *)(uintptr_t)sse.p);
    }
}

/* We end it, after any event: whatever is open is closed, and the client hears that a limit was reached. */
static void streams_can_be_ended_anywhere(void **state)
{
    static const struct usage counted = {.known = true, .prompt = 70, .completion = 9};

    (void)state;
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        const struct row *row = &streams[i];
        struct slice sse = fixture(row->upstream);
        bool more = true;

        for (size_t most = 0; more; most++) {
            const char *reason = row->pair->client == &messages_to_chat ? " max_tokens {70>9}" : " incomplete {70>9}";
            struct chain c;
            struct buf told;
            enum status st;

            open_chain(&c, row->pair, true);
            c.most = most;
            st = chain_stream(&c, sse, sse.n, 0);
            more = st == ST_CANCELLED;
            if (st == ST_CANCELLED)
                assert_int_equal(chain_finish(&c, TRANSLATE_LIMIT, &counted), ST_OK);
            buf_init(&told, CHAIN_OUT_MAX);
            if (more)
                tell(&c, true, &told);
            if (more && strstr(told.p, reason) == NULL)
                fail_msg("%s, %zu events: %s", row->upstream, most, told.p);
            buf_fini(&told);
            chain_end(&c);
        }
        free((void *)(uintptr_t)sse.p);
    }
}

/* Upstream reports nothing: the client is told what the bill counts. */
static void usage_that_is_counted_is_told(void **state)
{
    static const struct row rows[] = {
        {&m2g, "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]},\"finishReason\":\"STOP\"}]}",
         "[text hi] end_turn {70>9}"},
        {&m2r,
         "{\"status\":\"completed\",\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\","
         "\"text\":\"hi\"}]}]}",
         "[text hi] end_turn {70>9}"},
        {&r2m, "{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\"}",
         "[message hi] completed {70>9}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chain c;

        open_chain(&c, rows[i].pair, false);
        c.call.counted = (struct usage){.known = true, .prompt = 70, .completion = 9};
        if (chain_answer(&c, slice_of(rows[i].upstream)) != ST_OK)
            fail_msg("row %zu: %s", i, c.err.text);
        assert_told(&c, false, rows[i].told);
        chain_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_pass_both),
        cmocka_unit_test(only_what_openai_takes_is_strict),
        cmocka_unit_test(agents_of_responses_pass_both),
        cmocka_unit_test(answers_pass_both),
        cmocka_unit_test(streams_pass_both_wherever_they_are_cut),
        cmocka_unit_test(streams_can_be_ended_anywhere),
        cmocka_unit_test(usage_that_is_counted_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
