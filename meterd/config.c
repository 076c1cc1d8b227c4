#include "meterd/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meterd/batch.h"
#include "meterd/catalog.h"
#include "meterd/config_file.h"
#include "proto/utf8.h"

#define SEED_ARENA_MAX (96u * 1024u * 1024u)
#define NAME_SHOWN 64 /* bytes of an object's name in an error */
#define WHY_SHOWN 380 /* of the reason */

/* One application of a file. */
struct run {
    struct work *w;
    const struct config_file *file;
    struct catalog_how how;
    struct config_change *rows;
    size_t n, room;
    uint64_t revision;
};

static const char *action_name(enum catalog_action action)
{
    static const char *const names[] = {[CATALOG_ADDED] = "added",
                                        [CATALOG_CHANGED] = "changed",
                                        [CATALOG_UNCHANGED] = "unchanged",
                                        [CATALOG_KEPT] = "kept",
                                        [CATALOG_REMOVED] = "removed"};

    return names[action];
}

static void add_row(struct run *r, const char *object, struct slice name, const struct catalog_done *done)
{
    if (done->revision > r->revision)
        r->revision = done->revision;
    if (r->n == r->room)
        return;
    r->rows[r->n++] = (struct config_change){.object = slice_of(object),
                                             .name = name,
                                             .action = slice_of(action_name(done->action)),
                                             .detail = done->detail};
}

/* What is wrong with an object is said with its place in the file. */
static enum status at_object(struct run *r, const char *list, size_t i, struct slice name, enum status st)
{
    struct err why = *r->w->err;
    char field[ERR_PARAM_MAX];
    size_t n = name.n < NAME_SHOWN ? name.n : NAME_SHOWN;

    if (st != ST_BAD_REQUEST && st != ST_CONFLICT)
        return st;
    (void)snprintf(field, sizeof(field), "%s[%zu]%s%.*s", list, i, why.param[0] ? "." : "", ERR_PARAM_MAX - 48,
                   why.param);
    return err_set_field(r->w->err, ST_BAD_REQUEST, why.code[0] ? why.code : NULL, field, "%s[%zu] (%.*s): %.*s", list,
                         i, (int)utf8_span(name.p, n), name.p ? name.p : "",
                         (int)utf8_span(why.text, strnlen(why.text, WHY_SHOWN)), why.text);
}

static bool in_file(const struct config_file *f, bool model, struct slice name)
{
    size_t i, n = model ? f->n_models : f->n_providers;

    for (i = 0; i < n; i++)
        if (slice_eq(name, model ? f->models[i].name : f->providers[i].name))
            return true;
    return false;
}

/* ---- removing what came from a file and is in none any more --------------------------------------------------------
 */

struct old_one {
    struct slice name;
    bool model;
};

static enum status fill_old(struct work *w, sqlite3_stmt *q, void *to)
{
    struct old_one *old = to;

    old->model = col_i64(q, 1) != 0;
    return col_text(q, 0, w->a, &old->name, w->err);
}

static enum status prune(struct run *r, bool models)
{
    struct record_page page = {.sql = SQL_DEF_FROM_CONFIG,
                               .binds = NO_BINDS,
                               .fill = fill_old,
                               .size = sizeof(struct old_one),
                               .cursor_column = 1,
                               .limit = CATALOG_MODELS_MAX + CATALOG_ALL};
    enum status st = record_list(r->w, &page);
    const struct old_one *list = page.items;
    size_t i;

    for (i = 0; i < page.n && st == ST_OK; i++) {
        struct catalog_done done = {.action = CATALOG_REMOVED};

        if (list[i].model != models || in_file(r->file, models, list[i].name))
            continue;
        st = models ? catalog_drop_model(r->w, list[i].name, r->how.actor, &done.revision)
                    : catalog_drop_provider(r->w, list[i].name, r->how.actor, &done.revision);
        if (st == ST_OK)
            add_row(r, models ? "model" : "provider", list[i].name, &done);
    }
    return st;
}

/* ---- putting -------------------------------------------------------------------------------------------------------
 */

static bool same_names(const struct wire_strs *a, const struct wire_strs *b)
{
    size_t i;

    for (i = 0; i < a->n && i < b->n; i++)
        if (!slice_eq(a->items[i], b->items[i]))
            return false;
    return a->n == b->n;
}

static bool kept(const struct run *r, const struct catalog_model *old)
{
    return r->how.mode == CATALOG_SEED && slice_is(old->source, CATALOG_API);
}

/* Names may move from one model of the file to another, so all that are to be given away are free before any is taken.
 */
static enum status free_aliases(struct run *r)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < r->file->n_models && st == ST_OK; i++) {
        struct catalog_model old;

