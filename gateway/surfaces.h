/*
 * surfaces: the endpoints of the APIs that are served, as far as they differ: whose words errors are in, what is read
 * of a request, how a stream ends, what costs nothing. Which URL is which of them stands in routes.c. Everything else
 * about a call is the same for all (call.h): a further endpoint is a row here, a row there and perhaps a reader.
 */
#ifndef GATEWAY_SURFACES_H
#define GATEWAY_SURFACES_H

#include "gateway/call_request.h"

enum surface_flags {
    SURFACE_FREE = 1, /* costs nothing upstream: no price, no hold */
    SURFACE_PATH = 2, /* its path travels with the call: the endpoint's name says not enough */
    SURFACE_DONE = 4, /* its streams end with data: [DONE], and their errors have no event: line */
    SURFACE_OBJECT = 8, /* the {…} of its path is the id of an object that one account upstream keeps */
    SURFACE_SHARED = 32, /* shows what all who share the account upstream keep there */
    SURFACE_OTHER = 16, /* a path that we do not know: served only where a provider is willing */
    SURFACE_FILE = 64, /* its form is a file, perhaps one for a batch: then what is in it is read in passing */
    SURFACE_BATCH = 128, /* makes a batch of such a file, and costs what that can use */
};

struct surface {
    const char *endpoint; /* proto/endpoints.h */
    call_reader *json; /* of a JSON body; NULL = a body says nothing to us */
    call_form_reader *form; /* of a multipart body; NULL = none is taken */
    const char *model; /* when the request names none; "" = it needs none; NULL = it has to name one */
    const char *object; /* how errors call the object of SURFACE_OBJECT: response_id */
    const char *const *closing; /* names of the events that end a stream, ends with NULL; NULL = none is known */
    unsigned flags;
};

enum surface_kind {
    SURFACE_CHAT,
    SURFACE_COMPLETIONS,
    SURFACE_RESPONSES,
    SURFACE_RESPONSES_OBJECT,
    SURFACE_RESPONSES_TOKENS,
    SURFACE_RESPONSES_COMPACT,
    SURFACE_EMBEDDINGS,
    SURFACE_MODERATIONS,
    SURFACE_IMAGES,
    SURFACE_IMAGE_EDITS,
    SURFACE_IMAGE_VARIATIONS,
    SURFACE_SPEECH,
    SURFACE_TRANSCRIPTIONS,
    SURFACE_FILES,
    SURFACE_FILES_LIST,
    SURFACE_FILES_OBJECT,
    SURFACE_BATCHES,
    SURFACE_BATCHES_LIST,
    SURFACE_BATCHES_OBJECT,
    SURFACE_UNKNOWN,
    SURFACE_MESSAGES,
    SURFACE_COUNT_TOKENS,
    SURFACES
};

extern const struct surface surfaces[SURFACES];

/* What is held back of a stream until the call has ended, so that a client that has seen its end may call again at
 * once: the end of the event that closes it. Zeroed = at a stream's beginning. */
struct closing {
    bool inside; /* the last piece ended within an event … */
    bool closes; /* … which is a closing one */
    bool newline; /* the last piece ended with one */
};

/* How many of the piece's last bytes are to be held back; 0 = it does not end with a closing event. Pieces may be cut
 * anywhere; an event whose name is cut is not recognised. */
size_t closing_take(struct closing *c, const struct surface *s, struct slice piece);
/* Does this stream, whole, end with a closing event? true where none is known. */
bool closing_whole(const struct surface *s, struct slice stream);

#endif
