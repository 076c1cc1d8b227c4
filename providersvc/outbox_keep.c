/*
 * Segments that meterd has acknowledged. They are kept for a while, for a meterd that is restored from a backup and has
 * to hear their records again: under another name, with the numbers of their records in it, so that nobody has to read
 * them to know what they hold. They take only room that nobody else wants: the oldest goes first.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "providersvc/outbox_private.h"
#include "services/clock.h"

#define KEPT_ENDING ".kept"
#define KEPT_NAME_BYTES 38u /* two numbers of 16 digits, a dash, the ending */

void outbox_kept_name(uint64_t first_seq, uint64_t last_seq, char to[OUTBOX_KEPT_NAME])
{
    snprintf(to, OUTBOX_KEPT_NAME, "%016" PRIx64 "-%016" PRIx64 KEPT_ENDING, first_seq, last_seq);
}

bool outbox_kept_range(const char *name, uint64_t *ret_first, uint64_t *ret_last)
{
    char *end = NULL;

    if (strlen(name) != KEPT_NAME_BYTES || name[16] != '-' || strcmp(name + 33, KEPT_ENDING) != 0)
        return false;
    *ret_first = strtoull(name, &end, 16);
    if (end != name + 16)
        return false;
    *ret_last = strtoull(name + 17, &end, 16);
    return end == name + 33 && *ret_first > 0 && *ret_first <= *ret_last;
}

static void append(struct outbox *o, struct outbox_kept *k)
{
    k->next = NULL;
    if (o->kept_newest != NULL)
        o->kept_newest->next = k;
    else
        o->kept_oldest = k;
    o->kept_newest = k;
    o->kept_bytes += k->bytes;
}

bool outbox_keep(struct outbox *o, const struct outbox_segment *s)
{
    char from[OUTBOX_FILE_NAME], to[OUTBOX_KEPT_NAME];
    struct outbox_kept *k = NULL;

    if (s->first_seq > s->last_seq)
        return false;
    if (o->options.keep_ms > 0)
        k = calloc(1, sizeof(*k));
    outbox_segment_name(s->id, from);
    outbox_kept_name(s->first_seq, s->last_seq, to);
    if (k == NULL || renameat(o->dir, from, o->dir, to) != 0) {
        free(k);
        while (outbox_keep_drop(o)) { /* what is older is of no use without it */
        }
        return false;
    }
    *k = (struct outbox_kept){
        .first_seq = s->first_seq, .last_seq = s->last_seq, .bytes = s->size, .written_ms = clock_wall_ms()};
    append(o, k);
    return true;
}

bool outbox_keep_drop(struct outbox *o)
{
    struct outbox_kept *k = o->kept_oldest;
    char name[OUTBOX_KEPT_NAME];

    if (k == NULL || k->last_seq > o->acked)
        return false; /* none, or meterd wants it again */
    outbox_kept_name(k->first_seq, k->last_seq, name);
    (void)unlinkat(o->dir, name, 0);
    o->kept_oldest = k->next;
    if (o->kept_oldest == NULL)
        o->kept_newest = NULL;
    o->kept_bytes -= k->bytes;
    free(k);
    return true;
}

/* Others need the disk, too: above all the database. */
static bool disk_is_short(const struct outbox *o)
{
    struct statvfs fs;
    uint64_t all, room = o->options.disk_room_bytes;

    if (room == 0 || fstatvfs(o->dir, &fs) != 0)
        return false;
    all = (uint64_t)fs.f_blocks * fs.f_frsize;
    if (room > all / OUTBOX_DISK_ROOM_PART)
        room = all / OUTBOX_DISK_ROOM_PART;
    return (uint64_t)fs.f_bavail * fs.f_frsize < room;
}

bool outbox_kept_due(const struct outbox *o, const struct outbox_kept *k)
{
    return k->written_ms + o->options.keep_ms <= clock_wall_ms() || disk_is_short(o);
}

void outbox_keep_trim(struct outbox *o)
{
    while (o->kept_oldest != NULL && (o->kept_bytes > o->options.keep_bytes || outbox_kept_due(o, o->kept_oldest)))
        if (!outbox_keep_drop(o))
            break;
}

void outbox_keep_free(struct outbox *o)
{
    while (o->kept_oldest != NULL) {
        struct outbox_kept *k = o->kept_oldest;

        o->kept_oldest = k->next;
        free(k);
    }
    o->kept_newest = NULL;
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

const struct outbox_kept *outbox_kept_with(const struct outbox *o, uint64_t seq)
{
    const struct outbox_kept *k;

    for (k = o->kept_oldest; k != NULL; k = k->next)
        if (k->first_seq <= seq && seq <= k->last_seq)
            return k;
    return NULL;
}

int outbox_kept_open(const struct outbox *o, const struct outbox_kept *k)
{
    char name[OUTBOX_KEPT_NAME];

    outbox_kept_name(k->first_seq, k->last_seq, name);
    return openat(o->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* ---- folders ------------------------------------------------------------------------------------------------------
 */

static int by_first(const void *a, const void *b)
{
    const struct outbox_kept *x = a, *y = b;

    return x->first_seq < y->first_seq ? -1 : x->first_seq > y->first_seq;
}

enum status outbox_kept_list(int dir, struct outbox_kept **ret, size_t *ret_n)
{
    DIR *d = fdopendir(dup(dir));
    struct outbox_kept *list = NULL;
    size_t n = 0;
    struct dirent *e;
    enum status st = d != NULL ? ST_OK : ST_UNAVAILABLE;

    *ret = NULL;
    *ret_n = 0;
    if (d != NULL)
        rewinddir(d);
    for (e = d != NULL ? readdir(d) : NULL; e != NULL && st == ST_OK; e = readdir(d)) {
        struct outbox_kept k = {0}, *grown;
        struct stat info;

        if (!outbox_kept_range(e->d_name, &k.first_seq, &k.last_seq) ||
            fstatat(dir, e->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        k.bytes = (uint64_t)info.st_size;
        k.written_ms = (uint64_t)info.st_mtim.tv_sec * 1000;
        grown = realloc(list, (n + 1) * sizeof(*list));
        st = grown != NULL ? ST_OK : ST_NO_MEMORY;
        if (grown != NULL) {
            list = grown;
            list[n++] = k;
        }
    }
    if (d != NULL)
        closedir(d);
    if (n > 1)
        qsort(list, n, sizeof(*list), by_first);
    *ret = list;
    *ret_n = n;
    return st;
}

/* Only what goes on without a gap up to the first segment is of use. */
void outbox_keep_load(struct outbox *o, uint64_t next_seq)
{
    struct outbox_kept *list = NULL;
    size_t n = 0, from;

    if (outbox_kept_list(o->dir, &list, &n) != ST_OK)
        n = 0;
    from = n;
    while (from > 0 && list[from - 1].last_seq + 1 == (from == n ? next_seq : list[from].first_seq))
        from--;
    for (size_t i = 0; i < n; i++) {
        struct outbox_kept *k = i >= from ? calloc(1, sizeof(*k)) : NULL;
        char name[OUTBOX_KEPT_NAME];

        outbox_kept_name(list[i].first_seq, list[i].last_seq, name);
        if (k == NULL) {
            (void)unlinkat(o->dir, name, 0);
            continue;
        }
        *k = list[i];
        append(o, k);
    }
    free(list);
}
