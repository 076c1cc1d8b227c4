/* Redemption codes: made by an administrator, turned into credit once. Only a code's digest is kept. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "meterd/audit.h"
#include "meterd/credits.h"
#include "meterd/ledger.h"
#include "meterd/ops.h"
#include "meterd/users.h"
#include "services/ids.h"

#define CODES_PAGE 100
#define CODE_ID_BYTES 12
#define CODE_MARK "rc-"
#define CODE_LETTERS 32 /* of 5 bits each: 160 bits, beyond guessing */
#define CODE_SIZE (sizeof(CODE_MARK) + CODE_LETTERS)
#define CODE_SHOWN 9 /* characters that lists show */
#define CODE_FAILURES 10 /* wrong codes of a user in a window */
#define CODE_WINDOW_S INT64_C(600)

struct code_row {
    struct credit_code code;
    int64_t num;
};

static enum status fill_code(struct work *w, sqlite3_stmt *q, void *to)
{
    struct credit_code *c = to;
    enum status st = col_text(q, 0, w->a, &c->id, w->err);

    c->amount_nano = col_i64(q, 2);
    c->expires_at = col_u64(q, 4);
    c->created = col_u64(q, 7);
    c->redeemed_at = col_u64(q, 8);
    if (st == ST_OK)
        st = col_text(q, 1, w->a, &c->prefix, w->err);
    if (st == ST_OK)
        st = col_text(q, 3, w->a, &c->note, w->err);
    if (st == ST_OK)
        st = col_text(q, 5, w->a, &c->status, w->err);
    return st == ST_OK ? col_text(q, 6, w->a, &c->user_id, w->err) : st;
}

static enum status fill_code_row(struct work *w, sqlite3_stmt *q, void *to)
{
    struct code_row *row = to;

    row->num = col_i64(q, 9);
    return fill_code(w, q, &row->code);
}

/* ---- making --------------------------------------------------------------------------------------------------------
 */

static void make_secret(char to[CODE_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[CODE_LETTERS];
    size_t i, n = strlen(CODE_MARK);

    randombytes_buf(random, sizeof(random));
    memcpy(to, CODE_MARK, n);
    for (i = 0; i < CODE_LETTERS; i++)
        to[n + i] = letters[random[i] % 32]; /* 32 divides 256: every letter is as likely */
    to[n + CODE_LETTERS] = '\0';
    sodium_memzero(random, sizeof(random));
}

static struct slice digest_of(struct slice code, unsigned char to[LIMIT_DIGEST])
{
    crypto_hash_sha256(to, (const unsigned char *)(code.p ? code.p : ""), code.n);
    return (struct slice){(const char *)to, LIMIT_DIGEST};
}

/* What the code is worth, and nothing of the code itself. */
static enum status note_new(struct work *w, struct slice actor, const struct credit_code *code)
{
    struct audit_note note = {.actor = actor, .action = "code.create", .object = code->id};
    struct credit_code before = {.has = 0};
    struct credit_code said = {.amount_nano = code->amount_nano, .expires_at = code->expires_at, .note = code->note};

    return audit_change(w, &note, &credit_code_desc, &before, &said);
}

static enum status make_one(struct work *w, const struct code_create_req *req, struct credit_code *ret)
{
    unsigned char digest[LIMIT_DIGEST];
    char id[ID_TEXT_SIZE], *secret = arena_alloc(w->a, CODE_SIZE);
    enum status st = ST_OK;

    if (!secret)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a code");
    make_secret(secret);
    id_make(id, "cod_", CODE_ID_BYTES);
    *ret = (struct credit_code){.code = {secret, CODE_SIZE - 1},
                                .prefix = {secret, CODE_SHOWN},
                                .amount_nano = req->amount_nano,
                                .note = req->note,
                                .expires_at = req->expires_at,
                                .status = slice_of("open"),
                                .created = w->s->now_ms / 1000};
    ret->id = arena_copy(w->a, slice_of(id), &st);
    if (st != ST_OK)
        return err_set(w->err, st, "no memory for a code");
    st = store_run(w->s, SQL_CODE_INSERT,
                   BINDS(B_S(ret->id), B_B(digest_of(ret->code, digest)), B_S(ret->prefix), B_I(ret->amount_nano),
                         B_S(ret->note), B_S(req->actor_id), B_I(ret->expires_at), B_I(ret->created)),
                   w->err);
    return st == ST_OK ? note_new(w, req->actor_id, ret) : st;
}

enum status op_code_create(struct work *w, const void *in, void *out)
{
    const struct code_create_req *req = in;
    struct code_list_rep *rep = out;
    uint64_t count = WIRE_HAS(req, 3) || req->count ? req->count : 1;
    struct credit_code *list;
    enum status st = ST_OK;

    if (req->amount_nano <= 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "amount_usd", "A code is worth more than zero.");
    if (count == 0 || count > LIMIT_PAGE)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "count",
                             "From 1 to %d codes can be made at once.", LIMIT_PAGE);
    if (req->expires_at > 0 && req->expires_at <= w->s->now_ms / 1000)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "expires_at",
                             "Invalid 'expires_at': expected a time to come, in Unix seconds.");
    list = arena_alloc(w->a, (size_t)count * sizeof(*list));
    if (!list)
        return err_set(w->err, ST_NO_MEMORY, "no memory for codes");
    rep->data.items = list;
    for (; rep->data.n < count && st == ST_OK; rep->data.n++)
        st = make_one(w, req, &list[rep->data.n]);
    return st;
}

