#include "providersvc/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "providersvc/outbox_private.h"
#include "services/clock.h"

#define READ_STEP (256u * 1024u)
#define KEPT_PLACE (UINT64_C(1) << 63)
#define BATCH_MAX (64u * 1024u * 1024u)

/* ---- open and close ------------------------------------------------------------------------------------------------
 */

static void free_segments(struct outbox *o)
{
    while (o->oldest != NULL) {
        struct outbox_segment *s = o->oldest;

        o->oldest = s->next;
        while (s->open != NULL) { /* a written mark is ours until its call has finished */
            struct outbox_mark *m = s->open;

            s->open = m->next;
            free(m);
        }
        if (s->fd >= 0)
            close(s->fd);
        free(s);
    }
    o->newest = NULL;
    outbox_keep_free(o);
    free(o->positions);
    o->positions = NULL;
}

static void destroy(struct outbox *o)
{
    int fds[] = {o->position_fd, o->lock_fd, o->dir, o->spool};

    free_segments(o);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_cond_destroy(&o->wake);
    pthread_cond_destroy(&o->turn);
    pthread_mutex_destroy(&o->lock);
    pthread_mutex_destroy(&o->turn_lock);
    free(o);
}

static void init_sync(struct outbox *o)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&o->lock, NULL);
    pthread_mutex_init(&o->turn_lock, NULL);
    pthread_cond_init(&o->wake, &monotonic);
    pthread_cond_init(&o->turn, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

enum status outbox_open(const struct outbox_options *options, struct outbox **ret, struct err *err)
{
    struct outbox *o = calloc(1, sizeof(*o));
    enum status st;

    if (o == NULL)
        return err_set(err, ST_NO_MEMORY, "no memory for the outbox");
    o->options = *options;
    o->spool = o->dir = o->lock_fd = o->position_fd = -1;
    outbox_crc_init(&o->crc);
    init_sync(o);
    st = outbox_take_folder(o, err);
    if (st == ST_OK) {
        o->turn_seq = o->last + 1;
        outbox_adopt_others(o);
        o->turn_seq = o->last + 1;
        st = outbox_sync_start(o, err);
    }
    if (st != ST_OK) {
        destroy(o);
        return st;
    }
    *ret = o;
    return ST_OK;
}

void outbox_stop(struct outbox *o)
{
    outbox_sync_stop(o);
}

void outbox_close(struct outbox *o)
{
    if (o == NULL)
        return;
    outbox_sync_stop(o);
    outbox_sync_last(o);
    destroy(o);
}

const char *outbox_source(const struct outbox *o)
{
    return o->source;
}

uint64_t outbox_acked(struct outbox *o)
{
    uint64_t acked;

    pthread_mutex_lock(&o->lock);
    acked = o->acked;
    pthread_mutex_unlock(&o->lock);
    return acked;
}

uint64_t outbox_oldest(struct outbox *o)
{
    uint64_t oldest;

    pthread_mutex_lock(&o->lock);
    oldest = o->kept_oldest != NULL ? o->kept_oldest->first_seq : o->oldest->first_seq;
    pthread_mutex_unlock(&o->lock);
    return oldest;
}

uint64_t outbox_last(struct outbox *o)
{
    uint64_t last;

    pthread_mutex_lock(&o->lock);
    last = o->last;
    pthread_mutex_unlock(&o->lock);
    return last;
}

/* ---- segments ------------------------------------------------------------------------------------------------------
 */

/* fallocate keeps the room for the ends of admitted calls even when others fill the disk. Where the file system cannot,
 * a write may fail later; then the record stays in memory and is tried again. */
static enum status make_segment_file(struct outbox *o, struct outbox_segment *s)
{
    char name[OUTBOX_FILE_NAME];

    outbox_segment_name(s->id, name);
    s->fd = openat(o->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return errno == ENOSPC ? ST_UNAVAILABLE : ST_INTERNAL;
    if ((fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)s->cap) != 0 && errno == ENOSPC) ||
        pwrite(s->fd, OUTBOX_MAGIC, OUTBOX_MAGIC_BYTES, 0) != (ssize_t)OUTBOX_MAGIC_BYTES) {
        close(s->fd);
        s->fd = -1;
        unlinkat(o->dir, name, 0);
        return ST_UNAVAILABLE;
    }
    (void)fsync(o->dir); /* the name; a failure shows at the first fdatasync of the file */
    return ST_OK;
}

