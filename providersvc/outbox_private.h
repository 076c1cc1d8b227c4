/* What the files of the outbox share. Everything here belongs to the outbox' lock unless it says otherwise. */
#ifndef PROVIDERSVC_OUTBOX_PRIVATE_H
#define PROVIDERSVC_OUTBOX_PRIVATE_H

#include "providersvc/outbox.h"
#include "providersvc/outbox_file.h"

#include <pthread.h>
#include <sys/uio.h>

#define OUTBOX_SOURCE_MAX 64
#define OUTBOX_KEPT_NAME 40
#define OUTBOX_GROWTH 512u /* a finished record is at most so much longer than its started one: numbers, objects … */
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

struct outbox_kept { /* acknowledged; meterd may want it again */
    struct outbox_kept *next; /* newer */
    uint64_t first_seq, last_seq, bytes;
    uint64_t written_ms; /* wall clock */
};

struct outbox_position { /* of another source, as a snapshot of meterd's state has it */
    char source[OUTBOX_SOURCE_MAX];
    uint64_t seq;
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
    struct outbox_kept *kept_oldest, *kept_newest; /* without a gap between them, or to the first segment */
    uint64_t kept_bytes;
    struct outbox_position *positions; /* of the last snapshot, until folders that nobody holds were compared with it */
    size_t n_positions, cap_positions;
    bool compare;
    uint64_t acked, saved_acked, last;
    bool failed, full;
    /* the reader's place: the file, where in it, and the record there: the one behind the last one read */
    uint64_t read_place, read_at, read_seq;

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

/* outbox_keep.c; under the lock. A segment that was acknowledged: false = it is not kept, and its file is to go. */
bool outbox_keep(struct outbox *o, const struct outbox_segment *s);
bool outbox_keep_drop(struct outbox *o); /* the oldest one goes; false = there is none that may */
void outbox_keep_trim(struct outbox *o); /* what is too old, or too much */
void outbox_keep_load(struct outbox *o, uint64_t next_seq); /* at start; next_seq: of the first segment */
void outbox_keep_free(struct outbox *o);
const struct outbox_kept *outbox_kept_with(const struct outbox *o, uint64_t seq);
int outbox_kept_open(const struct outbox *o, const struct outbox_kept *k);
/* Of any folder, without a lock. The list is the caller's, in order. */
enum status outbox_kept_list(int dir, struct outbox_kept **ret, size_t *ret_n);
bool outbox_kept_range(const char *name, uint64_t *ret_first, uint64_t *ret_last);
void outbox_kept_name(uint64_t first_seq, uint64_t last_seq, char to[OUTBOX_KEPT_NAME]);
bool outbox_kept_due(const struct outbox *o, const struct outbox_kept *k); /* it is time that it goes */

/* outbox_retire.c: folders of sources that are no more, whose kept records may be wanted. Not under the lock. */
/* The segment's records have been carried over; its file is kept under a kept one's name, or goes. */
void outbox_retire_segment(const struct outbox *o, int dir, uint64_t id, uint64_t first_seq, uint64_t last_seq);
/* Writes anew what meterd was set back behind, and drops what is too old. true: nothing is left in the folder. */
bool outbox_look_at_retired(struct outbox *o, int dir, const char *source, bool compare);

/* outbox_adopt.c */
enum status outbox_take_folder(struct outbox *o, struct err *err); /* at start: an old one or a new one */
void outbox_adopt_others(struct outbox *o); /* not under the lock */
/* Not under the lock. The finished records after `after` of a kept file become new ones of ours. */
enum status outbox_import_kept(struct outbox *o, int dir, const char *name, uint64_t after, size_t *ret_n);
void outbox_save_position(struct outbox *o, uint64_t acked); /* not under the lock */

#endif