enum status op_code_list(struct work *w, const void *in, void *out)
{
    const struct code_list_req *req = in;
    struct code_list_rep *rep = out;
    uint64_t before = 0, limit = record_limit(req->limit, CODES_PAGE);
    enum status st = record_cursor(w, req->cursor, LIMIT_ID, &before);

    if (st == ST_OK) {
        struct record_page page = {.sql = SQL_CODES,
                                   .binds = BINDS(B_I(before), B_I(limit + 1)),
                                   .fill = fill_code,
                                   .size = sizeof(struct credit_code),
                                   .limit = limit,
                                   .cursor_column = 9};

        st = record_list(w, &page);
        rep->data.items = page.items;
        rep->data.n = page.n;
        rep->next = page.next;
    }
    return st;
}

enum status op_code_revoke(struct work *w, const void *in, void *out)
{
    const struct code_revoke_req *req = in;
    struct audit_note note = {.actor = req->actor_id, .action = "code.revoke", .object = req->id};
    struct code_row row = {0};
    enum status st = record_get(w, SQL_CODE_BY_ID, BINDS(B_S(req->id)), fill_code_row, &row);

    (void)out;
    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, st, "code_not_found", "id", "There is no such code.");
    if (st == ST_OK && slice_is(row.code.status, "redeemed"))
        return err_set_field(w->err, ST_CONFLICT, "code_redeemed", "id", "The code was redeemed.");
    if (st == ST_OK)
        st = store_run(w->s, SQL_CODE_REVOKE, BINDS(B_I(row.num)), w->err);
    return st == ST_OK && store_changed(w->s) > 0 ? audit_add(w, &note) : st;
}

/* ---- redeeming -----------------------------------------------------------------------------------------------------
 */

static enum status check_tries(struct work *w, int64_t user_num)
{
    int64_t now = (int64_t)(w->s->now_ms / 1000), failures = 0, wait_s = 0;
    sqlite3_stmt *q = NULL;
    enum status st =
        store_row(w->s, SQL_CODE_FAILURES, BINDS(B_I(user_num), B_I(now - CODE_WINDOW_S), B_I(now)), &q, w->err);