enum status outbox_add_segment(struct outbox *o, uint64_t need)
{
    struct outbox_segment *s;
    uint64_t cap = o->options.segment_bytes;
    enum status st;

    while (cap < 2 * (need + OUTBOX_MAGIC_BYTES))
        cap *= 2;
    while (o->bytes + o->kept_bytes + cap > o->options.max_bytes && outbox_keep_drop(o)) {
    }
    if (o->bytes + cap > o->options.max_bytes)
        return ST_UNAVAILABLE;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ST_NO_MEMORY;
    *s = (struct outbox_segment){.id = o->next_id,
                                 .size = OUTBOX_MAGIC_BYTES,
                                 .cap = cap,
                                 .first_seq = o->last + 1,
                                 .last_seq = o->last,
                                 .fd = -1,
                                 .dirty = true};
    do {
        st = make_segment_file(o, s);
    } while (st == ST_UNAVAILABLE && outbox_keep_drop(o));
    if (st != ST_OK) {
        free(s);
        return ST_UNAVAILABLE;
    }
    o->next_id++;
    if (o->newest != NULL) {
        o->bytes -= o->newest->cap - o->newest->size; /* what was set aside there moves on */
        o->newest->cap = o->newest->size;
        if (ftruncate(o->newest->fd, (off_t)o->newest->size) != 0)
            o->newest->dirty = true; /* only some room stays taken */
        o->newest->next = s;
    } else {
        o->oldest = s;
    }
    o->newest = s;
    o->bytes += cap;
    return ST_OK;
}

/* All or nothing: what a failed write left behind is cut off, or never used again. */
enum status outbox_put(struct outbox *o, const struct iovec *parts, int n)
{
    struct outbox_segment *s = o->newest;
    size_t total = 0;
    ssize_t wrote;

    for (int i = 0; i < n; i++)
        total += parts[i].iov_len;
    do {
        wrote = pwritev(s->fd, parts, n, (off_t)s->size);
        /* a part of it is what a full disk takes */
    } while (wrote != (ssize_t)total &&
             ((wrote < 0 && errno == EINTR) || ((wrote >= 0 || errno == ENOSPC) && outbox_keep_drop(o))));
    if (wrote == (ssize_t)total) {
        s->size += total;
        s->dirty = true;
        if (s->size > s->cap) {
            o->bytes += s->size - s->cap;
            s->cap = s->size;
        }
        return ST_OK;
    }
    if (wrote > 0 && ftruncate(s->fd, (off_t)s->size) != 0)
        o->failed = true;
    return ST_UNAVAILABLE;
}

/* ---- batches -------------------------------------------------------------------------------------------------------
 */

void outbox_batch_init(struct outbox_batch *b)
{
    memset(b, 0, sizeof(*b));
    buf_init(&b->started, BATCH_MAX);
    buf_init(&b->progress, BATCH_MAX);
    buf_init(&b->finished, BATCH_MAX);
}

static void free_marks(struct outbox_mark *m)
{
    while (m != NULL) {
        struct outbox_mark *next = m->next_in_batch;

        free(m);
        m = next;
    }
}

void outbox_batch_fini(struct outbox_batch *b)
{
    buf_fini(&b->started);
    buf_fini(&b->progress);
    buf_fini(&b->finished);
    free_marks(b->starting);
    free_marks(b->finishing);
    free_marks(b->spare);
    memset(b, 0, sizeof(*b));
}

enum status outbox_add_started(struct outbox_batch *b, const struct usage_event *event, struct outbox_mark **ret,
                               struct err *err)
{
    struct usage_started started = {.event = {event, 1}};
    struct outbox_mark *m = b->spare;
    size_t before = b->started.n;
    enum status st;

