#include "meterd/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "meterd/batch.h"
#include "meterd/ledger.h"
#include "meterd/plans.h"
#include "meterd/prices.h"
#include "meterd/users.h"
#include "services/ids.h"

#define SEED_ARENA_MAX (4u * 1024u * 1024u)
#define PASSWORD_RANDOM_BYTES 12
#define ADMIN_PLAN "unlimited"

struct seed_plan {
    const char *name;
    uint64_t rpm, tpm, concurrency, max_keys; /* 0 = unlimited */
};

static const struct seed_plan plans[] = {
    {"free", 60, 100000, 10, 5},
    {"pro", 3000, 2000000, 200, 50},
    {ADMIN_PLAN, 0, 0, 0, 0},
};

static enum status add_plans(struct work *w)
{
    enum status st = ST_OK;
    uint64_t revision;
    size_t i;

    for (i = 0; i < sizeof(plans) / sizeof(plans[0]) && st == ST_OK; i++) {
        struct plan plan = {.name = slice_of(plans[i].name),
                            .rpm = plans[i].rpm,
                            .tpm = plans[i].tpm,
                            .concurrency = plans[i].concurrency,
                            .max_keys = plans[i].max_keys};

        st = plans_put(w, &plan, &revision);
    }
    return st;
}

static enum status os_fail(const char *path, struct err *err)
{
    char text[128];

    return err_set(err, ST_INTERNAL, "cannot write %s: %s", path, strerror_r(errno, text, sizeof(text)));
}

/* Kept before the commit: an administrator whose password nobody can know must not come to be. */
static enum status keep_password(const struct seed_options *o, struct seed_report *r, struct err *err)
{
    const char *slash = strrchr(o->db_path, '/');
    int folder = slash ? (int)(slash - o->db_path) + 1 : 0;
    size_t n = strlen(r->password);
    int fd, bad;

    snprintf(r->file, sizeof(r->file), "%.*s%s", folder, o->db_path, SEED_PASSWORD_FILE);
    unlink(r->file); /* of a start that was killed; perhaps with another mode */
    fd = open(r->file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return os_fail(r->file, err);
    bad = write(fd, r->password, n) != (ssize_t)n || write(fd, "\n", 1) != 1 || fsync(fd) != 0;
    bad |= close(fd) != 0;
    return bad ? os_fail(r->file, err) : ST_OK;
}

static enum status choose_password(const struct seed_options *o, struct seed_report *r, const char **ret,
                                   struct err *err)
{
    *ret = o->admin_password;
    if (o->admin_password)
        return ST_OK;
    id_make(r->password, "", PASSWORD_RANDOM_BYTES);
    *ret = r->password;
    return keep_password(o, r, err);
}

static enum status add_admin(struct work *w, const struct seed_options *o, struct seed_report *r)
{
    char hash[crypto_pwhash_STRBYTES];
    const char *password = NULL;
    struct user_row row = {0};
    struct user_new user = {.email = slice_of(o->admin_email),
                            .name = slice_of("Administrator"),
                            .role = slice_of("admin"),
                            .plan = slice_of(ADMIN_PLAN)};
    enum status st = choose_password(o, r, &password, w->err);

    if (st != ST_OK)
        return st;
    if (crypto_pwhash_str(hash, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                          crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
        return err_set(w->err, ST_NO_MEMORY, "no memory to hash the administrator's password");
    user.password_hash = slice_of(hash);
    st = users_make(w, &user, &row);
    if (st == ST_OK) {
        struct ledger_grant grant = {.user_num = row.num,
                                     .account = row.account,
                                     .kind = "start",
                                     .actor = row.user.id,
                                     .note = slice_of("starting credit"),
                                     .amount_nano = SEED_ADMIN_CREDIT};

        st = ledger_give(w, &grant);
    }
    return st;
}

static enum status fill(struct work *w, const struct seed_options *o, struct seed_report *r)
{
    int64_t users = 0;
    enum status st = store_number(w->s, SQL_USER_COUNT, NO_BINDS, 0, &users, w->err);

    r->first = users == 0;
    if (st == ST_OK && r->first)
        st = add_plans(w);
    if (st == ST_OK && r->first)
        st = add_admin(w, o, r);
    return st == ST_OK ? prices_add_builtin(w, &r->prices) : st;
}

enum status seed_run(struct store *s, const struct seed_options *options, struct seed_report *ret, struct err *err)
{
    struct arena arena;
    struct work w = {.s = s, .a = &arena, .err = err};
    enum status st;

    memset(ret, 0, sizeof(*ret));
    if (sodium_init() < 0)
        return err_set(err, ST_INTERNAL, "libsodium could not be started");
    arena_init(&arena, SEED_ARENA_MAX);
    st = batch_begin(s, err);
    if (st == ST_OK)
        st = fill(&w, options, ret);
    if (st == ST_OK)
        st = batch_commit(s, err);
    else
        batch_abandon(s);
    arena_fini(&arena);
    return st;
}
