/*
 * Folders of the spool: making one, locking one, taking over what a dead process left.
 *
 * A folder is gone on with only when all its records are whole and without a gap and the machine has not been started
 * anew since: after a power cut records that meterd has already seen may be missing at the end, and their numbers must
 * not be used again. Otherwise what it owes is written into a folder of our own under new numbers; meterd knows a call
 * again by its request id.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "providersvc/outbox_private.h"
#include "services/clock.h"
#include "services/ids.h"

#define FOLDER_PREFIX "src_"
#define FOLDER_TRIES 16
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX 64
#define POSITION_BYTES 12
#define IMPORT_AT_ONCE 500
#define SEGMENT_FILE_MAX (256u * 1024u * 1024u)
#define IMPORT_ARENA_MAX (16u * 1024u * 1024u)

/* ---- folders and locks ----------------------------------------------------------------------------------------------
 */

struct folder {
    char name[NAME_MAX + 1];
    int dir, lock;
};

static void leave(struct folder *f)
{
    if (f->lock >= 0)
        close(f->lock);
    if (f->dir >= 0)
        close(f->dir);
    f->lock = f->dir = -1;
}

/* The folder may be removed by its holder between our opening and our locking it: then its name leads elsewhere. */
static bool lock_folder(int spool, const char *name, struct folder *f)
{
    struct stat here, there;

    *f = (struct folder){.dir = -1, .lock = -1};
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->dir = openat(spool, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (f->dir >= 0)
        f->lock = openat(f->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->lock >= 0 && flock(f->lock, LOCK_EX | LOCK_NB) == 0 && fstat(f->dir, &here) == 0 &&
        fstatat(spool, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && here.st_ino == there.st_ino &&
        here.st_dev == there.st_dev)
        return true;
    leave(f);
    return false;
}

static void remove_folder(int spool, struct folder *f)
{
    DIR *d = fdopendir(dup(f->dir));
    struct dirent *e;

    if (d != NULL) {
        rewinddir(d);
        for (e = readdir(d); e != NULL; e = readdir(d))
            if (e->d_name[0] != '.' && strcmp(e->d_name, "lock") != 0)
                (void)unlinkat(f->dir, e->d_name, 0);
        closedir(d);
    }
    (void)unlinkat(f->dir, "lock", 0);
    (void)unlinkat(spool, f->name, AT_REMOVEDIR);
    leave(f);
}

static void read_boot_id(char to[BOOT_ID_MAX])
{
    int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, to, BOOT_ID_MAX - 1) : 0;

    if (fd >= 0)
        close(fd);
    to[n > 0 ? n : 0] = '\0';
}

static bool same_boot(const struct folder *f)
{
    char now[BOOT_ID_MAX], then[BOOT_ID_MAX];
    ssize_t n = pread(f->lock, then, sizeof(then) - 1, 0);

    then[n > 0 ? n : 0] = '\0';
    read_boot_id(now);
    return now[0] != '\0' && strcmp(now, then) == 0;
}

static void write_boot_id(const struct folder *f)
{
    char now[BOOT_ID_MAX];

    read_boot_id(now);
    if (pwrite(f->lock, now, strlen(now), 0) != (ssize_t)strlen(now))
        (void)!ftruncate(f->lock, 0); /* unknown: the next start takes the slow way */
}

/* ---- the position
 * ---------------------------------------------------------------------------------------------------- */

void outbox_save_position(struct outbox *o, uint64_t acked)
{
    char bytes[POSITION_BYTES];
    uint32_t crc;

    memcpy(bytes, &acked, 8);
    crc = outbox_crc(&o->crc, bytes, 8);
    memcpy(bytes + 8, &crc, 4);
    /* a position that is lost or old only means that something is delivered twice */
    (void)!pwrite(o->position_fd, bytes, sizeof(bytes), 0);
}

static uint64_t read_position(const struct outbox *o, int dir)
{
    int fd = openat(dir, "position", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char bytes[POSITION_BYTES];
    uint64_t acked = 0;
    uint32_t crc;

    if (fd < 0)
        return 0;
    if (read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes)) {
        memcpy(&acked, bytes, 8);
        memcpy(&crc, bytes + 8, 4);
        if (crc != outbox_crc(&o->crc, bytes, 8))
            acked = 0;
    }
    close(fd);
    return acked;
}

/* ---- what a folder holds
 * ---------------------------------------------------------------------------------------------- */

/* A record says more of its call than one of a kind before its own. One that is parked is an end. */
enum call_kind { CALL_STARTED, CALL_RUNNING, CALL_ENDED };

struct call_record {
    uint64_t hash; /* of the request id */
    uint32_t segment, at;
    enum call_kind kind;
};

struct found_segment {
    uint64_t id, size, good, first_seq, last_seq;
};

struct found {
    const struct outbox *o;
    struct found_segment *segments;
    size_t n_segments, cap_segments;
    struct call_record *calls;
    size_t n_calls, cap_calls;
    uint64_t acked, first_seq, last_seq; /* first 0 = no numbered record */
    bool whole; /* every record good, no gap */
    struct arena arena;
};

static uint64_t hash_of(struct slice s)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
    return h;
}