    if (m == NULL)
        m = calloc(1, sizeof(*m));
    else
        b->spare = m->next_in_batch;
    if (m == NULL)
        return err_set(err, ST_NO_MEMORY, "no memory for the outbox");
    st = outbox_record_add(&b->started, &usage_started_desc, &started, err);
    if (st != ST_OK) {
        m->next_in_batch = b->spare;
        b->spare = m;
        return st;
    }
    *m = (struct outbox_mark){.bytes = b->started.n - before};
    m->reserved = m->bytes + OUTBOX_GROWTH +
                  OUTBOX_ATTEMPTS * (OUTBOX_ATTEMPT_GROWTH + event->provider.n + event->upstream_model.n);
    if (b->starting == NULL)
        b->starting = m;
    else
        b->last_starting->next_in_batch = m;
    b->last_starting = m;
    *ret = m;
    return ST_OK;
}

enum status outbox_add_progress(struct outbox_batch *b, const struct usage_event *event, struct outbox_mark *mark,
                                bool numbered, struct err *err)
{
    size_t before = b->progress.n;
    enum status st;

    if (mark->progress_bytes > 0)
        return ST_UNAVAILABLE;
    st = outbox_record_add(&b->progress, &usage_event_desc, event, err);
    if (st != ST_OK)
        return st;
    mark->progress_bytes = b->progress.n - before;
    mark->numbered = numbered;
    mark->next_progressing = NULL;
    if (b->progressing == NULL)
        b->progressing = mark;
    else
        b->last_progressing->next_progressing = mark;
    b->last_progressing = mark;
    return ST_OK;
}

enum status outbox_add_finished(struct outbox_batch *b, const struct usage_event *event, struct outbox_mark *mark,
                                struct err *err)
{
    enum status st = outbox_record_add(&b->finished, &usage_event_desc, event, err);

    if (st != ST_OK)
        return st;
    if (mark != NULL) {
        mark->next_in_batch = b->finishing;
        b->finishing = mark;
    }
    b->n_finished++;
    return ST_OK;
}

/* ---- writing -------------------------------------------------------------------------------------------------------
 */

static void put_mark(struct outbox_segment *s, struct outbox_mark *m, uint64_t at)
{
    m->segment = s;
    m->at = at;
    m->prev = NULL;
    m->next = s->open;
    if (s->open != NULL)
        s->open->prev = m;
    s->open = m;
}

static void take_mark(struct outbox_mark *m)
{
    if (m->prev != NULL)
        m->prev->next = m->next;
    else
        m->segment->open = m->next;
    if (m->next != NULL)
        m->next->prev = m->prev;
    m->segment = NULL;
}

/* Its record is in the newest segment from now on. */
void outbox_move_mark(struct outbox *o, struct outbox_mark *m, uint64_t at)
{
    take_mark(m);
    put_mark(o->newest, m, at);
}

static void give_back(struct outbox_batch *b, struct outbox_mark **list)
{
    while (*list != NULL) {
        struct outbox_mark *m = *list;

        *list = m->next_in_batch;
        m->next_in_batch = b->spare;
        b->spare = m;
    }
}

/* Takes room for the batch's started records and for the ends of their calls; a new segment when this one has none
 * left. */
static enum status take_room(struct outbox *o, const struct outbox_batch *b)
{
    uint64_t need = b->started.n + b->progress.n + b->finished.n + o->reserved, ends = 0;

    for (const struct outbox_mark *m = b->starting; m != NULL; m = m->next_in_batch)
        ends += m->reserved;
    need += ends;
    if (o->failed)
        return ST_UNAVAILABLE;
    if (o->newest->size + need > o->newest->cap) {
        enum status st = outbox_add_segment(o, need);

        o->full = st != ST_OK;
        if (st != ST_OK)
            return ST_UNAVAILABLE;
    }
    o->reserved += ends;
    return ST_OK;
}

/* Progress has to leave room for the ends of all calls, and most of the folder to them. */
static bool room_for_progress(struct outbox *o, const struct outbox_batch *b)
{
    uint64_t need = b->started.n + b->progress.n + b->finished.n + o->reserved;

    if (o->failed || o->full || o->bytes > o->options.max_bytes / OUTBOX_PROGRESS_SHARE)
        return false;
    return o->newest->size + need <= o->newest->cap || outbox_add_segment(o, need) == ST_OK;
}

