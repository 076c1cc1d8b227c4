/*
 * What the parts of responses_to_chat share: the request (responses_to_chat.c, _input.c, _tools.c), the names of
 * tools (_names.c) and the answers (_answer.c, _stream.c, _object.c). Private.
 */
#ifndef PROVIDERSVC_DIALECTS_RESPONSES_TO_CHAT_H
#define PROVIDERSVC_DIALECTS_RESPONSES_TO_CHAT_H

#include "providersvc/dialects/data_url.h"
#include "providersvc/dialects/put.h"
#include "providersvc/dialects/reshape.h"

#define OUTPUT_ITEMS_MAX 1024 /* of one answer */
#define OUTPUT_TOOLS_MAX 1024 /* that are something else upstream, of one request */
#define OUTPUT_NAME_MAX 128 /* bytes of a namespace's name, and of a tool's */
#define INPUT_NAMES_MAX 4096 /* tools of one request */
#define OUTPUT_NOWHERE SIZE_MAX /* where a tool does not stand: in an item of input, in a namespace */
#define INPUT_TEXT "input" /* the parameter that a custom tool has as a function */
#define INPUT_TEXT_MAX (2u * LIMIT_BODY) /* bytes of what is put together of the body's texts for one message */
#define INPUT_ARGUMENTS_MAX (6u * LIMIT_BODY + 64u) /* bytes of a custom tool's input, escaped, as arguments */
#define INPUT_RESULTS_MAX LIMIT_BODY /* bytes of the list of results, each of which is longer in the body */
#define OUTPUT_PICTURES_MAX                                                                                            \
    (4u * TRANSLATE_STATE_MAX) /* bytes of a stream's pictures, which its last event repeats                           \
                                */
#define OUTPUT_TIER_MAX 32 /* bytes of a service tier's name, closing NUL included */
#define OUTPUT_BYTES_MAX (6u * (LIMIT_BODY + TRANSLATE_STATE_MAX)) /* an event with a whole object, escaped */

/*
 * Tools that are something else upstream.
 *
 * In namespaces: Codex wraps the tools of each MCP server, which it runs itself, as {type: namespace, name, tools}.
 * Chat has no such thing: upstream gets them as plain tools, whose names are joined of both.
 *
 * Long names: chat takes 64 bytes, Responses 128.
 *
 * What upstream calls a tool is made of the client's name for it and, where two would be called the same, of nothing
 * but that both are in the request: calls of earlier turns fit, since every request has the tools.
 *
 * Custom: their input is text, of a grammar perhaps (Codex's apply_patch). Most upstreams know functions only: they get
 * one with a single parameter, and what they say for it becomes the text again.
 */
struct output_tool {
    char sent[TRANSLATE_NAME_MAX + 1]; /* to upstream */
    char given[2 * OUTPUT_NAME_MAX]; /* the client's: namespace, then name */
    size_t n_space, n_name; /* bytes of each */
    bool custom;
    size_t item, at, inner; /* where it stands: input[item].tools[at].tools[inner] */
    size_t place; /* in upstream's tools */
};

struct output_tools {
    struct output_tool *items; /* by sent, when the request is made */
    size_t n;
};

/* ---- a request while it is made ------------------------------------------------------------------------------------
 */

/* A tool of the request's lists. */
struct input_tool {
    struct slice space, name; /* the client's; no namespace: empty */
    bool custom;
    bool shared; /* what upstream would call it is what it calls another */
    size_t n_base;
    char base[TRANSLATE_NAME_MAX + 1]; /* what that is */
};

struct input_result {
    struct slice call; /* its id */
    size_t at; /* which item of input it is */
};

struct input_making {
    struct reshape r;
    struct output_tools *spaced;
    yyjson_mut_val *echo; /* the members that every response object repeats */
    yyjson_mut_val *tools, *tools_shown; /* as upstream is told them, as the client told them */
    yyjson_mut_val *messages;
    struct buf names; /* struct input_tool, by what the client calls them */
    struct buf system; /* what is told before everything else */
    yyjson_mut_val *assistant; /* the message that the next function_call joins; NULL = it begins one */
    yyjson_mut_val *calls; /* of it; NULL = none yet */
    yyjson_mut_val *pictures; /* of it, likewise */
    struct buf said; /* in it */
    yyjson_val *refusal; /* likewise; NULL = none */
    /* Until the results of its calls are all there, only results follow it: what the model says in between becomes part
     * of it, what others say is held. */
    struct buf results; /* struct input_result, by call, then by place: of the whole input */
    size_t at, until; /* the item of input where we are, and the last of those results */
    yyjson_mut_val *held; /* messages */
    yyjson_mut_val *seen; /* parts that results have beside their text: a user's message behind them; NULL = none yet */
    /* Where upstream wants its reasoning back: what belongs to `assistant`, and what came behind its last piece and
     * belongs to whatever the model said next. */
    bool reasons;
    struct buf thought, pending;
    yyjson_val *instructions, *input;
    yyjson_val *top_logprobs, *tool_choice, *parallel;
    uint64_t limit; /* of the answer's tokens; 0 = none */
    bool logprobs;
};

/* Adds the messages that `instructions` and `input` are. */
enum status input_messages(struct input_making *q);

/* Adds the tools of the list, which is the member `tools` of where we are: of that item of input, or OUTPUT_NOWHERE. */
enum status input_add_tools(struct input_making *q, yyjson_val *list, size_t item);
enum status input_finish_tools(struct input_making *q); /* no more of them come */
enum status input_finish_choice(struct input_making *q); /* after the tools */

