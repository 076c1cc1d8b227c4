/* Which calls have begun and not ended, as their records say. */
#include <stdlib.h>
#include <unistd.h>

#include "providersvc/outbox_private.h"

struct place {
    struct outbox_segment *segment; /* pinned */
    uint64_t at, bytes;
};

/* Under the lock, which is held for a copy only: loops wait for it. */
static size_t take_places(struct outbox *o, struct place *to, size_t max)
{
    size_t n = 0;

    for (struct outbox_segment *s = o->oldest; s != NULL; s = s->next)
        for (const struct outbox_mark *m = s->open; m != NULL && n < max; m = m->next) {
            s->pins++;
            to[n++] = (struct place){s, m->at, m->bytes};
        }
    return n;
}

/* A record may have moved on meanwhile; what stands in its old place is still whole. */
static bool read_place(struct outbox *o, const struct place *p, struct arena *scratch, struct usage_event *ret)
{
    char bytes[OUTBOX_RECORD_MAX];
    struct outbox_record r;

    return p->bytes <= sizeof(bytes) && pread(p->segment->fd, bytes, p->bytes, (off_t)p->at) == (ssize_t)p->bytes &&
           outbox_record_read(&o->crc, bytes, p->bytes, &r) && outbox_event_decode(&r, scratch, ret) == ST_OK;
}

enum status outbox_each_open(struct outbox *o, struct arena *scratch,
                             void (*each)(void *ctx, const struct usage_event *event), void *ctx)
{
    struct place *places;
    size_t n = 0;

    pthread_mutex_lock(&o->lock);
    places = calloc(o->open_calls + 1, sizeof(*places));
    if (places != NULL)
        n = take_places(o, places, o->open_calls);
    pthread_mutex_unlock(&o->lock);
    if (places == NULL)
        return ST_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        struct usage_event event;

        if (read_place(o, &places[i], scratch, &event))
            each(ctx, &event);
    }
    pthread_mutex_lock(&o->lock);
    for (size_t i = 0; i < n; i++)
        places[i].segment->pins--;
    pthread_mutex_unlock(&o->lock);
    free(places);
    return ST_OK;
}