        st = catalog_get_model(r->w, r->file->models[i].name, &old);
        if (st == ST_OK && !kept(r, &old) && !same_names(&old.aliases, &r->file->models[i].aliases))
            st = store_run(r->w->s, SQL_DEF_ALIASES_DROP, BINDS(B_S(old.name)), r->w->err);
        if (st == ST_NOT_FOUND)
            st = ST_OK;
    }
    return st;
}

/* Who has the name, as its own or as an alias; ret->name empty = nobody. */
static enum status owner_of(struct run *r, struct slice name, struct catalog_model *ret)
{
    struct slice owner = {NULL, 0};
    enum status st = catalog_get_model(r->w, name, ret);

    if (st == ST_NOT_FOUND)
        st = catalog_alias_of(r->w, name, &owner);
    return st == ST_OK && owner.n ? catalog_get_model(r->w, owner, ret) : st;
}

/* A model that only an earlier file named gives way to one that this file gives its name: whoever renames a model in
 * the file means that. */
static enum status give_way(struct run *r, struct slice name)
{
    struct catalog_done done = {.action = CATALOG_REMOVED};
    struct catalog_model owner;
    enum status st = owner_of(r, name, &owner);

    if (st != ST_OK || owner.name.n == 0 || !slice_is(owner.source, CATALOG_CONFIG) ||
        in_file(r->file, true, owner.name))
        return st;
    st = catalog_drop_model(r->w, owner.name, r->how.actor, &done.revision);
    if (st == ST_OK)
        add_row(r, "model", owner.name, &done);
    return st;
}

static enum status make_way(struct run *r)
{
    enum status st = free_aliases(r);
    size_t i, k;

    for (i = 0; i < r->file->n_models && st == ST_OK; i++) {
        const struct model_put_req *m = &r->file->models[i];

        st = give_way(r, m->name);
        for (k = 0; k < m->aliases.n && st == ST_OK; k++)
            st = give_way(r, m->aliases.items[k]);
    }
    return st;
}

/* Since the last start the API has given one of the model's names to another: the API's word stays, and the start goes
 * on without this model. */
static bool taken_by_api(struct run *r, const struct model_put_req *m, enum status st)
{
    struct catalog_model owner;
    size_t i;

    if (r->how.mode != CATALOG_SEED || st != ST_BAD_REQUEST || strcmp(r->w->err->code, CATALOG_NAME_TAKEN) != 0)
        return false;
    if (owner_of(r, m->name, &owner) == ST_OK && slice_is(owner.source, CATALOG_API))
        return true;
    for (i = 0; i < m->aliases.n; i++)
        if (owner_of(r, m->aliases.items[i], &owner) == ST_OK && slice_is(owner.source, CATALOG_API))
            return true;
    return false;
}

static enum status put_models(struct run *r)
{
    enum status st = make_way(r);
    size_t i;

    for (i = 0; i < r->file->n_models && st == ST_OK; i++) {
        const struct model_put_req *req = &r->file->models[i];
        struct catalog_model now;
        struct catalog_done done;

        st = catalog_put_model(r->w, req, &r->how, &now, &done);
        if (taken_by_api(r, req, st)) {
            done = (struct catalog_done){.action = CATALOG_KEPT};
            done.detail = arena_copy(r->w->a, slice_of(r->w->err->text), &st);
            memset(r->w->err, 0, sizeof(*r->w->err));
        }
        if (st != ST_OK)
            return at_object(r, "models", i, req->name, st);
        add_row(r, "model", req->name, &done);
    }
    return st;
}

static enum status put_providers(struct run *r)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < r->file->n_providers && st == ST_OK; i++) {
        const struct provider_put_req *req = &r->file->providers[i];
        struct catalog_provider now;
        struct catalog_done done;

        st = catalog_put_provider(r->w, req, &r->how, &now, &done);
        if (st != ST_OK)
            return at_object(r, "providers", i, req->name, st);
        add_row(r, "provider", req->name, &done);
    }
    return st;
}

static enum status apply(struct run *r, bool pruned)
{
    enum status st = ST_OK;

    r->room = LIMIT_LIST;
    r->rows = arena_alloc(r->w->a, r->room * sizeof(*r->rows));
    if (!r->rows)
        return err_set(r->w->err, ST_NO_MEMORY, "no memory for a CONFIG file");
    if (pruned)
        st = prune(r, true);
    if (st == ST_OK)
        st = put_providers(r);
    if (st == ST_OK)
        st = put_models(r);
    return st == ST_OK && pruned ? prune(r, false) : st;
}

