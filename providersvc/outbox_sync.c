#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "providersvc/outbox_private.h"
#include "services/clock.h"

#define SYNC_FILES 16 /* segments synced in one go */
#define CARRY_AT_ONCE 256
#define CARRY_FROM_SEGMENTS 3 /* fewer are not worth the copying */

static void wait_until(struct outbox *o, uint64_t due_ms)
{
    struct timespec t = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000};

    pthread_cond_timedwait(&o->wake, &o->lock, &t);
}

static bool something_to_do(const struct outbox *o)
{
    if (o->acked != o->saved_acked)
        return true;
    for (const struct outbox_segment *s = o->oldest; s != NULL; s = s->next)
        if (s->dirty)
            return true;
    return false;
}

/* The lock is let go while the disk works; the pins keep the segments. */
static void sync_dirty(struct outbox *o)
{
    struct outbox_segment *files[SYNC_FILES];
    size_t n = 0;
    bool ok = true;

    for (struct outbox_segment *s = o->oldest; s != NULL && n < SYNC_FILES; s = s->next) {
        if (!s->dirty)
            continue;
        s->dirty = false;
        s->pins++;
        files[n++] = s;
    }
    pthread_mutex_unlock(&o->lock);
    for (size_t i = 0; i < n; i++)
        ok = fdatasync(files[i]->fd) == 0 && ok;
    pthread_mutex_lock(&o->lock);
    for (size_t i = 0; i < n; i++)
        files[i]->pins--;
    if (!ok && !o->failed) {
        o->failed = true; /* what a failed sync has thrown away nobody knows: no more calls until a restart */
        log_event(o->options.log, LOG_ERROR, LOG_NO_REQ, "outbox_sync_failed", LOG_C("source", o->source));
    }
}

/* The copy of a progress record has no number: its first has been told. */
static bool carry_one(struct outbox *o, struct outbox_segment *s)
{
    struct outbox_segment *to = o->newest;
    struct outbox_mark *m = s->open;
    char record[OUTBOX_RECORD_MAX];
    struct iovec part = {record, m->bytes};
    uint64_t at = to->size;

    if (m->bytes > sizeof(record) || to->size + m->bytes + o->reserved > to->cap ||
        pread(s->fd, record, m->bytes, (off_t)m->at) != (ssize_t)m->bytes)
        return false;
    (void)outbox_record_seal(&o->crc, record, 0);
    if (outbox_put(o, &part, 1) != ST_OK)
        return false;
    outbox_move_mark(o, m, at);
    return true;
}

/* A long call holds the segment that it started in; its record moves on, so that the segment can go. */
static void carry(struct outbox *o)
{
    struct outbox_segment *s = o->oldest;
    unsigned segments = 0;

    for (const struct outbox_segment *i = s; i != NULL; i = i->next)
        segments++;
    if (segments < CARRY_FROM_SEGMENTS || s->last_seq > o->acked)
        return;
    for (unsigned i = 0; i < CARRY_AT_ONCE && s->open != NULL; i++)
        if (!carry_one(o, s))
            break;
}

static void trim(struct outbox *o)
{
    struct outbox_segment *s = o->oldest;

    carry(o);
    while (s != o->newest && s->open == NULL && s->pins == 0 && !s->dirty && s->last_seq <= o->saved_acked) {
        char name[OUTBOX_FILE_NAME];

        outbox_segment_name(s->id, name);
        if (!outbox_keep(o, s))
            (void)unlinkat(o->dir, name, 0);
        o->oldest = s->next;
        o->bytes -= s->cap;
        close(s->fd);
        free(s);
        s = o->oldest;
    }
    outbox_keep_trim(o);
}

/* The position is on disk before a segment goes. */
static void save_position(struct outbox *o)
{
    uint64_t acked = o->acked;

    if (acked == o->saved_acked)
        return;
    pthread_mutex_unlock(&o->lock);
    outbox_save_position(o, acked);
    pthread_mutex_lock(&o->lock);
    o->saved_acked = acked;
}

static void *syncer(void *ctx)
{
    struct outbox *o = ctx;
    uint64_t adopt_ms = clock_ms() + OUTBOX_ADOPT_MS;

    pthread_mutex_lock(&o->lock);
    while (!o->closing) {
        if (!something_to_do(o) && !o->compare)
            wait_until(o, adopt_ms);
        if (something_to_do(o)) {
            uint64_t due_ms = clock_ms() + OUTBOX_SYNC_MS;

            while (!o->closing && clock_ms() < due_ms) /* gather what comes meanwhile */
                wait_until(o, due_ms);
            sync_dirty(o);
            save_position(o);
            trim(o);
        }
        if (!o->closing && (o->compare || clock_ms() >= adopt_ms)) {
            pthread_mutex_unlock(&o->lock);
            outbox_adopt_others(o);
            pthread_mutex_lock(&o->lock);
            outbox_keep_trim(o);
            adopt_ms = clock_ms() + OUTBOX_ADOPT_MS;
        }
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

enum status outbox_sync_start(struct outbox *o, struct err *err)
{
    if (pthread_create(&o->syncer, NULL, syncer, o) != 0)
        return err_set(err, ST_NO_MEMORY, "no thread for the outbox");
    o->syncing = true;
    return ST_OK;
}

void outbox_sync_stop(struct outbox *o)
{
    if (!o->syncing)
        return;
    pthread_mutex_lock(&o->lock);
    o->closing = true;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->syncer, NULL);
    o->syncing = false;
}

void outbox_sync_last(struct outbox *o)
{
    pthread_mutex_lock(&o->lock);
    sync_dirty(o);
    save_position(o);
    trim(o);
    pthread_mutex_unlock(&o->lock);
}
