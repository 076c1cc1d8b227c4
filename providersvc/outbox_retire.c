/*
 * Folders of sources that are no more: what they owed has been carried over, what meterd had acknowledged is kept for
 * the case that meterd is restored from a backup. A snapshot of its state shows that: a position behind what was kept.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "providersvc/outbox_private.h"

#define POSITIONS_MAX 65536u

void outbox_retire_segment(const struct outbox *o, int dir, uint64_t id, uint64_t first_seq, uint64_t last_seq)
{
    char from[OUTBOX_FILE_NAME], to[OUTBOX_KEPT_NAME];

    outbox_segment_name(id, from);
    outbox_kept_name(first_seq, last_seq, to);
    if (o->options.keep_ms == 0 || first_seq == 0 || first_seq > last_seq || renameat(dir, from, dir, to) != 0)
        (void)unlinkat(dir, from, 0);
}

/* ---- the snapshot -------------------------------------------------------------------------------------------------
 */

void outbox_snapshot(struct outbox *o)
{
    pthread_mutex_lock(&o->lock);
    o->n_positions = 0;
    o->compare = false;
    pthread_mutex_unlock(&o->lock);
}

/* Without memory a position is zero: its records come twice, and are known. */
void outbox_snapshot_position(struct outbox *o, struct slice source, uint64_t seq)
{
    size_t cap;

    pthread_mutex_lock(&o->lock);
    cap = o->cap_positions > 0 ? o->cap_positions : 16;
    if (o->n_positions == cap && cap < POSITIONS_MAX)
        cap *= 2;
    if (cap != o->cap_positions) {
        struct outbox_position *grown = realloc(o->positions, cap * sizeof(*grown));

        if (grown != NULL) {
            o->positions = grown;
            o->cap_positions = cap;
        }
    }
    if (o->n_positions < o->cap_positions && slice_copy(source, o->positions[o->n_positions].source, OUTBOX_SOURCE_MAX))
        o->positions[o->n_positions++].seq = seq;
    pthread_mutex_unlock(&o->lock);
}

void outbox_snapshot_end(struct outbox *o)
{
    pthread_mutex_lock(&o->lock);
    o->compare = true;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
}

static uint64_t position_of(struct outbox *o, const char *source)
{
    uint64_t seq = 0;

    pthread_mutex_lock(&o->lock);
    for (size_t i = 0; i < o->n_positions; i++)
        if (strcmp(o->positions[i].source, source) == 0)
            seq = o->positions[i].seq;
    pthread_mutex_unlock(&o->lock);
    return seq;
}

/* ---- a folder -----------------------------------------------------------------------------------------------------
 */

bool outbox_look_at_retired(struct outbox *o, int dir, const char *source, bool compare)
{
    uint64_t position = compare ? position_of(o, source) : UINT64_MAX;
    struct outbox_kept *list = NULL;
    size_t n = 0, left = 0, imported = 0;

    if (outbox_kept_list(dir, &list, &n) != ST_OK)
        return false;
    for (size_t i = 0; i < n; i++) {
        char name[OUTBOX_KEPT_NAME];
        size_t records = 0;
        bool go = outbox_kept_due(o, &list[i]);

        outbox_kept_name(list[i].first_seq, list[i].last_seq, name);
        if (list[i].last_seq > position)
            go = outbox_import_kept(o, dir, name, position, &records) == ST_OK; /* they are in our own files now */
        imported += records;
        if (go)
            (void)unlinkat(dir, name, 0);
        left += !go;
    }
    free(list);
    if (imported > 0)
        log_event(o->options.log, LOG_WARN, LOG_NO_REQ, "outbox_set_back", LOG_C("source", source),
                  LOG_N("to", position), LOG_N("records", imported));
    return left == 0;
}
