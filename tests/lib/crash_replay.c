#include <stdlib.h>
#include <string.h>

#include "tests/lib/crash_private.h"

#define TORN_MAX 8 /* of the last operations */
#define TORN_SECTOR 512u

struct crash_replay {
    const struct crash_vfs *v;
    size_t point; /* the operation under way */
    bool exists[CRASH_FILES];
    struct crash_bytes disk[CRASH_FILES]; /* what syncs have confirmed */
    size_t *pending; /* records that none has, in order */
    size_t n_pending, cap_pending;
};

struct crash_replay *crash_replay_new(const struct crash_vfs *v)
{
    struct crash_replay *r = calloc(1, sizeof(*r));
    size_t i;

    if (!r)
        return NULL;
    r->v = v;
    for (i = 0; i < CRASH_FILES; i++) {
        r->exists[i] = v->start[i].exists;
        crash_bytes_copy(&r->disk[i], &v->start[i].bytes);
    }
    return r;
}

void crash_replay_free(struct crash_replay *r)
{
    size_t i;

    if (!r)
        return;
    for (i = 0; i < CRASH_FILES; i++)
        free(r->disk[i].p);
    free(r->pending);
    free(r);
}

size_t crash_replay_point(const struct crash_replay *r)
{
    return r->point;
}

/* ---- what is confirmed --------------------------------------------------------------------------------------------
 */

struct disk { /* either the replay's, or the one that is being made */
    bool *exists;
    struct crash_bytes *bytes[CRASH_FILES];
};

static void apply(struct disk *d, const struct crash_record *rec)
{
    struct crash_bytes *b = d->bytes[rec->file];

    d->exists[rec->file] = rec->op != CRASH_DELETE;
    if (rec->op == CRASH_WRITE)
        crash_bytes_put(b, rec->at, rec->data, rec->n);
    else
        crash_bytes_cut(b, rec->op == CRASH_TRUNCATE ? rec->n : 0);
}

static void settle_file(struct crash_replay *r, unsigned file, size_t until, bool keep)
{
    struct disk d = {.exists = r->exists};
    size_t i, left = 0;

    for (i = 0; i < CRASH_FILES; i++)
        d.bytes[i] = &r->disk[i];
    for (i = 0; i < r->n_pending; i++) {
        const struct crash_record *rec = &r->v->records[r->pending[i]];

        if (rec->file != file || i >= until)
            r->pending[left++] = r->pending[i];
        else if (keep)
            apply(&d, rec);
    }
    r->n_pending = left;
}

/* A sync: the file's pending records leave the list, onto the disk or into nowhere. */
static void confirm(struct crash_replay *r, const struct crash_record *sync)
{
    if (!sync->lost)
        r->exists[sync->file] = true;
    settle_file(r, sync->file, r->n_pending, !sync->lost);
}

static void confirm_deletions(struct crash_replay *r)
{
    size_t i = 0;

    while (i < r->n_pending) {
        const struct crash_record *rec = &r->v->records[r->pending[i]];

        if (rec->op != CRASH_DELETE) {
            i++;
            continue;
        }
        settle_file(r, rec->file, i + 1, true);
        i = 0;
    }
}

static void add_pending(struct crash_replay *r)
{
    if (r->n_pending == r->cap_pending) {
        r->cap_pending = r->cap_pending ? r->cap_pending * 2 : 256;
        r->pending = realloc(r->pending, r->cap_pending * sizeof(*r->pending));
        if (!r->pending)
            abort();
    }
    r->pending[r->n_pending++] = r->point;
}

bool crash_replay_next(struct crash_replay *r)
{
    const struct crash_record *rec = &r->v->records[r->point];

    if (r->point >= r->v->n_records)
        return false;
    if (rec->op == CRASH_SYNC)
        confirm(r, rec);
    else
        add_pending(r);
    if (rec->folder && !rec->lost)
        confirm_deletions(r);
    r->point++;
    return r->point < r->v->n_records;
}

/* ---- what may be found --------------------------------------------------------------------------------------------
 */

static uint64_t dice(uint64_t *seed) /* splitmix64 */
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Each sector arrives, or does not, or was being written when the power went. */
static void tear(struct disk *d, const struct crash_record *rec, uint64_t *seed)
{
    size_t at = 0;

    if (rec->op != CRASH_WRITE) {
        if (dice(seed) % 2)
            apply(d, rec);
        return;
    }
    d->exists[rec->file] = true;
    while (at < rec->n) {
        size_t place = rec->at + at, n = TORN_SECTOR - place % TORN_SECTOR, i;
        uint64_t what = dice(seed) % 6;

        n = n < rec->n - at ? n : rec->n - at;
        if (what < 3)
            crash_bytes_put(d->bytes[rec->file], place, rec->data + at, n);
        for (i = 0; what == 3 && i < n; i++) {
            unsigned char rubbish = (unsigned char)dice(seed);

            crash_bytes_put(d->bytes[rec->file], place + i, &rubbish, 1);
        }
        at += n;
    }
}

static void reorder(struct disk *d, const struct crash_replay *r, size_t *list, size_t n, uint64_t *seed)
{
    uint64_t quarters = 1 + dice(seed) % 4; /* of them arrive */
    size_t i;

    for (i = n; i > 1; i--) {
        size_t other = dice(seed) % i, kept = list[i - 1];

        list[i - 1] = list[other];
        list[other] = kept;
    }
    for (i = 0; i < n; i++)
        if (dice(seed) % 4 < quarters)
            apply(d, &r->v->records[list[i]]);
}

static void damage(struct disk *d, const struct crash_replay *r, enum crash_mode mode, uint64_t seed)
{
    size_t *list = malloc((r->n_pending + 1) * sizeof(*list)), n = r->n_pending, torn, i;

    if (!list)
        abort();
    if (n > 0)
        memcpy(list, r->pending, n * sizeof(*list));
    if (r->point < r->v->n_records && r->v->records[r->point].op != CRASH_SYNC)
        list[n++] = r->point;
    if (mode == CRASH_REORDER)
        reorder(d, r, list, n, &seed);
    torn = 1 + dice(&seed) % TORN_MAX;
    for (i = 0; mode == CRASH_TEAR && i < n; i++) {
        if (n - i <= torn)
            tear(d, &r->v->records[list[i]], &seed);
        else
            apply(d, &r->v->records[list[i]]);
    }
    free(list);
}

bool crash_replay_image(const struct crash_replay *r, enum crash_mode mode, uint64_t seed, struct crash_vfs *to)
{
    bool exists[CRASH_FILES];
    struct disk d = {.exists = exists};
    size_t i;

    for (i = 0; i < CRASH_FILES; i++) {
        exists[i] = r->exists[i];
        d.bytes[i] = &to->files[i].bytes;
        crash_bytes_copy(d.bytes[i], &r->disk[i]);
    }
    if (mode != CRASH_DROP)
        damage(&d, r, mode, seed * UINT64_C(1000003) + r->point);
    for (i = 0; i < CRASH_FILES; i++) {
        memcpy(to->files[i].name, r->v->files[i].name, CRASH_NAME);
        to->files[i].exists = exists[i];
        if (!exists[i])
            crash_bytes_cut(&to->files[i].bytes, 0);
    }
    crash_vfs_settle(to);
    return true;
}
