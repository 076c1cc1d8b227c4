#include "tests/lib/crash_vfs.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/crash_private.h"

#define SECTOR 4096 /* as unix reports it */
#define FOLDER_SYNCED (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)

struct handle {
    sqlite3_file base;
    struct crash_vfs *v;
    struct crash_file *f;
    bool folder; /* its first sync is one of the folder as well, as on unix */
};

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static void room(struct crash_bytes *b, size_t n)
{
    size_t cap = b->cap ? b->cap : 4096;

    while (cap < n)
        cap *= 2;
    if (cap == b->cap)
        return;
    b->p = realloc(b->p, cap);
    if (!b->p)
        abort();
    b->cap = cap;
}

void crash_bytes_cut(struct crash_bytes *b, size_t n)
{
    room(b, n);
    if (n > b->n)
        memset(b->p + b->n, 0, n - b->n);
    b->n = n;
}

void crash_bytes_put(struct crash_bytes *b, size_t at, const void *p, size_t n)
{
    if (n == 0)
        return;
    if (at + n > b->n)
        crash_bytes_cut(b, at + n);
    memcpy(b->p + at, p, n);
}

void crash_bytes_copy(struct crash_bytes *to, const struct crash_bytes *from)
{
    crash_bytes_cut(to, 0);
    crash_bytes_put(to, 0, from->p, from->n);
}

/* ---- files and the record ---------------------------------------------------------------------------------------- */

static struct crash_file *find(struct crash_vfs *v, const char *name, bool make)
{
    struct crash_file *spare = NULL;
    size_t i;

    for (i = 0; i < CRASH_FILES; i++) {
        if (strcmp(v->files[i].name, name) == 0)
            return &v->files[i];
        if (!spare && !v->files[i].name[0])
            spare = &v->files[i];
    }
    if (!make || !spare || strlen(name) >= CRASH_NAME)
        return NULL;
    memcpy(spare->name, name, strlen(name) + 1);
    return spare;
}

static void record(struct crash_vfs *v, const struct crash_file *f, struct crash_record r, const void *data)
{
    struct crash_record *to;

    if (v->n_records == v->cap_records) {
        v->cap_records = v->cap_records ? v->cap_records * 2 : 1024;
        v->records = realloc(v->records, v->cap_records * sizeof(*v->records));
        if (!v->records)
            abort();
    }
    to = &v->records[v->n_records++];
    *to = r;
    to->file = (unsigned)(f - v->files);
    to->data = NULL;
    if (!data)
        return;
    to->data = malloc(r.n ? r.n : 1);
    if (!to->data)
        abort();
    memcpy(to->data, data, r.n);
}

static int strike(struct crash_vfs *v, enum crash_op op)
{
    if (v->fault.nth == 0 || !(v->fault.ops & (1u << op)))
        return SQLITE_OK;
    v->seen++;
    if (v->seen < v->fault.nth || v->seen >= v->fault.nth + v->fault.times)
        return SQLITE_OK;
    v->struck++;
    return v->fault.rc;
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

static struct handle *handle_of(sqlite3_file *file)
{
    return (struct handle *)(void *)file;
}

static int file_close(sqlite3_file *file)
{
    (void)file;
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at)
{
    struct handle *h = handle_of(file);
    struct crash_bytes *b = &h->f->bytes;
    int rc = strike(h->v, CRASH_READ);
    size_t have;

    if (rc != SQLITE_OK)
        return rc;
    have = (size_t)at < b->n ? b->n - (size_t)at : 0;
    if (have >= (size_t)n) {
        memcpy(to, b->p + at, (size_t)n);
        return SQLITE_OK;
    }
    memset(to, 0, (size_t)n);
    if (have > 0)
        memcpy(to, b->p + at, have);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 at)
{
    struct handle *h = handle_of(file);
    int rc = strike(h->v, CRASH_WRITE);
    size_t bytes = rc == SQLITE_OK ? (size_t)n : rc == SQLITE_FULL ? (size_t)n / 2 : 0;

    if (bytes > 0) {
        crash_bytes_put(&h->f->bytes, (size_t)at, from, bytes);
        record(h->v, h->f, (struct crash_record){.op = CRASH_WRITE, .at = (size_t)at, .n = bytes}, from);
    }
    return rc;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct handle *h = handle_of(file);
    int rc = strike(h->v, CRASH_TRUNCATE);

    if (rc != SQLITE_OK)
        return rc;
    crash_bytes_cut(&h->f->bytes, (size_t)size);
    record(h->v, h->f, (struct crash_record){.op = CRASH_TRUNCATE, .n = (size_t)size}, NULL);
    return SQLITE_OK;
}

static int file_sync(sqlite3_file *file, int flags)
{
    struct handle *h = handle_of(file);
    int rc = strike(h->v, CRASH_SYNC);

    (void)flags;
    record(h->v, h->f, (struct crash_record){.op = CRASH_SYNC, .lost = rc != SQLITE_OK, .folder = h->folder}, NULL);
    h->folder = false;
    return rc;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)handle_of(file)->f->bytes.n;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int file_check(sqlite3_file *file, int *ret)
{
    (void)file;
    *ret = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    (void)file;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file)
{
    (void)file;
    return SECTOR;
}

static int file_device(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- the log's shared memory --------------------------------------------------------------------------------------
 */

static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
    struct handle *h = handle_of(file);
    int rc = strike(h->v, CRASH_MAP);

    *ret = NULL;
    if (rc != SQLITE_OK)
        return rc;
    if (region < 0 || region >= CRASH_REGIONS)
        return SQLITE_IOERR_SHMSIZE;
    if (!h->f->regions[region] && extend) {
        h->f->regions[region] = calloc(1, (size_t)size);
        if (!h->f->regions[region])
            return SQLITE_IOERR_NOMEM;
    }
    *ret = h->f->regions[region];
    return SQLITE_OK;
}

static int shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    (void)file;
    (void)offset;
    (void)n;
    (void)flags;
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *file)
{
    (void)file;
}