enum status op_config_apply(struct work *w, const void *in, void *out)
{
    const struct config_apply_req *req = in;
    struct config_apply_rep *rep = out;
    struct config_file file;
    struct run r = {.w = w, .file = &file, .how = {CATALOG_APPLY, req->actor_id}};
    struct store_mark mark;
    enum status st = config_file_parse(req->text, getenv, w->a, &file, w->err);

    if (st == ST_OK)
        st = store_savepoint(w->s, &mark, w->err);
    if (st != ST_OK)
        return st;
    st = apply(&r, req->prune);
    if (st != ST_OK || req->dry_run) {
        store_undo(w->s, &mark);
        r.revision = 0;
    } else {
        st = store_release(w->s, w->err);
    }
    rep->data.items = r.rows;
    rep->data.n = r.n;
    rep->dry_run = req->dry_run;
    rep->revision = r.revision;
    return st;
}

/* ---- at the start --------------------------------------------------------------------------------------------------
 */

static enum status read_fail(const char *path, struct err *err)
{
    char text[128];

    return err_set(err, ST_BAD_REQUEST, "CONFIG: cannot read %s: %s", path, strerror_r(errno, text, sizeof(text)));
}

static enum status read_all(const char *path, int fd, struct arena *a, struct slice *ret, struct err *err)
{
    size_t room = LIMIT_CONFIG + 1, n = 0;
    char *text = arena_alloc(a, room);
    ssize_t got = 0;

    if (!text)
        return err_set(err, ST_NO_MEMORY, "no memory for a CONFIG file");
    while (n < room && (got = read(fd, text + n, room - n)) > 0)
        n += (size_t)got;
    if (got < 0)
        return read_fail(path, err);
    if (n > LIMIT_CONFIG)
        return err_set(err, ST_BAD_REQUEST, "CONFIG: %s has more than %u bytes", path, LIMIT_CONFIG);
    *ret = (struct slice){text, n};
    return ST_OK;
}

static enum status read_file(const char *path, struct arena *a, struct slice *ret, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum status st;

    if (fd < 0)
        return read_fail(path, err);
    st = read_all(path, fd, a, ret, err);
    close(fd);
    return st;
}

static void tell(const struct run *r, const char *path, const struct log *log)
{
    size_t i, count[CATALOG_REMOVED + 1] = {0};
    int k;

    for (i = 0; i < r->n; i++) {
        for (k = 0; k <= CATALOG_REMOVED; k++)
            count[k] += slice_is(r->rows[i].action, action_name((enum catalog_action)k));
        if (slice_is(r->rows[i].action, action_name(CATALOG_KEPT)) && r->rows[i].detail.n)
            log_event(log, LOG_WARN, LOG_NO_REQ, "config_model_left_out", LOG_S("model", r->rows[i].name),
                      LOG_S("why", r->rows[i].detail));
    }
    log_event(log, LOG_INFO, LOG_NO_REQ, "config_read", LOG_C("file", path), LOG_N("added", count[CATALOG_ADDED]),
              LOG_N("changed", count[CATALOG_CHANGED]), LOG_N("unchanged", count[CATALOG_UNCHANGED]),
              LOG_N("kept", count[CATALOG_KEPT]), LOG_N("removed", count[CATALOG_REMOVED]));
}

static enum status seed(struct run *r, const char *path)
{
    struct err why = {.status = ST_OK};
    struct err *err = r->w->err;
    enum status st = batch_begin(r->w->s, err);

    if (st != ST_OK)
        return st;
    r->w->err = &why;
    st = apply(r, false);
    r->w->err = err;
    if (st == ST_OK)
        return batch_commit(r->w->s, err);
    batch_abandon(r->w->s);
    return err_set(err, st, "CONFIG: %s: %s", path, why.text[0] ? why.text : status_text(st));
}

enum status config_seed(struct store *s, const char *path, const struct log *log, struct err *err)
{
    struct arena arena;
    struct work w = {.s = s, .a = &arena, .err = err};
    struct config_file file;
    struct run r = {.w = &w, .file = &file, .how = {CATALOG_SEED, {NULL, 0}}};
    struct err why = {.status = ST_OK};
    struct slice text = {NULL, 0};
    enum status st;

    arena_init(&arena, SEED_ARENA_MAX);
    st = read_file(path, &arena, &text, err);
    if (st == ST_OK) {
        st = config_file_parse(text, getenv, &arena, &file, &why);
        if (st != ST_OK)
            err_set(err, st, "CONFIG: %s: %s", path, why.text[0] ? why.text : status_text(st));
    }
    if (st == ST_OK)
        st = seed(&r, path);
    if (st == ST_OK && log)
        tell(&r, path, log);
    arena_fini(&arena);
    return st;
}
