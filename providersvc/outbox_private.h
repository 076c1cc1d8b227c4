/* What the files of the outbox share. Everything here belongs to the outbox' lock unless it says otherwise. */
#ifndef PROVIDERSVC_OUTBOX_PRIVATE_H
#define PROVIDERSVC_OUTBOX_PRIVATE_H

#include "providersvc/outbox.h"
#include "providersvc/outbox_file.h"

#include <pthread.h>
#include <sys/uio.h>

#define OUTBOX_SOURCE_MAX 64
#define OUTBOX_GROWTH 256u /* a finished record is at most so much longer than its started one: the numbers … */
#define OUTBOX_ATTEMPTS 4u /* … and so many attempts … */
#define OUTBOX_ATTEMPT_GROWTH 96u /* … each its names, and their numbers */

struct outbox_segment;

struct outbox_mark {
    struct outbox_mark *next_in_batch;
    struct outbox_mark *prev, *next; /* open marks of the segment */
    struct outbox_segment *segment; /* NULL = not written yet */
    uint64_t at, bytes; /* the record there that says most of it: started, or its last progress */
    uint64_t reserved; /* for its end */
    struct outbox_mark *next_progressing;
    uint64_t progress_bytes; /* of its record in the batch; 0 = none */
    bool numbered; /* that record */
};

struct outbox_segment {
    struct outbox_segment *next; /* newer */
    struct outbox_mark *open; /* started here, not finished */
    uint64_t id, size, cap;
    uint64_t first_seq, last_seq; /* of its finished records; last < first: none */
    uint64_t oldest_ms; /* when its first finished record was written */
    int fd;
    bool dirty; /* written since the last fdatasync */
    unsigned pins;
};

struct outbox {
    struct outbox_options options;
    struct outbox_crc crc; /* constant */
    char source[OUTBOX_SOURCE_MAX];
    int spool, dir, lock_fd, position_fd;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* of the syncer */
    pthread_t syncer;
    bool syncing, closing;
    struct outbox_segment *oldest, *newest;
    uint64_t bytes, reserved, open_calls, next_id;
    uint64_t acked, saved_acked, last;
    bool failed, full;
    /* the reader's place: the record behind the last one read */
    uint64_t read_segment, read_at, read_seq;

    pthread_mutex_t turn_lock;
    pthread_cond_t turn;
    uint64_t turn_seq; /* the next record to be published */
    void (*publish)(void *ctx, uint64_t first_seq, const struct usage_event *events, size_t n);
    void *publish_ctx;
};

/* outbox.c; under the lock */
enum status outbox_add_segment(struct outbox *o, uint64_t need);
enum status outbox_put(struct outbox *o, const struct iovec *parts, int n);
void outbox_move_mark(struct outbox *o, struct outbox_mark *m, uint64_t at); /* to the newest segment */

/* outbox_sync.c: the thread that syncs, trims, saves the position and takes over folders */
enum status outbox_sync_start(struct outbox *o, struct err *err);
void outbox_sync_stop(struct outbox *o);
void outbox_sync_last(struct outbox *o); /* after it */

/* outbox_adopt.c */
enum status outbox_take_folder(struct outbox *o, struct err *err); /* at start: an old one or a new one */
void outbox_adopt_others(struct outbox *o); /* not under the lock */
void outbox_save_position(struct outbox *o, uint64_t acked); /* not under the lock */

#endif