    if (q) {
        failures = col_i64(q, 0);
        wait_s = col_i64(q, 1) + CODE_WINDOW_S - now;
    }
    store_reset(&q);
    if (st != ST_OK || failures < CODE_FAILURES)
        return st;
    err_set(w->err, ST_SLOW_DOWN, "Too many wrong codes. Try again in %lld minutes.", (long long)((wait_s + 59) / 60));
    if (w->err)
        w->err->retry_after_ms = (uint64_t)wait_s * 1000;
    return ST_SLOW_DOWN;
}

/* Of a wrong code, which the error says already. Kept although the call fails: work.keep. */
static enum status count_try(struct work *w, int64_t user_num)
{
    int64_t now = (int64_t)(w->s->now_ms / 1000);
    enum status st = store_run(w->s, SQL_CODE_FAILED, BINDS(B_I(user_num), B_I(now - CODE_WINDOW_S), B_I(now)), w->err);

    if (st != ST_OK)
        return st;
    w->keep = true;
    return ST_NOT_FOUND;
}

static enum status check_code(struct work *w, const struct credit_code *c)
{
    if (slice_is(c->status, "redeemed"))
        return err_set_field(w->err, ST_CONFLICT, "code_redeemed", "code", "The code was redeemed before.");
    if (slice_is(c->status, "revoked"))
        return err_set_field(w->err, ST_CONFLICT, "code_revoked", "code", "The code was revoked.");
    if (c->expires_at > 0 && w->s->now_ms / 1000 >= c->expires_at)
        return err_set_field(w->err, ST_CONFLICT, "code_expired", "code", "The code has expired.");
    return ST_OK;
}

/* One thread writes, one transaction looks and takes: a code that is raced for is redeemed once. */
static enum status redeem(struct work *w, const struct code_row *row, const struct user_row *user,
                          struct credit_grant_rep *rep)
{
    struct ledger_grant grant = {.user_num = user->num,
                                 .account = user->account,
                                 .kind = "code",
                                 .actor = user->user.id,
                                 .note = row->code.note.n > 0 ? row->code.note : row->code.prefix,
                                 .amount_nano = row->code.amount_nano};
    enum status st = credits_check_amount(w, grant.amount_nano, user);

    if (st == ST_OK)
        st = ledger_give(w, &grant);
    if (st == ST_OK)
        st = store_run(w->s, SQL_CODE_REDEEM,
                       BINDS(B_I(row->num), B_I(user->num), B_I(w->s->now_ms / 1000), B_I(grant.revision)), w->err);
    if (st == ST_OK && store_changed(w->s) != 1)
        st = err_set(w->err, ST_INTERNAL, "a code that was open cannot be redeemed");
    *rep = (struct credit_grant_rep){.user_id = user->user.id,
                                     .amount_nano = grant.amount_nano,
                                     .balance_nano = grant.balance_nano,
                                     .entry_id = grant.entry,
                                     .revision = grant.revision};
    return st;
}

enum status credits_redeem(struct work *w, struct slice code, const struct user_row *user, struct credit_grant_rep *rep)
{
    unsigned char digest[LIMIT_DIGEST];
    struct code_row row = {0};
    enum status st = record_get(w, SQL_CODE_BY_DIGEST, BINDS(B_B(digest_of(code, digest))), fill_code_row, &row);

    if (st == ST_NOT_FOUND)
        return err_set_field(w->err, st, "code_not_found", "code", "There is no such code.");
    if (st == ST_OK)
        st = check_code(w, &row.code);
    return st == ST_OK ? redeem(w, &row, user, rep) : st;
}

enum status op_code_redeem(struct work *w, const void *in, void *out)
{
    const struct code_redeem_req *req = in;
    struct user_row user;
    enum status st = users_find(w, req->actor_id, &user);

    if (st == ST_OK && !slice_is(user.user.status, "active"))
        st = err_set(w->err, ST_FORBIDDEN, "The account is disabled.");
    if (st == ST_OK)
        st = check_tries(w, user.num);
    if (st != ST_OK)
        return st;
    st = credits_redeem(w, req->code, &user, out);
    return st == ST_NOT_FOUND ? count_try(w, user.num) : st;
}