/* Reads the names of all tools of the body, before anything else is made. What is wrong with them is found later.
 * ST_BAD_REQUEST: too many. */
enum status input_note_names(struct input_making *q, yyjson_val *body);
/* The member `name` of a tool, of a call or of a choice as upstream is told it. space: the namespace it is in; empty =
 * none. ST_BAD_REQUEST: there is no name, or one is too long. */
enum status input_name(struct input_making *q, yyjson_val *object, struct slice space, bool custom,
                       yyjson_mut_val **ret);
/* The same with the object's own member `namespace`. */
enum status input_spaced_name(struct input_making *q, yyjson_val *object, bool custom, yyjson_mut_val **ret);
/* Keeps what answers need of a tool that is something else upstream; of others nothing. t: where it stands.
 * ST_BAD_REQUEST: too many, or a name that chat does not take. */
enum status input_keep_tool(struct input_making *q, yyjson_val *tool, struct slice space, yyjson_mut_val *sent,
                            struct output_tool t);
/* All tools of upstream are there: orders those that were kept. ST_BAD_REQUEST: another tool has the name of one. */
enum status input_check_tools(struct input_making *q);

/* ---- an answer while it is made ------------------------------------------------------------------------------------
 */

enum output_kind { OUTPUT_REASONING, OUTPUT_TEXT, OUTPUT_REFUSAL, OUTPUT_CALL, OUTPUT_CUSTOM, OUTPUT_PICTURE };

/* One item of the output. Its place in the array is its output_index. A message has one part. */
struct output_item {
    enum output_kind kind;
    bool added; /* the client knows it: a call without a name waits */
    bool closed;
    uint64_t index; /* of a call: upstream's */
    struct buf text; /* what it says, or a call's arguments; of a custom tool's, too, until output_unwrap */
    struct slice picture; /* base64: in the answer's document, or a stream's in text */
    struct buf logprobs; /* of a text: JSON, without the brackets */
    struct buf call_id, name; /* of a call; of a picture the name is its format's: png */
    struct slice space; /* the namespace of its tool; empty = none */
};

/* The state of one call. */
struct output {
    struct buf echo; /* members of the response object, without braces */
    struct output_tools spaced;
    bool begun; /* response.created is out */
    uint64_t sequence; /* number of the next event */
    uint64_t created; /* of upstream; 0 = not said */
    const char *finish; /* upstream's word for the answer's end; NULL = none yet */
    char tier[OUTPUT_TIER_MAX];
    size_t held, pictured; /* bytes in the items, in those that are pictures */
    size_t n_items, cap_items;
    struct output_item *items;
    struct buf event; /* being made */
};

/* How the object stands. */
enum output_status { OUTPUT_IN_PROGRESS, OUTPUT_COMPLETED, OUTPUT_LENGTH, OUTPUT_FILTERED };

void output_note_head(struct output *o, yyjson_val *root); /* what upstream says of the whole */
const char *output_finish_of(yyjson_val *choice); /* length, content_filter or stop; NULL = not yet */
/* A string's text, or an object as JSON: some give one. */
enum status output_say_arguments(struct output *o, struct buf *to, yyjson_val *v, struct err *err);
enum output_status output_status_of(const char *finish); /* a finish_reason */
/* A new item, not yet known to the client. ST_UPSTREAM: too many. */
enum status output_new(struct output *o, enum output_kind kind, struct output_item **ret, struct err *err);
/* Appends to one of an item's texts. ST_UPSTREAM: the answer became too long. */
enum status output_say(struct output *o, struct buf *to, struct slice text, struct err *err);
/* The name of a call's tool, which upstream gave: the client's own name and namespace for it, and whether it is custom.
 */
enum status output_name_call(struct output *o, struct output_item *item, struct slice sent, struct err *err);
/* Arguments of a custom tool's call, which is over: the text in them. What is not of the form that was asked for stays
 * as it is, half a call above all, which must not be taken for a whole one. */
enum status output_unwrap(struct output *o, struct output_item *item, struct err *err);
enum status output_note_logprobs(struct output *o, struct output_item *item, yyjson_val *logprobs, struct err *err);
/* The picture that an item of `images`, or a part of content, is, if its URL has it. */
bool output_picture_of(yyjson_val *image, struct data_url *ret);
/* The same as a new item, which is known to the client, whole and closed. keep: the picture is copied. */
enum status output_add_picture(struct output *o, const struct data_url *picture, bool keep, struct output_item **ret,
                               struct err *err);
/* "msg_…", "fc_…": made of the request's id and the item's place; the ids of calls that upstream gave none. */
void output_put_id(struct put *p, const struct output *o, const struct translate_call *call,
                   const struct output_item *item);
void output_put_call_id(struct put *p, const struct output *o, const struct translate_call *call,
                        const struct output_item *item);
/* The content part of a message, full or as it begins. */
void output_put_part(struct put *p, const struct output_item *item, bool full);
/* The item: as it is added (status in progress, nothing said), or as it ended. */
void output_put_item(struct put *p, const struct output *o, const struct translate_call *call,
                     const struct output_item *item, enum output_status status);
/* The response object; usage NULL or not known = null. Items that the client does not know are not shown. */
void output_put_object(struct put *p, const struct output *o, const struct translate_call *call,
                       enum output_status status, const struct usage *usage);

enum status output_request(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err);
enum status output_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                          struct err *err);
enum status output_event(void *state, const struct translate_call *call, struct slice data,
                         const struct translate_sink *to, struct err *err);
enum status output_end(void *state, const struct translate_call *call, enum translate_end how,
                       const struct usage *usage, const struct translate_sink *to, struct err *err);

#endif