static void forget_regions(struct crash_file *f)
{
    size_t i;

    for (i = 0; i < CRASH_REGIONS; i++) {
        free(f->regions[i]);
        f->regions[i] = NULL;
    }
}

/* One connection: when it lets go, nobody is left who could know what stands there. */
static int shm_unmap(sqlite3_file *file, int delete)
{
    (void)delete;
    forget_regions(handle_of(file)->f);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_check,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* ---- the folder ---------------------------------------------------------------------------------------------------
 */

static struct crash_vfs *vfs_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct crash_vfs *v = vfs_of(vfs);
    struct handle *h = handle_of(file);
    struct crash_file *f = name ? find(v, name, true) : NULL;

    h->base.pMethods = NULL;
    /* A database that is missing is made: meterd does so itself, before it asks SQLite. */
    if (!f || (!f->exists && !(flags & (SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB))))
        return SQLITE_CANTOPEN;
    *h = (struct handle){.base = {&methods}, .v = v, .f = f, .folder = !f->exists && (flags & FOLDER_SYNCED)};
    f->exists = true;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    struct crash_vfs *v = vfs_of(vfs);
    struct crash_file *f = find(v, name, false);
    int rc = strike(v, CRASH_DELETE);

    if (rc != SQLITE_OK)
        return rc;
    if (!f || !f->exists)
        return SQLITE_IOERR_DELETE_NOENT;
    f->exists = false;
    crash_bytes_cut(&f->bytes, 0);
    record(v, f, (struct crash_record){.op = CRASH_DELETE, .folder = sync_folder != 0}, NULL);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    const struct crash_file *f = find(vfs_of(vfs), name, false);

    *ret = f && f->exists && (flags != SQLITE_ACCESS_EXISTS || f->bytes.n > 0);
    return SQLITE_OK;
}

static int vfs_full_name(sqlite3_vfs *vfs, const char *name, int n, char *to)
{
    (void)vfs;
    if (strlen(name) >= (size_t)n)
        return SQLITE_CANTOPEN;
    memcpy(to, name, strlen(name) + 1);
    return SQLITE_OK;
}

/* ---- life ---------------------------------------------------------------------------------------------------------
 */

struct crash_vfs *crash_vfs_new(const char *name)
{
    sqlite3_vfs *unix_vfs = sqlite3_vfs_find(NULL);
    struct crash_vfs *v = unix_vfs && !sqlite3_vfs_find(name) ? calloc(1, sizeof(*v)) : NULL;

    if (!v)
        return NULL;
    v->vfs = *unix_vfs; /* its clock and its random numbers */
    v->vfs.pNext = NULL;
    v->vfs.szOsFile = (int)sizeof(struct handle);
    v->vfs.mxPathname = CRASH_NAME;
    v->vfs.zName = name;
    v->vfs.pAppData = v;
    v->vfs.xOpen = vfs_open;
    v->vfs.xDelete = vfs_delete;
    v->vfs.xAccess = vfs_access;
    v->vfs.xFullPathname = vfs_full_name;
    if (sqlite3_vfs_register(&v->vfs, 0) == SQLITE_OK)
        return v;
    free(v);
    return NULL;
}

static void forget_record(struct crash_vfs *v)
{
    size_t i;

    for (i = 0; i < v->n_records; i++)
        free(v->records[i].data);
    v->n_records = 0;
}

void crash_vfs_free(struct crash_vfs *v)
{
    size_t i;

    if (!v)
        return;
    sqlite3_vfs_unregister(&v->vfs);
    forget_record(v);
    for (i = 0; i < CRASH_FILES; i++) {
        forget_regions(&v->files[i]);
        free(v->files[i].bytes.p);
        free(v->start[i].bytes.p);
    }
    free(v->records);
    free(v);
}

size_t crash_vfs_points(const struct crash_vfs *v)
{
    return v->n_records;
}

void crash_vfs_settle(struct crash_vfs *v)
{
    size_t i;

    forget_record(v);
    for (i = 0; i < CRASH_FILES; i++) {
        v->start[i].exists = v->files[i].exists;
        crash_bytes_copy(&v->start[i].bytes, &v->files[i].bytes);
    }
}

bool crash_vfs_copy(const struct crash_vfs *from, struct crash_vfs *to)
{
    size_t i;

    for (i = 0; i < CRASH_FILES; i++) {
        memcpy(to->files[i].name, from->files[i].name, CRASH_NAME);
        to->files[i].exists = from->files[i].exists;
        crash_bytes_copy(&to->files[i].bytes, &from->files[i].bytes);
    }
    crash_vfs_settle(to);
    return true;
}

void crash_vfs_fault(struct crash_vfs *v, const struct crash_fault *f)
{
    v->fault = f ? *f : (struct crash_fault){0};
    v->seen = v->struck = 0;
}

uint64_t crash_vfs_struck(const struct crash_vfs *v)
{
    return v->struck;
}
