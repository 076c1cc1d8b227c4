/*
 * The outbox: what this providersvc owes the bill, on disk. A folder SPOOL_DIR/<source id>/ of segment files; a record
 * is `started` (a call is about to be sent upstream), `progress` (what it owes so far; numbered if meterd is told, too)
 * or `finished` (its usage event). Numbers have no gap. What is written is kept until meterd has committed it, and then
 * as long as keep_ms and room allow. Replicas share SPOOL_DIR: a folder belongs to who holds its lock, and one that
 * nobody holds is taken over. A call without `finished` in such a folder is settled with its last progress, or with
 * nothing when there was none. An end that is `parked` says `running`: the call is over, only its batch is not. It is
 * an end like any other here, and is told as it is.
 *
 * It knows nothing of upstreams or of the bus. Threads: a batch belongs to one event loop; everything else may be
 * called from any. Failure: what cannot be written is not admitted; room for the end of every admitted call is set
 * aside when it begins. A write is in the kernel when outbox_write returns (a killed process loses nothing) and on the
 * disk OUTBOX_SYNC_MS later.
 */
#ifndef PROVIDERSVC_OUTBOX_H
#define PROVIDERSVC_OUTBOX_H

#include <stdbool.h>

#include "proto/messages.h"
#include "services/arena.h"
#include "services/log.h"

#define OUTBOX_MAX_BYTES (UINT64_C(512) * 1024 * 1024) /* of one folder; then calls are refused */
#define OUTBOX_SEGMENT_BYTES (UINT64_C(8) * 1024 * 1024)
#define OUTBOX_KEEP_BYTES (UINT64_C(256) * 1024 * 1024) /* of acknowledged records; they never take another's room */
#define OUTBOX_DISK_ROOM_BYTES (UINT64_C(256) * 1024 * 1024) /* less than this free: acknowledged records go … */
#define OUTBOX_DISK_ROOM_PART 20 /* … or less than this part of the disk, when that is less */
#define OUTBOX_SYNC_MS 50 /* at most this much is lost when the machine, not the process, dies */
#define OUTBOX_ADOPT_MS 5000 /* other folders are looked at this often */
#define OUTBOX_PROGRESS_SHARE                                                                                          \
    2 /* progress is written while less than this part of max_bytes is taken: the ends go first */

struct outbox;
struct outbox_mark; /* a call that has started and not finished */

struct outbox_options {
    const char *spool_dir;
    uint64_t max_bytes;
    uint64_t segment_bytes;
    uint64_t keep_ms, keep_bytes; /* of acknowledged records; keep_ms 0 = none are kept */
    uint64_t disk_room_bytes; /* OUTBOX_DISK_ROOM_BYTES; 0 = the disk is not looked at */
    const struct log *log;
};

/* Takes over what nobody holds, or begins a folder of its own. */
enum status outbox_open(const struct outbox_options *options, struct outbox **ret, struct err *err);
void outbox_stop(struct outbox *o); /* no more taking over, so that nothing is published any more; harmless twice */
void outbox_close(struct outbox *o); /* to disk, then lets go of the folder; NULL is fine */

const char *outbox_source(const struct outbox *o);
uint64_t outbox_acked(struct outbox *o); /* newest record known to be committed by meterd */
uint64_t outbox_last(struct outbox *o); /* newest record */
uint64_t outbox_oldest(struct outbox *o); /* the oldest that is still there; outbox_last + 1 when none is */

/* ---- writing: one batch a loop -------------------------------------------------------------------------------------
 */

struct outbox_batch {
    struct buf started, progress, finished; /* encoded records */
    struct outbox_mark *starting, *progressing, *finishing; /* theirs; the first two in order */
    struct outbox_mark *last_starting, *last_progressing; /* valid while the list is not NULL */
    struct outbox_mark *spare;
    size_t n_finished;
};

struct outbox_wrote {
    enum status started; /* not ST_OK: none of the batch's `started` records is there; its calls must be refused */
    enum status finished; /* not ST_OK: the records stay in the batch for the next try */
    uint64_t first_seq; /* of the numbered records written now: progress, then finished */
    size_t n_progress, n_finished; /* how many of each; progress that was not written is gone */
};

void outbox_batch_init(struct outbox_batch *b);
void outbox_batch_fini(struct outbox_batch *b);
/* `event` is what stands on the bill if nothing more is ever known. */
enum status outbox_add_started(struct outbox_batch *b, const struct usage_event *event, struct outbox_mark **ret,
                               struct err *err);
/* What the call owes so far, status `running`: on the bill if nothing more is ever known. numbered: meterd is to hear
 * of it. ST_UNAVAILABLE: the batch has one of this call already. Never a reason to stop a call: it is dropped where
 * there is no room. */
enum status outbox_add_progress(struct outbox_batch *b, const struct usage_event *event, struct outbox_mark *mark,
                                bool numbered, struct err *err);
/* The mark (NULL: there is none) is the batch's again. Fails only without memory or when the event breaks its
 * declaration. */
enum status outbox_add_finished(struct outbox_batch *b, const struct usage_event *event, struct outbox_mark *mark,
                                struct err *err);
/* One write for the whole batch. */
void outbox_write(struct outbox *o, struct outbox_batch *b, struct outbox_wrote *ret);

/* Records leave in order although several loops write: between these two, nobody else publishes. */
void outbox_turn_begin(struct outbox *o, uint64_t first_seq);
void outbox_turn_end(struct outbox *o, uint64_t next_seq);

/* ---- delivery -----------------------------------------------------------------------------------------------------
 */

/* Up to max numbered events from first_seq on, in memory of a. *ret_n = 0: there are none. */
enum status outbox_read(struct outbox *o, uint64_t first_seq, size_t max, struct arena *a,
                        struct usage_event **ret_events, size_t *ret_n);
void outbox_ack(struct outbox *o, uint64_t seq); /* everything up to seq may be forgotten */
/* meterd was set back: it knows nothing after seq any more. What is still there after it is owed again. */
void outbox_set_back(struct outbox *o, uint64_t seq);

/* Calls each for every call that has begun and not ended, with what its record says, in scratch's memory: each may
 * reset it. Reads the disk: not for an event loop. */
enum status outbox_each_open(struct outbox *o, struct arena *scratch,
                             void (*each)(void *ctx, const struct usage_event *event), void *ctx);

/* Gets what was taken over from a folder of somebody who died, while running; already written. */
void outbox_on_adopted(struct outbox *o,
                       void (*publish)(void *ctx, uint64_t first_seq, const struct usage_event *events, size_t n),
                       void *ctx);

/* A snapshot of meterd's state: the positions of all sources that it knows, then its end. Sources that are no more and
 * whose records were kept are compared with it: what meterd was set back behind is written anew, as ours. */
void outbox_snapshot(struct outbox *o);
void outbox_snapshot_position(struct outbox *o, struct slice source, uint64_t seq);
void outbox_snapshot_end(struct outbox *o);

struct outbox_state {
    uint64_t bytes, kept_bytes, unacked, open_calls,
        oldest_unacked_ms; /* age of the oldest record not acknowledged, 0 = none */
    bool failed, full;
};
void outbox_state(struct outbox *o, struct outbox_state *ret);

#endif