static void seal(struct outbox *o, struct outbox_batch *b)
{
    uint64_t seq = o->last;
    size_t place = 0;

    for (size_t at = 0; at < b->started.n;)
        at += outbox_record_seal(&o->crc, b->started.p + at, 0);
    for (const struct outbox_mark *m = b->progressing; m != NULL; m = m->next_progressing)
        place += outbox_record_seal(&o->crc, b->progress.p + place, m->numbered ? ++seq : 0);
    for (size_t at = 0; at < b->finished.n;)
        at += outbox_record_seal(&o->crc, b->finished.p + at, ++seq);
}

static void wrote_started(struct outbox *o, struct outbox_batch *b, uint64_t at)
{
    while (b->starting != NULL) {
        struct outbox_mark *m = b->starting;

        b->starting = m->next_in_batch;
        m->next_in_batch = NULL;
        put_mark(o->newest, m, at);
        at += m->bytes;
        o->open_calls++;
    }
    b->started.n = 0;
}

static void forget_progress(struct outbox_batch *b)
{
    for (struct outbox_mark *m = b->progressing; m != NULL; m = m->next_progressing)
        m->progress_bytes = 0;
    b->progressing = NULL;
    b->progress.n = 0;
}

static void wrote_progress(struct outbox *o, struct outbox_batch *b, uint64_t at, struct outbox_wrote *ret)
{
    for (struct outbox_mark *m = b->progressing; m != NULL; m = m->next_progressing) {
        outbox_move_mark(o, m, at);
        m->bytes = m->progress_bytes;
        at += m->bytes;
        ret->n_progress += m->numbered;
    }
    forget_progress(b);
}

static void unreserve(struct outbox *o, const struct outbox_mark *m)
{
    o->reserved -= m->reserved < o->reserved ? m->reserved : o->reserved;
}

static void wrote_finished(struct outbox *o, struct outbox_batch *b, struct outbox_wrote *ret)
{
    ret->n_finished = b->n_finished;
    for (struct outbox_mark *m = b->finishing; m != NULL; m = m->next_in_batch) {
        if (m->segment == NULL)
            continue;
        unreserve(o, m);
        take_mark(m);
        o->open_calls--;
    }
    give_back(b, &b->finishing);
    b->finished.n = 0;
    b->n_finished = 0;
}

static void wrote_numbers(struct outbox *o, struct outbox_wrote *ret)
{
    struct outbox_segment *s = o->newest;
    size_t n = ret->n_progress + ret->n_finished;

    ret->first_seq = o->last + 1;
    if (n == 0)
        return;
    if (s->last_seq < s->first_seq)
        s->oldest_ms = clock_ms();
    o->last += n;
    s->last_seq = o->last;
}

static void drop_started(struct outbox *o, struct outbox_batch *b, bool had_room)
{
    for (struct outbox_mark *m = b->starting; had_room && m != NULL; m = m->next_in_batch)
        unreserve(o, m);
    give_back(b, &b->starting);
    b->started.n = 0;
}

/* All of it, or nothing. */
static void put_batch(struct outbox *o, struct outbox_batch *b, struct outbox_wrote *ret)
{
    struct iovec parts[] = {
        {b->started.p, b->started.n}, {b->progress.p, b->progress.n}, {b->finished.p, b->finished.n}};
    uint64_t at = o->newest->size;

    seal(o, b);
    if (outbox_put(o, parts, sizeof(parts) / sizeof(parts[0])) == ST_OK) {
        wrote_started(o, b, at);
        wrote_progress(o, b, at + parts[0].iov_len, ret);
        wrote_finished(o, b, ret);
        wrote_numbers(o, ret);
        return;
    }
    ret->started = b->started.n > 0 ? ST_UNAVAILABLE : ret->started;
    ret->finished = b->finished.n > 0 ? ST_UNAVAILABLE : ST_OK;
    forget_progress(b);
    drop_started(o, b, true);
}

