/* Any bytes as a batch of either side: refused or read, in bounds, and what was read writes back to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "services/bus/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The layout has no slack: header fields, reserved zeros and payloads are all there is. */
static void same_again(const char *bytes, size_t n, const struct frame_batch *head, struct slice frames)
{
    unsigned char *again = malloc(n ? n : 1);
    struct frame f;
    size_t at = FRAME_BATCH_SIZE;

    if (!again)
        return;
    frame_batch_write(again, head);
    while (frame_next(&frames, &f)) {
        frame_head_write(again + at, &f);
        at += FRAME_HEAD_SIZE;
        if (f.payload.n)
            memcpy(again + at, f.payload.p, f.payload.n);
        at += f.payload.n;
    }
    if (at != n || memcmp(again, bytes, n) != 0)
        abort();
    free(again);
}

static void read_as(const char *bytes, size_t n, enum frame_side side)
{
    struct frame_batch head;
    struct slice frames, rest;
    size_t count = 0, seen = 0;
    struct frame f;

    if (!frame_check((struct slice){bytes, n}, side, &head, &frames, &count))
        return;
    rest = frames;
    while (frame_next(&rest, &f))
        seen++;
    if (seen != count || rest.n != 0)
        abort();
    same_again(bytes, n, &head, frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char magic[] = {0x4f, 0x52, 0x42, 0x31}; /* FRAME_MAGIC, so that the fuzzer need not find it */
    char *copy = malloc(n + sizeof(magic)); /* exact size: one byte too far is seen */

    if (!copy)
        return 0;
    memcpy(copy, magic, sizeof(magic));
    if (n)
        memcpy(copy + sizeof(magic), bytes, n);
    read_as(copy, n + sizeof(magic), FRAME_BY_CLIENT);
    read_as(copy, n + sizeof(magic), FRAME_BY_SERVER);
    read_as(copy + sizeof(magic), n, FRAME_BY_CLIENT);
    free(copy);
    return 0;
}