static bool grow(void **items, size_t n, size_t *cap, size_t size)
{
    size_t more = *cap == 0 ? 64 : *cap * 2;
    void *p;

    if (n < *cap)
        return true;
    p = realloc(*items, more * size);
    if (p == NULL)
        return false;
    *items = p;
    *cap = more;
    return true;
}

static enum call_kind kind_of(const struct outbox_record *r, const struct usage_event *event)
{
    if (slice_is(event->status, "running") && !event->parked)
        return CALL_RUNNING;
    return r->seq > 0 ? CALL_ENDED : CALL_STARTED;
}

static enum status find_record(void *ctx, const struct outbox_record *r, size_t at)
{
    struct found *f = ctx;
    struct found_segment *s = &f->segments[f->n_segments - 1];
    struct usage_event event;

    arena_reset(&f->arena);
    if (outbox_event_decode(r, &f->arena, &event) != ST_OK ||
        !grow((void **)&f->calls, f->n_calls, &f->cap_calls, sizeof(*f->calls)))
        return ST_BAD_MESSAGE;
    f->calls[f->n_calls++] = (struct call_record){.hash = hash_of(event.request_id),
                                                  .segment = (uint32_t)(f->n_segments - 1),
                                                  .at = (uint32_t)at,
                                                  .kind = kind_of(r, &event)};
    if (r->seq == 0)
        return ST_OK;
    if (f->last_seq > 0 && r->seq != f->last_seq + 1)
        f->whole = false;
    if (f->first_seq == 0)
        f->first_seq = r->seq;
    if (s->first_seq == 0)
        s->first_seq = r->seq;
    f->last_seq = s->last_seq = r->seq;
    return ST_OK;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static int by_place(const void *a, const void *b)
{
    const struct call_record *x = a, *y = b;

    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The records of a call side by side, what says most of it first: its end, else its latest progress. */
static int by_call(const void *a, const void *b)
{
    const struct call_record *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->kind != y->kind ? (int)y->kind - (int)x->kind : by_place(b, a);
}

static enum status list_segments(int dir, uint64_t **ret_ids, size_t *ret_n)
{
    DIR *d = fdopendir(dup(dir));
    uint64_t *ids = NULL;
    size_t n = 0, cap = 0;
    struct dirent *e;
    enum status st = d != NULL ? ST_OK : ST_UNAVAILABLE;

    if (d != NULL)
        rewinddir(d);
    for (e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        uint64_t id;

        if (!outbox_segment_id(e->d_name, &id))
            continue;
        if (!grow((void **)&ids, n, &cap, sizeof(*ids))) {
            st = ST_NO_MEMORY;
            break;
        }
        ids[n++] = id;
    }
    if (d != NULL)
        closedir(d);
    if (n > 1)
        qsort(ids, n, sizeof(*ids), by_id);
    *ret_ids = ids;
    *ret_n = n;
    return st;
}

static enum status look_at_segment(struct found *f, int dir, uint64_t id, bool last, struct buf *bytes)
{
    char name[OUTBOX_FILE_NAME];
    struct found_segment *s;
    enum status st;

    outbox_segment_name(id, name);
    if (!grow((void **)&f->segments, f->n_segments, &f->cap_segments, sizeof(*f->segments)))
        return ST_NO_MEMORY;
    st = outbox_read_file(dir, name, bytes);
    if (st != ST_OK)
        return st;
    s = &f->segments[f->n_segments++];
    *s = (struct found_segment){.id = id, .size = bytes->n};
    s->good = outbox_scan(&f->o->crc, bytes->p, bytes->n, find_record, f);
    if (s->good < s->size && !last)
        f->whole = false; /* at the end of the last one it is only a write that was cut off */
    return ST_OK;
}

static void found_fini(struct found *f)
{
    free(f->segments);
    free(f->calls);
    arena_fini(&f->arena);
}

static enum status look_at(const struct outbox *o, const struct folder *folder, struct found *f)
{
    uint64_t *ids = NULL;
    struct buf bytes;
    size_t n = 0;
    enum status st;

    *f = (struct found){.o = o, .whole = true};
    arena_init(&f->arena, IMPORT_ARENA_MAX);
    buf_init(&bytes, SEGMENT_FILE_MAX);
    f->acked = read_position(o, folder->dir);
    st = list_segments(folder->dir, &ids, &n);
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = look_at_segment(f, folder->dir, ids[i], i + 1 == n, &bytes);
    free(ids);
    buf_fini(&bytes);
    if (f->n_calls > 1)
        qsort(f->calls, f->n_calls, sizeof(*f->calls), by_call);
    if (f->first_seq > 0 && f->acked < f->first_seq - 1)
        f->acked = f->first_seq - 1; /* what came before was committed, or it would be here */
    if (f->acked > f->last_seq) {
        f->whole = f->whole && f->last_seq == 0;
        f->last_seq = f->acked;
    }
    return st;
}

/* ---- writing into our own
 * --------------------------------------------------------------------------------------------- */

struct import {
    struct outbox *o;
    struct outbox_batch batch;
    struct arena arena;
    struct usage_event *events;
    size_t n;
    enum status st;
};

static void import_flush(struct import *im)
{
    void (*publish)(void *ctx, uint64_t first_seq, const struct usage_event *events, size_t n);
    struct outbox_wrote wrote;

    if (im->n == 0 || im->st != ST_OK)
        return;
    pthread_mutex_lock(&im->o->lock);
    if (im->o->newest->size + im->batch.finished.n + im->o->reserved > im->o->newest->cap)
        im->st = outbox_add_segment(im->o, im->batch.finished.n + im->o->reserved);
    publish = im->o->publish;
    pthread_mutex_unlock(&im->o->lock);
    if (im->st != ST_OK)
        return;
    outbox_write(im->o, &im->batch, &wrote);
    im->st = wrote.finished;
    if (im->st == ST_OK && publish != NULL) {
        outbox_turn_begin(im->o, wrote.first_seq);
        publish(im->o->publish_ctx, wrote.first_seq, im->events, im->n);
        outbox_turn_end(im->o, wrote.first_seq + wrote.n_finished);
    }
    im->n = 0;
    arena_reset(&im->arena);
    im->events = arena_alloc(&im->arena, IMPORT_AT_ONCE * sizeof(*im->events));
    if (im->events == NULL)
        im->st = ST_NO_MEMORY;
}

/* Of a call that nobody ended, what it said last is on its bill. Nothing had been delivered where it owed nothing. */
static void end_running(struct usage_event *e)
{
    bool flowed = e->prompt_tokens > 0 || e->completion_tokens > 0;

    e->status = slice_of(flowed ? "truncated" : "error");
    if (!flowed)
        e->http_status = (uint64_t)status_http(ST_PEER_LOST);
    e->estimated = true;
    e->lease_ms = 0;
}

static void import_record(struct import *im, const struct outbox_record *r, enum call_kind kind)
{
    if (im->st == ST_OK)
        im->st = outbox_event_decode(r, &im->arena, &im->events[im->n]);
    if (im->st == ST_OK && kind == CALL_ENDED && !im->events[im->n].parked &&
        slice_is(im->events[im->n].status, "running"))
        return; /* numbered progress of a kept file: the call's end says more, and is owed or kept itself */
    if (im->st == ST_OK && kind == CALL_RUNNING)
        end_running(&im->events[im->n]);
    if (im->st == ST_OK)
        im->st = outbox_add_finished(&im->batch, &im->events[im->n], NULL, NULL);
    if (im->st != ST_OK)
        return;
    im->n++;
    if (im->n == IMPORT_AT_ONCE)
        import_flush(im);
}

/* A call that began and never ended owes what its first record says; by_call put that first. */
static bool may_owe(const struct found *f, size_t i, bool started_only)
{
    const struct call_record *c = &f->calls[i];

    if (c->kind == CALL_ENDED)
        return !started_only;
    return i == 0 || f->calls[i - 1].hash != c->hash;
}

/* Drops from f->calls what is not owed and puts the rest in the order of the files. Only needs hash order before. */
static enum status keep_owed(struct found *f, int dir, bool started_only, struct import *im)
{
    size_t kept = 0, loaded = SIZE_MAX;
    struct call_record *owing = calloc(f->n_calls + 1, sizeof(*owing));
    struct buf bytes;
    enum status st = owing != NULL ? ST_OK : ST_NO_MEMORY;

    for (size_t i = 0; i < f->n_calls && st == ST_OK; i++)
        if (may_owe(f, i, started_only))
            owing[kept++] = f->calls[i];
    if (kept > 1)
        qsort(owing, kept, sizeof(*owing), by_place);
    buf_init(&bytes, SEGMENT_FILE_MAX);
    for (size_t i = 0; i < kept && st == ST_OK && im->st == ST_OK; i++) {
        struct outbox_record r;
        char name[OUTBOX_FILE_NAME];

        if (loaded != owing[i].segment) {
            outbox_segment_name(f->segments[owing[i].segment].id, name);
            st = outbox_read_file(dir, name, &bytes);
            loaded = owing[i].segment;
        }
        if (st == ST_OK && owing[i].at < bytes.n &&
            outbox_record_read(&f->o->crc, bytes.p + owing[i].at, bytes.n - owing[i].at, &r) &&
            (owing[i].kind != CALL_ENDED || r.seq > f->acked))
            import_record(im, &r, owing[i].kind);
    }
    buf_fini(&bytes);
    free(owing);
    return st;
}

/* Writes what the folder owes (started_only: its ends are ours already) as finished records of ours. */
static enum status import(struct outbox *o, struct found *f, int dir, bool started_only, size_t *ret_n)
{
    struct import im = {.o = o};
    uint64_t before = outbox_last(o);
    enum status st;

    outbox_batch_init(&im.batch);
    arena_init(&im.arena, IMPORT_ARENA_MAX);
    im.events = arena_alloc(&im.arena, IMPORT_AT_ONCE * sizeof(*im.events));
    st = im.events != NULL ? keep_owed(f, dir, started_only, &im) : ST_NO_MEMORY;
    import_flush(&im);
    if (st == ST_OK)
        st = im.st;
    outbox_batch_fini(&im.batch);
    arena_fini(&im.arena);
    *ret_n = (size_t)(outbox_last(o) - before);
    return st;
}

enum status outbox_import_kept(struct outbox *o, int dir, const char *name, uint64_t after, size_t *ret_n)
{
    struct import im = {.o = o};
    uint64_t before = outbox_last(o);
    struct outbox_record r;
    size_t at = OUTBOX_MAGIC_BYTES;
    struct buf bytes;
    enum status st;

    outbox_batch_init(&im.batch);
    arena_init(&im.arena, IMPORT_ARENA_MAX);
    im.events = arena_alloc(&im.arena, IMPORT_AT_ONCE * sizeof(*im.events));
    buf_init(&bytes, SEGMENT_FILE_MAX);
    st = im.events != NULL ? outbox_read_file(dir, name, &bytes) : ST_NO_MEMORY;
    while (st == ST_OK && im.st == ST_OK && at < bytes.n &&
           outbox_record_read(&o->crc, bytes.p + at, bytes.n - at, &r)) {
        if (r.seq > after)
            import_record(&im, &r, CALL_ENDED);
        at += r.bytes;
    }
    import_flush(&im);
    if (st == ST_OK)
        st = im.st;
    if (st == ST_OK && outbox_last(o) > before && fdatasync(o->newest->fd) != 0)
        st = ST_UNAVAILABLE;
    buf_fini(&bytes);
    outbox_batch_fini(&im.batch);
    arena_fini(&im.arena);
    *ret_n = (size_t)(outbox_last(o) - before);
    return st;
}

/* ---- taking over
 * ------------------------------------------------------------------------------------------------------- */

static void own(struct outbox *o, struct folder *f)
{
    o->dir = f->dir;
    o->lock_fd = f->lock;
    snprintf(o->source, sizeof(o->source), "%.*s", (int)sizeof(o->source) - 1, f->name);
    write_boot_id(f);
    o->position_fd = openat(o->dir, "position", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static enum status take_segment(struct outbox *o, const struct found_segment *s)
{
    struct outbox_segment *segment;
    char name[OUTBOX_FILE_NAME];

    outbox_segment_name(s->id, name);
    if (s->id >= o->next_id)
        o->next_id = s->id + 1;
    if (s->good <= OUTBOX_MAGIC_BYTES) {
        (void)unlinkat(o->dir, name, 0);
        return ST_OK;
    }
    segment = calloc(1, sizeof(*segment));
    if (segment == NULL)
        return ST_NO_MEMORY;
    *segment =
        (struct outbox_segment){.id = s->id, .size = s->good, .cap = s->good, .dirty = true, .oldest_ms = clock_ms()};
    segment->first_seq = s->first_seq > 0 ? s->first_seq : o->last + 1;
    segment->last_seq = s->first_seq > 0 ? s->last_seq : o->last;
    o->last = segment->last_seq;
    segment->fd = openat(o->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (segment->fd < 0 || ftruncate(segment->fd, (off_t)s->good) != 0) {
        if (segment->fd >= 0)
            close(segment->fd);
        free(segment);
        return ST_UNAVAILABLE;
    }
    if (o->newest != NULL)
        o->newest->next = segment;
    else
        o->oldest = segment;
    o->newest = segment;
    o->bytes += segment->cap;
    return ST_OK;
}

static enum status go_on_with(struct outbox *o, struct folder *folder, struct found *f)
{
    size_t settled = 0;
    enum status st = ST_OK;

    own(o, folder);
    o->acked = o->saved_acked = f->acked;
    o->last = f->first_seq > 0 ? f->first_seq - 1 : f->last_seq;
    outbox_keep_load(o, o->last + 1);
    for (size_t i = 0; i < f->n_segments && st == ST_OK; i++)
        st = take_segment(o, &f->segments[i]);
    if (f->last_seq > o->last)
        o->last = f->last_seq;
    if (st == ST_OK)
        st = outbox_add_segment(o, 0);
    if (st == ST_OK)
        st = import(o, f, o->dir, true, &settled);
    log_event(o->options.log, LOG_INFO, LOG_NO_REQ, "outbox_taken_over", LOG_C("source", o->source),
              LOG_N("unacknowledged", o->last - o->acked), LOG_N("unfinished_calls_settled", settled));
    return st;
}

static enum status begin_new(struct outbox *o, struct err *err)
{
    for (int i = 0; i < FOLDER_TRIES; i++) {
        struct folder f;
        char name[ID_TEXT_SIZE];

        id_make(name, FOLDER_PREFIX, 8);
        if (mkdirat(o->spool, name, 0700) != 0)
            return err_set(err, ST_UNAVAILABLE, "SPOOL_DIR %s cannot be written to: errno %d", o->options.spool_dir,
                           errno);
        if (!lock_folder(o->spool, name, &f))
            continue; /* somebody who looks for abandoned folders was faster */
        own(o, &f);
        o->next_id = 1;
        if (o->position_fd < 0 || outbox_add_segment(o, 0) != ST_OK)
            return err_set(err, ST_UNAVAILABLE, "SPOOL_DIR %s cannot be written to, or is full", o->options.spool_dir);
        return ST_OK;
    }
    return err_set(err, ST_UNAVAILABLE, "SPOOL_DIR %s: no folder of our own", o->options.spool_dir);
}

static bool try_to_go_on(struct outbox *o, const char *name, enum status *ret_st)
{
    struct folder folder;
    struct found f;
    bool fit;

    if (!lock_folder(o->spool, name, &folder))
        return false;
    *ret_st = look_at(o, &folder, &f);
    fit = *ret_st == ST_OK && f.whole && f.n_segments > 0 && f.last_seq > 0 && same_boot(&folder) &&
          strlen(name) < OUTBOX_SOURCE_MAX;
    if (fit)
        *ret_st = go_on_with(o, &folder, &f);
    else
        leave(&folder);
    found_fini(&f);
    return fit;
}

/* All folders of the spool, one after the other. each returns true to stop. */
static void each_folder(struct outbox *o, bool (*each)(struct outbox *o, const char *name, void *ctx), void *ctx)
{
    DIR *d = fdopendir(openat(o->spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *e;

    if (d == NULL)
        return;
    for (e = readdir(d); e != NULL; e = readdir(d))
        if (strncmp(e->d_name, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) == 0 && strcmp(e->d_name, o->source) != 0 &&
            each(o, e->d_name, ctx))
            break;
    closedir(d);
}

static bool take_first(struct outbox *o, const char *name, void *ctx)
{
    return try_to_go_on(o, name, ctx);
}

static enum status open_spool(struct outbox *o, struct err *err)
{
    char path[PATH_MAX];

    if (strlen(o->options.spool_dir) >= sizeof(path))
        return err_set(err, ST_BAD_REQUEST, "SPOOL_DIR is too long");
    snprintf(path, sizeof(path), "%s", o->options.spool_dir);
    for (char *p = path + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
    (void)mkdir(path, 0700);
    o->spool = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (o->spool < 0)
        return err_set(err, ST_UNAVAILABLE, "SPOOL_DIR %s cannot be opened: errno %d", path, errno);
    return ST_OK;
}

enum status outbox_take_folder(struct outbox *o, struct err *err)
{
    enum status st = open_spool(o, err);

    if (st != ST_OK)
        return st;
    each_folder(o, take_first, &st);
    if (o->dir < 0)
        return begin_new(o, err);
    if (st != ST_OK)
        err_set(err, st, "SPOOL_DIR %s: the folder %s could not be taken over", o->options.spool_dir, o->source);
    return st;
}

static void put_aside(struct outbox *o, struct folder *folder)
{
    char aside[NAME_MAX + 16];

    log_event(o->options.log, LOG_ERROR, LOG_NO_REQ, "outbox_damaged", LOG_C("folder", folder->name));
    snprintf(aside, sizeof(aside), "damaged-%s", folder->name);
    (void)renameat(o->spool, folder->name, o->spool, aside);
    leave(folder);
}

/* All that it owed is ours. What meterd has acknowledged stays there while it is kept. */
static void retire(struct outbox *o, struct folder *folder, const struct found *f, bool compare)
{
    for (size_t i = 0; i < f->n_segments; i++)
        outbox_retire_segment(o, folder->dir, f->segments[i].id, f->segments[i].first_seq, f->segments[i].last_seq);
    if (outbox_look_at_retired(o, folder->dir, folder->name, compare))
        remove_folder(o->spool, folder);
    else
        leave(folder);
}

static bool adopt(struct outbox *o, const char *name, void *ctx)
{
    const bool *compare = ctx;
    struct folder folder;
    struct found f;
    size_t n = 0;
    enum status st;

    if (!lock_folder(o->spool, name, &folder))
        return false;
    st = look_at(o, &folder, &f);
    if (st == ST_OK)
        st = import(o, &f, folder.dir, false, &n);
    if (st == ST_OK && n > 0 && fdatasync(o->newest->fd) != 0)
        st = ST_UNAVAILABLE;
    if (st == ST_OK && n > 0)
        log_event(o->options.log, LOG_WARN, LOG_NO_REQ, "outbox_adopted", LOG_C("from", name), LOG_N("records", n));
    if (st == ST_OK && !f.whole) {
        put_aside(o, &folder);
    } else if (st == ST_OK) {
        retire(o, &folder, &f, *compare && f.n_segments == 0);
    } else {
        log_event(o->options.log, LOG_WARN, LOG_NO_REQ, "outbox_not_adopted", LOG_C("from", name),
                  LOG_C("why", status_name(st)));
        leave(&folder);
    }
    found_fini(&f);
    return false;
}

void outbox_adopt_others(struct outbox *o)
{
    bool compare;

    pthread_mutex_lock(&o->lock);
    compare = o->compare;
    o->compare = false; /* of a snapshot only once: a source that dies later is ahead of it */
    pthread_mutex_unlock(&o->lock);
    each_folder(o, adopt, &compare);
}