void outbox_write(struct outbox *o, struct outbox_batch *b, struct outbox_wrote *ret)
{
    bool was_clean;

    *ret = (struct outbox_wrote){.started = ST_OK, .finished = ST_OK};
    pthread_mutex_lock(&o->lock);
    if (b->progress.n > 0 && !room_for_progress(o, b))
        forget_progress(b);
    if (b->started.n > 0)
        ret->started = take_room(o, b);
    if (ret->started != ST_OK)
        drop_started(o, b, false);
    was_clean = !o->newest->dirty;
    if (b->started.n + b->progress.n + b->finished.n > 0) {
        put_batch(o, b, ret);
        if (was_clean && o->newest->dirty)
            pthread_cond_signal(&o->wake);
    }
    pthread_mutex_unlock(&o->lock);
}

void outbox_turn_begin(struct outbox *o, uint64_t first_seq)
{
    pthread_mutex_lock(&o->turn_lock);
    while (o->turn_seq != first_seq)
        pthread_cond_wait(&o->turn, &o->turn_lock);
    pthread_mutex_unlock(&o->turn_lock);
}

void outbox_turn_end(struct outbox *o, uint64_t next_seq)
{
    pthread_mutex_lock(&o->turn_lock);
    o->turn_seq = next_seq;
    pthread_cond_broadcast(&o->turn);
    pthread_mutex_unlock(&o->turn_lock);
}

/* ---- reading and acknowledging --------------------------------------------------------------------------------------
 */

struct reading {
    struct outbox *o;
    struct arena *a;
    struct usage_event *events;
    uint64_t want; /* the next record */
    size_t n, max;
    bool stop;
};

static enum status read_records(struct reading *r, const char *p, size_t n, size_t *ret_used)
{
    struct outbox_record rec;
    enum status st = ST_OK;

    *ret_used = 0;
    while (st == ST_OK && !r->stop && outbox_record_read(&r->o->crc, p + *ret_used, n - *ret_used, &rec)) {
        if (rec.seq == r->want) {
            st = outbox_event_decode(&rec, r->a, &r->events[r->n]);
            if (st != ST_OK)
                break;
            r->n++;
            r->want++;
            r->stop = r->n == r->max;
        }
        *ret_used += rec.bytes;
    }
    return st;
}

/* Reads on in one segment; from and until are places in the file. Returns where it stopped. */
static enum status read_segment(struct reading *r, int fd, uint64_t from, uint64_t until, uint64_t *ret_at)
{
    char *bytes = malloc(READ_STEP);
    enum status st = bytes != NULL ? ST_OK : ST_NO_MEMORY;
    uint64_t at = from;

    while (st == ST_OK && !r->stop && at < until) {
        size_t most = until - at < READ_STEP ? (size_t)(until - at) : READ_STEP, used = 0;
        ssize_t got = pread(fd, bytes, most, (off_t)at);

        if (got <= 0) {
            st = ST_UNAVAILABLE;
            break;
        }
        st = read_records(r, bytes, (size_t)got, &used);
        if (used == 0)
            break;
        at += used;
    }
    free(bytes);
    *ret_at = at;
    return st;
}

static struct outbox_segment *segment_with(struct outbox *o, uint64_t seq)
{
    struct outbox_segment *s;

    for (s = o->oldest; s != NULL; s = s->next)
        if (s->first_seq <= seq && seq <= s->last_seq)
            return s;
    return NULL;
}

/* Where the record is: a file, and a part of it. The file is the caller's to leave. */
struct place {
    struct outbox_segment *segment; /* pinned; NULL = kept */
    int fd;
    uint64_t name; /* no other file has it */
    uint64_t from, until;
};

static bool find_place(struct outbox *o, uint64_t seq, struct place *p)
{
    const struct outbox_kept *k = NULL;

    *p = (struct place){.fd = -1};
    pthread_mutex_lock(&o->lock);
    p->segment = segment_with(o, seq);
    if (p->segment != NULL) {
        p->segment->pins++;
        p->fd = p->segment->fd;
        p->name = p->segment->id;
        p->until = p->segment->size;
    } else {
        k = outbox_kept_with(o, seq);
    }
    if (k != NULL) {
        p->fd = outbox_kept_open(o, k);
        p->name = KEPT_PLACE | k->first_seq;
        p->until = k->bytes;
    }
    p->from = o->read_seq == seq && o->read_place == p->name ? o->read_at : OUTBOX_MAGIC_BYTES;
    pthread_mutex_unlock(&o->lock);
    return p->fd >= 0;
}

