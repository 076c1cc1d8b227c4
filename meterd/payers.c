#include "meterd/payers.h"

#include "meterd/ledger.h"

static struct store_payer *slot_of(struct store *s, struct slice user_id)
{
    uint32_t hash = 2166136261u; /* FNV-1a: ids are random and short */
    size_t i;

    for (i = 0; i < user_id.n; i++)
        hash = (hash ^ (unsigned char)user_id.p[i]) * 16777619u;
    return &s->payers[hash % STORE_ACCOUNTS];
}

static enum status look_up(struct work *w, struct slice user_id, struct store_payer *slot, bool *ret_known)
{
    sqlite3_stmt *q = NULL;
    enum status st;

    *ret_known = user_id.n > 0 && slice_is(user_id, slot->user_id);
    if (*ret_known)
        return ST_OK;
    st = store_row(w->s, SQL_PAYER, BINDS(B_S(user_id)), &q, w->err);
    *ret_known = q != NULL;
    if (q) {
        slot->num = col_i64(q, 0);
        slot->account = col_i64(q, 1);
        slot->held = col_i64(q, 2);
        slice_copy(user_id, slot->user_id, sizeof(slot->user_id));
    }
    store_reset(&q);
    return st;
}

enum status payer_find(struct work *w, struct slice user_id, struct payer *ret)
{
    struct store_payer *slot = slot_of(w->s, user_id);
    enum status st;

    *ret = (struct payer){.user_id = user_id};
    st = look_up(w, user_id, slot, &ret->known);
    if (st != ST_OK || !ret->known)
        return st;
    ret->num = slot->num;
    ret->account = slot->account;
    ret->held_account = slot->held;
    st = ledger_balance(w, slot->account, &ret->available_nano);
    if (st == ST_OK && slot->held != 0)
        st = ledger_balance(w, slot->held, &ret->held_nano);
    return st;
}

enum status payer_by_num(struct work *w, int64_t num, struct payer *ret)
{
    struct slice user_id = {NULL, 0};
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;

    if (num != 0)
        st = store_row(w->s, SQL_PAYER_BY_NUM, BINDS(B_I(num)), &q, w->err);
    if (st == ST_OK && q)
        st = col_text(q, 3, w->a, &user_id, w->err);
    store_reset(&q);
    return st == ST_OK ? payer_find(w, user_id, ret) : st;
}

enum status payer_need_held(struct work *w, struct payer *p)
{
    enum status st;

    if (p->held_account != 0)
        return ST_OK;
    st = store_run(w->s, SQL_ACCOUNT_INSERT, BINDS(B_I(p->num), B_C(LEDGER_HELD)), w->err);
    if (st != ST_OK)
        return st;
    p->held_account = sqlite3_last_insert_rowid(w->s->db);
    slot_of(w->s, p->user_id)->held = p->held_account;
    return ST_OK;
}
