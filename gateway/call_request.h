/*
 * call_request: what the router must know of a call's request, and nothing more: fields it does not know pass unseen.
 * Reads only; the client's bytes are what goes upstream. A reader for each kind of body: read_*.c.
 *
 * The estimate of the prompt follows the contract's rule (section 6.4): text by its characters, an image by its kind,
 * never the base64 of one as text. `tokens` is what is billed when upstream gives no usage; `tokens_upper` is what the
 * hold is made from.
 */
#ifndef GATEWAY_CALL_REQUEST_H
#define GATEWAY_CALL_REQUEST_H

#include "proto/messages.h"
#include "services/arena.h"

#define CALL_CHOICES_MAX 128 /* answers to one prompt */
#define CALL_OBJECTS_MAX 16 /* objects that one request may name */

struct form;
struct surface;
struct yyjson_val;

/* Something that one account upstream keeps, and the request needs. */
struct call_object {
    const char *param; /* which field names it; a constant */
    struct slice id; /* in the arena */
};

struct call_request {
    struct slice model; /* in the arena; empty = the endpoint needs none */
    bool stream;
    bool usage_asked; /* stream_options.include_usage */
    uint64_t output_limit; /* of one choice; 0 = none */
    uint64_t choices; /* to all prompts: 1 to LIMIT_CHOICES */
    uint64_t tokens, tokens_upper; /* of the prompt */
    bool background; /* upstream is asked to go on with the response, whoever listens */
    uint64_t price_percent; /* of the prices: what the service tier, speed or place that is asked for costs; 0 = all of
                               them */
    const char *context; /* the field that names input which upstream keeps, a constant; NULL = none */
    uint64_t context_tokens; /* that is in both; 0 = nobody knows how much it is */
    uint64_t model_at, model_bytes; /* of an upload: where the model's name stands; 0 bytes = nowhere */
    struct call_object objects[CALL_OBJECTS_MAX];
    unsigned n_objects;
};

/* Where a reader puts what it finds. ret->model is set when the URL names one: the body need not. */
struct call_reading {
    const struct surface *surface;
    struct arena *arena;
    struct call_request *ret;
    struct err *err;
};

/* ST_BAD_REQUEST with code and param as OpenAI gives them; ST_NO_MEMORY. root: an object, no deeper than
 * JSON_DEPTH_MAX. */
typedef enum status call_reader(struct call_reading *r, struct yyjson_val *root);
typedef enum status call_form_reader(struct call_reading *r, const struct form *form);

call_reader read_chat, read_completions, read_responses, read_embeddings, read_images, read_speech, read_messages,
    read_count_tokens, read_other;
call_form_reader read_images_form, read_sound_form, read_file_form, read_other_form;

/* Clears *ret but for its model. An empty body is none, where the surface needs nothing of it. */
enum status call_request_read(const struct surface *s, struct slice body, struct arena *a, struct call_request *ret,
                              struct err *err);
/* The same of a body that is parsed already, by a surface that has a reader. Nothing of *ret points into it. */
enum status call_request_read_value(const struct surface *s, struct yyjson_val *root, struct arena *a,
                                    struct call_request *ret, struct err *err);
enum status call_request_read_form(const struct surface *s, const struct form *form, struct arena *a,
                                   struct call_request *ret, struct err *err);

/* ---- for readers: members of the body ---------------------------------------------------------------------------- */

/* Fills found[i] with the member names[i]; a null counts as absent. A member given twice is refused: it would be read
 * by us one way and upstream another. So is one whose name differs in case alone. */
enum status members_find(struct call_reading *r, struct yyjson_val *root, const char *const *names, size_t n,
                         struct yyjson_val **found);
/* The same of one member of an object within the body, which is called name there; errors say "name.member". */
enum status member_within(struct call_reading *r, struct yyjson_val *object, const char *name, const char *member,
                          struct yyjson_val **found);
enum status member_missing(struct call_reading *r, const char *param);
enum status member_type(struct call_reading *r, const char *param, const char *expected, struct yyjson_val *got);
/* v NULL = absent: the URL's, the surface's, or an error. */
enum status member_model(struct call_reading *r, struct yyjson_val *v);
enum status member_flag(struct call_reading *r, struct yyjson_val *v, const char *param, bool *ret);
enum status member_integer(struct call_reading *r, struct yyjson_val *v, const char *param, uint64_t max,
                           uint64_t *ret);
/* The same, but 0 may stand there and leaves *ret alone: whether it means none or is an error is upstream's to say. */
enum status member_count(struct call_reading *r, struct yyjson_val *v, const char *param, uint64_t max, uint64_t *ret);
enum status member_text(struct call_reading *r, struct yyjson_val *v, const char *param); /* a string, when there */
enum status member_stream(struct call_reading *r, struct yyjson_val *stream, struct yyjson_val *options);
void member_tier(struct call_reading *r, struct yyjson_val *v); /* whatever else it is, upstream says */
/* An array of objects with a role, one at least. */
enum status member_messages(struct call_reading *r, struct yyjson_val *v);
/* A string that names an object; of one that is named twice the first is kept. param: a constant. */
enum status member_object(struct call_reading *r, struct yyjson_val *v, const char *param);
enum status call_add_object(struct call_reading *r, const char *param, struct slice id);
/* The same for a model's name, as text. */
enum status call_set_model(struct call_reading *r, struct slice name);

struct estimate;
/* The figures of the estimate, and the objects and the context that it met. ST_BAD_REQUEST: a part says twice what it
 * is. */
enum status call_set_estimate(struct call_reading *r, const struct estimate *e);

#endif