static void leave_place(struct outbox *o, const struct place *p, uint64_t next_seq, uint64_t stopped)
{
    pthread_mutex_lock(&o->lock);
    o->read_place = p->name;
    o->read_seq = next_seq;
    o->read_at = stopped;
    if (p->segment != NULL)
        p->segment->pins--;
    pthread_mutex_unlock(&o->lock);
    if (p->segment == NULL)
        close(p->fd);
}

enum status outbox_read(struct outbox *o, uint64_t first_seq, size_t max, struct arena *a,
                        struct usage_event **ret_events, size_t *ret_n)
{
    struct reading r = {.o = o, .a = a, .want = first_seq, .max = max};
    enum status st = ST_OK;
    size_t before;

    *ret_n = 0;
    r.events = arena_alloc(a, max * sizeof(struct usage_event));
    if (r.events == NULL)
        return ST_NO_MEMORY;
    do {
        struct place p;
        uint64_t stopped = 0;

        before = r.n;
        if (!find_place(o, r.want, &p))
            break;
        st = read_segment(&r, p.fd, p.from, p.until, &stopped);
        leave_place(o, &p, r.want, stopped);
    } while (st == ST_OK && !r.stop && r.n > before);
    *ret_events = r.events;
    *ret_n = r.n;
    return r.n > 0 ? ST_OK : st;
}

void outbox_ack(struct outbox *o, uint64_t seq)
{
    pthread_mutex_lock(&o->lock);
    if (seq > o->last)
        seq = o->last; /* somebody else's idea of us; never more than there is */
    if (seq > o->acked) {
        o->acked = seq;
        pthread_cond_signal(&o->wake);
    }
    pthread_mutex_unlock(&o->lock);
}

void outbox_set_back(struct outbox *o, uint64_t seq)
{
    uint64_t acked, missing = 0;

    pthread_mutex_lock(&o->lock);
    acked = o->acked;
    if (seq < acked) {
        uint64_t oldest = o->kept_oldest != NULL ? o->kept_oldest->first_seq : o->oldest->first_seq;

        missing = oldest > seq + 1 ? oldest - seq - 1 : 0;
        o->acked = seq;
        pthread_cond_signal(&o->wake);
    }
    pthread_mutex_unlock(&o->lock);
    if (seq < acked)
        log_event(o->options.log, missing > 0 ? LOG_ERROR : LOG_WARN, LOG_NO_REQ, "outbox_set_back",
                  LOG_C("source", o->source), LOG_N("from", acked), LOG_N("to", seq),
                  LOG_N("records_not_kept", missing));
}

void outbox_on_adopted(struct outbox *o,
                       void (*publish)(void *ctx, uint64_t first_seq, const struct usage_event *events, size_t n),
                       void *ctx)
{
    pthread_mutex_lock(&o->lock);
    o->publish = publish;
    o->publish_ctx = ctx;
    pthread_mutex_unlock(&o->lock);
}

void outbox_state(struct outbox *o, struct outbox_state *ret)
{
    struct outbox_segment *s;

    *ret = (struct outbox_state){0};
    pthread_mutex_lock(&o->lock);
    ret->unacked = o->last - o->acked;
    ret->open_calls = o->open_calls;
    ret->failed = o->failed;
    ret->full = o->full;
    ret->kept_bytes = o->kept_bytes;
    for (s = o->oldest; s != NULL; s = s->next)
        ret->bytes += s->size;
    s = ret->unacked > 0 ? segment_with(o, o->acked + 1) : NULL;
    if (s != NULL && s->oldest_ms > 0)
        ret->oldest_unacked_ms = clock_ms() - s->oldest_ms;
    pthread_mutex_unlock(&o->lock);
}
