#include "gateway/surfaces.h"

#include <string.h>

#include "proto/endpoints.h"

static const char *const responses_end[] = {"response.completed", "response.incomplete", "response.failed", NULL};
static const char *const messages_end[] = {"message_stop", NULL};

/* clang-format off */
const struct surface surfaces[SURFACES] = {
    [SURFACE_CHAT] = {ENDPOINT_CHAT, read_chat, NULL, NULL, NULL, NULL, SURFACE_DONE},
    [SURFACE_COMPLETIONS] = {ENDPOINT_COMPLETIONS, read_completions, NULL, NULL, NULL, NULL, SURFACE_DONE},
    [SURFACE_RESPONSES] = {ENDPOINT_RESPONSES, read_responses, NULL, "", NULL, responses_end, 0},
    [SURFACE_RESPONSES_OBJECT] = {ENDPOINT_RESPONSES_OBJECT, NULL, NULL, "", "response_id", responses_end,
                                  SURFACE_FREE | SURFACE_PATH | SURFACE_OBJECT},
    [SURFACE_RESPONSES_TOKENS] = {ENDPOINT_RESPONSES_TOKENS, read_responses, NULL, "", NULL, NULL, SURFACE_FREE},
    [SURFACE_RESPONSES_COMPACT] = {ENDPOINT_RESPONSES_COMPACT, read_responses, NULL, NULL, NULL, NULL, 0},
    [SURFACE_EMBEDDINGS] = {ENDPOINT_EMBEDDINGS, read_embeddings, NULL, NULL, NULL, NULL, 0},
    [SURFACE_MODERATIONS] = {ENDPOINT_MODERATIONS, read_embeddings, NULL, "omni-moderation-latest", NULL, NULL,
                             SURFACE_FREE},
    [SURFACE_IMAGES] = {ENDPOINT_IMAGES, read_images, NULL, "gpt-image-1", NULL, NULL, SURFACE_PATH},
    [SURFACE_IMAGE_EDITS] = {ENDPOINT_IMAGES, read_images, read_images_form, "gpt-image-1", NULL, NULL, SURFACE_PATH},
    [SURFACE_IMAGE_VARIATIONS] = {ENDPOINT_IMAGES, NULL, read_images_form, "dall-e-2", NULL, NULL, SURFACE_PATH},
    [SURFACE_SPEECH] = {ENDPOINT_SPEECH, read_speech, NULL, NULL, NULL, NULL, SURFACE_PATH},
    [SURFACE_TRANSCRIPTIONS] = {ENDPOINT_TRANSCRIPTIONS, NULL, read_sound_form, NULL, NULL, NULL, SURFACE_PATH},
    [SURFACE_FILES] = {ENDPOINT_FILES, NULL, read_file_form, "", NULL, NULL, SURFACE_FREE | SURFACE_PATH | SURFACE_FILE},
    [SURFACE_FILES_LIST] = {ENDPOINT_FILES, NULL, NULL, "", NULL, NULL, SURFACE_FREE | SURFACE_PATH | SURFACE_SHARED},
    [SURFACE_FILES_OBJECT] = {ENDPOINT_FILES_OBJECT, NULL, NULL, "", "file_id", NULL,
                              SURFACE_FREE | SURFACE_PATH | SURFACE_OBJECT},
    [SURFACE_BATCHES] = {ENDPOINT_BATCHES, read_other, NULL, "", NULL, NULL, SURFACE_PATH | SURFACE_BATCH},
    [SURFACE_BATCHES_LIST] = {ENDPOINT_BATCHES, NULL, NULL, "", NULL, NULL,
                              SURFACE_FREE | SURFACE_PATH | SURFACE_SHARED},
    [SURFACE_BATCHES_OBJECT] = {ENDPOINT_BATCHES_OBJECT, NULL, NULL, "", "batch_id", NULL,
                                SURFACE_FREE | SURFACE_PATH | SURFACE_OBJECT},
    [SURFACE_UNKNOWN] = {ENDPOINT_OTHER, read_other, read_other_form, "", NULL, NULL, SURFACE_PATH | SURFACE_OTHER},
    [SURFACE_MESSAGES] = {ENDPOINT_MESSAGES, read_messages, NULL, NULL, NULL, messages_end, 0},
    [SURFACE_COUNT_TOKENS] = {ENDPOINT_COUNT_TOKENS, read_count_tokens, NULL, NULL, NULL, NULL, SURFACE_FREE},
};
/* clang-format on */

/* ---- the end of a stream ----------------------------------------------------------------------------------------- */

static const char done_event[] = "data: [DONE]\n\n";
#define DONE_N (sizeof(done_event) - 1)

static bool ends_with(struct slice s, const char *text, size_t n)
{
    return s.n >= n && !memcmp(s.p + s.n - n, text, n);
}

/* Where the last event begins: behind the last empty line that does not end the text. 0 = there is none before it.
 * newline: the text follows one. */
static size_t last_event(struct slice s, bool newline)
{
    size_t end = s.n;

    while (end && (s.p[end - 1] == '\n' || s.p[end - 1] == '\r'))
        end--;
    while (end) {
        const char *at = memrchr(s.p, '\n', end);
        size_t before;

        if (!at)
            return 0;
        before = (size_t)(at - s.p);
        if (before && s.p[before - 1] == '\r')
            before--;
        if (before ? s.p[before - 1] == '\n' : newline)
            return (size_t)(at - s.p) + 1;
        end = before;
    }
    return 0;
}

static bool closes(const char *const *names, struct slice event)
{
    static const char field[] = "event:";
    size_t n = sizeof(field) - 1;

    if (event.n < n || memcmp(event.p, field, n) != 0)
        return false;
    n += event.n > n && event.p[n] == ' ';
    event = (struct slice){event.p + n, event.n - n};
    for (; *names; names++) {
        size_t length = strlen(*names);

        if (event.n > length && !memcmp(event.p, *names, length) &&
            (event.p[length] == '\n' || event.p[length] == '\r'))
            return true;
    }
    return false;
}

size_t closing_take(struct closing *c, const struct surface *s, struct slice piece)
{
    bool whole, is;
    size_t start;

    if (s->flags & SURFACE_DONE)
        return ends_with(piece, done_event, DONE_N) ? DONE_N : 0;
    if (!s->closing || !piece.n)
        return 0;
    start = last_event(piece, c->newline);
    is = start || !c->inside ? closes(s->closing, (struct slice){piece.p + start, piece.n - start}) : c->closes;
    whole = ends_with(piece, "\n\n", 2) || ends_with(piece, "\n\r\n", 3) || (c->newline && slice_is(piece, "\n"));
    *c = (struct closing){.inside = !whole, .closes = is && !whole, .newline = piece.p[piece.n - 1] == '\n'};
    return is && whole ? 1 : 0;
}

bool closing_whole(const struct surface *s, struct slice stream)
{
    struct closing c = {.inside = false};

    return (!s->closing && !(s->flags & SURFACE_DONE)) || closing_take(&c, s, stream) > 0;
}
