#include "meterd/record.h"

#include <stdio.h>
#include <string.h>

#include "meterd/budgets.h"

/* ---- one row -------------------------------------------------------------------------------------------------------
 */

struct text_column {
    int column;
    struct slice *to;
};

static enum status texts(struct work *w, sqlite3_stmt *q, const struct text_column *list, size_t n)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < n && st == ST_OK; i++)
        st = col_text(q, list[i].column, w->a, list[i].to, w->err);
    return st;
}

#define TEXTS(w, q, ...)                                                                                               \
    texts(w, q, (const struct text_column[]){__VA_ARGS__},                                                             \
          sizeof((const struct text_column[]){__VA_ARGS__}) / sizeof(struct text_column))

enum status record_user(struct work *w, sqlite3_stmt *q, void *to)
{
    struct user *u = to;

    u->balance_nano = col_i64(q, 6);
    u->created = col_u64(q, 7);
    return TEXTS(w, q, {0, &u->id}, {1, &u->email}, {2, &u->name}, {3, &u->role}, {4, &u->plan}, {5, &u->status});
}

enum status record_user_row(struct work *w, sqlite3_stmt *q, void *to)
{
    struct user_row *row = to;
    enum status st = record_user(w, q, &row->user);

    row->num = col_i64(q, 8);
    row->account = col_i64(q, 9);
    row->available_nano = col_i64(q, 11);
    if (st == ST_OK)
        st = col_text(q, 10, w->a, &row->password_hash, w->err);
    return st;
}

enum status record_key(struct work *w, sqlite3_stmt *q, void *to)
{
    struct api_key *k = to;
    uint64_t previous_until = col_u64(q, 18);
    struct slice models, ranges;
    enum status st;

    k->rpm = col_u64(q, 4);
    k->tpm = col_u64(q, 5);
    k->concurrency = col_u64(q, 6);
    k->expires_at = col_u64(q, 8);
    k->created = col_u64(q, 10);
    k->budget_nano = col_i64(q, 13);
    k->budget_spent_nano = budgets_over(col_u64(q, 16), w->s->now_ms) ? 0 : col_i64(q, 15);
    k->previous_until = previous_until > w->s->now_ms / 1000 ? previous_until : 0;
    st = TEXTS(w, q, {0, &k->id}, {1, &k->user_id}, {2, &k->name}, {3, &k->prefix}, {7, &models}, {9, &k->status},
               {14, &k->budget_period}, {19, &ranges});
    if (st == ST_OK)
        st = record_split(w, models, &k->models);
    return st == ST_OK ? record_split(w, ranges, &k->ip_allow) : st;
}

enum status record_key_state(struct work *w, sqlite3_stmt *q, void *to)
{
    struct key_state *state = to;
    struct api_key *key = arena_alloc(w->a, sizeof(*key));
    enum status st;

    if (!key)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a key");
    st = record_key(w, q, key);
    state->key.items = key;
    state->key.n = 1;
    if (key->budget_nano > 0) {
        state->period_spent_nano = col_i64(q, 15);
        state->period_end = col_u64(q, 16);
    }
    if (st == ST_OK && key->previous_until)
        st = col_text(q, 17, w->a, &state->previous_digest, w->err);
    return st == ST_OK ? col_text(q, 11, w->a, &state->digest, w->err) : st;
}

enum status record_plan(struct work *w, sqlite3_stmt *q, void *to)
{
    struct plan *p = to;
    struct slice models;
    enum status st;

    p->rpm = col_u64(q, 1);
    p->tpm = col_u64(q, 2);
    p->concurrency = col_u64(q, 3);
    p->max_keys = col_u64(q, 4);
    p->monthly_credit_nano = col_i64(q, 6);
    st = TEXTS(w, q, {0, &p->name}, {5, &models});
    return st == ST_OK ? record_split(w, models, &p->models) : st;
}

/* A price that is absent differs from a price of zero: the bit says which. */
static void optional_price(sqlite3_stmt *q, int column, unsigned tag, struct price *p, int64_t *to)
{
    if (col_is_null(q, column))
        return;
    *to = col_i64(q, column);
    p->has |= UINT64_C(1) << tag;
}

enum status record_price(struct work *w, sqlite3_stmt *q, void *to)
{
    struct price *p = to;

    p->id = col_u64(q, 0);
    p->input_pico = col_i64(q, 4);
    optional_price(q, 5, 5, p, &p->cached_input_pico);
    optional_price(q, 6, 6, p, &p->cache_write_pico);
    optional_price(q, 7, 7, p, &p->cache_write_long_pico);
    p->output_pico = col_i64(q, 8);
    p->tier_above_tokens = col_u64(q, 9);
    optional_price(q, 10, 14, p, &p->tier_input_pico);
    optional_price(q, 11, 15, p, &p->tier_cached_input_pico);
    optional_price(q, 12, 16, p, &p->tier_cache_write_pico);
    optional_price(q, 13, 17, p, &p->tier_cache_write_long_pico);
    optional_price(q, 14, 18, p, &p->tier_output_pico);
    p->context_window = col_u64(q, 15);
    p->max_output = col_u64(q, 16);
    p->created = col_u64(q, 17);
    p->builtin = col_i64(q, 18) != 0;
    optional_price(q, 19, 20, p, &p->audio_input_pico);
    optional_price(q, 20, 22, p, &p->image_input_pico);
    optional_price(q, 21, 21, p, &p->audio_output_pico);
    optional_price(q, 22, 23, p, &p->image_output_pico);
    optional_price(q, 23, 24, p, &p->reasoning_pico);
    p->ended = col_u64(q, 24);
    return TEXTS(w, q, {1, &p->model}, {2, &p->provider}, {3, &p->mode});
}

enum status record_provider(struct work *w, sqlite3_stmt *q, void *to)
{
    struct provider *p = to;

    return TEXTS(w, q, {0, &p->name}, {1, &p->kind});
}

enum status record_ack(struct work *w, sqlite3_stmt *q, void *to)
{
    struct ack *ack = to;

    ack->acked_seq = col_u64(q, 1);
    return col_text(q, 0, w->a, &ack->source, w->err);
}

enum status record_session_ended(struct work *w, sqlite3_stmt *q, void *to)
{
    struct session_ended *ended = to;

    return col_text(q, 0, w->a, &ended->session_id, w->err);
}

enum status record_usage(struct work *w, sqlite3_stmt *q, void *to)
{
    struct usage_row *u = to;

    u->created = col_u64(q, 1) / 1000;
    u->stream = col_i64(q, 8) != 0;
    u->http_status = col_u64(q, 10);
    u->prompt_tokens = col_u64(q, 11);
    u->cached_tokens = col_u64(q, 12);
    u->cache_write_tokens = col_u64(q, 13);
    u->cache_write_long_tokens = col_u64(q, 14);
    u->completion_tokens = col_u64(q, 15);
    u->reasoning_tokens = col_u64(q, 16);
    u->cost_nano = col_i64(q, 17);
    u->overage_nano = col_i64(q, 18);
    u->price_id = col_u64(q, 19);
    u->latency_ms = col_u64(q, 20);
    u->ttft_ms = col_u64(q, 21);
    u->attempts = col_u64(q, 22);
    u->estimated = col_i64(q, 23) != 0;
    u->audio_input_tokens = col_u64(q, 26);
    u->audio_output_tokens = col_u64(q, 27);
    u->image_input_tokens = col_u64(q, 28);
    u->image_output_tokens = col_u64(q, 29);
    u->hold_nano = col_i64(q, 30);
    u->price_percent = col_u64(q, 31);
    return TEXTS(w, q, {0, &u->request_id}, {2, &u->user_id}, {3, &u->key_id}, {4, &u->model}, {5, &u->provider},
                 {6, &u->upstream_model}, {7, &u->endpoint}, {9, &u->status});
}

enum status record_settled(struct work *w, sqlite3_stmt *q, void *to)
{
    struct settled *s = to;
    uint64_t tokens = col_u64(q, 2);

    s->tokens = tokens > LIMIT_TOKENS ? LIMIT_TOKENS : tokens;
    s->cost_nano = col_i64(q, 3);
    s->balance_nano = col_i64(q, 4);
    if (!col_is_null(q, 5)) {
        s->key_spent_nano = col_i64(q, 6);
        s->key_period_end = col_u64(q, 7);
    }
    return TEXTS(w, q, {0, &s->request_id}, {1, &s->user_id}, {5, &s->key_digest});
}

/* The call's newest progress says by which key, which stands in no column. The lease is the whole one: on whose clock
 * it began is nobody else's business, and a hold elsewhere must not end before the ledger's. */
enum status record_hold_state(struct work *w, sqlite3_stmt *q, void *to)
{
    struct hold_state *h = to;
    struct wire_alloc mem = arena_wire(w->a);
    struct key_state key = {.has = 0};
    struct usage_event event;
    struct slice bytes;
    enum status st = TEXTS(w, q, {0, &h->request_id}, {1, &h->user_id}, {4, &bytes});

    h->amount_nano = col_i64(q, 2);
    h->lease_ms = col_u64(q, 3);
    if (st == ST_OK)
        st = wire_decode(&usage_event_desc, bytes.p, bytes.n, &event, &mem, w->err);
    if (st != ST_OK)
        return st;
    h->key_id = event.key_id;
    st = record_get(w, SQL_KEY_BY_ID, BINDS(B_S(h->key_id)), record_key_state, &key);
    h->key_digest = key.digest;
    return st == ST_NOT_FOUND ? ST_OK : st;
}

enum status record_entry(struct work *w, sqlite3_stmt *q, void *to)
{
    struct ledger_row *e = to;

    e->id = col_u64(q, 0);
    e->created = col_u64(q, 1) / 1000;
    e->amount_nano = col_i64(q, 3);
    e->balance_nano = col_i64(q, 4);
    return TEXTS(w, q, {2, &e->kind}, {5, &e->request_id}, {6, &e->note}, {7, &e->account});
}

enum status record_get(struct work *w, enum sql sql, const struct bind *binds, record_fill *fill, void *to)
{
    sqlite3_stmt *q = NULL;
    enum status st = store_row(w->s, sql, binds, &q, w->err);

    if (st == ST_OK)
        st = q ? fill(w, q, to) : ST_NOT_FOUND;
    store_reset(&q);
    return st;
}

/* ---- pages ---------------------------------------------------------------------------------------------------------
 */

enum status record_list(struct work *w, struct record_page *page)
{
    char *items = arena_alloc(w->a, (size_t)page->limit * page->size);
    sqlite3_stmt *q = NULL;
    uint64_t last = 0;
    enum status st;

    page->items = items;
    page->n = 0;
    page->next = (struct slice){NULL, 0};
    if (!items)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a page");
    st = store_row(w->s, page->sql, page->binds, &q, w->err);
    while (st == ST_OK && q && page->n < page->limit) {
        last = col_u64(q, page->cursor_column);
        st = page->fill(w, q, items + page->n * page->size);
        page->n++;
        if (st == ST_OK)
            st = store_next(w->s, &q, w->err);
    }
    if (st == ST_OK && q)
        st = record_number(w, last, &page->next);
    store_reset(&q);
    return st;
}

enum status record_number(struct work *w, uint64_t number, struct slice *ret)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    char *copy = arena_strndup(w->a, text, (size_t)n);

    if (!copy)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a cursor");
    *ret = (struct slice){copy, (size_t)n};
    return ST_OK;
}

enum status record_cursor(struct work *w, struct slice cursor, uint64_t fallback, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i;

    if (cursor.n == 0) {
        *ret = fallback;
        return ST_OK;
    }
    for (i = 0; i < cursor.n; i++) {
        unsigned digit = (unsigned)(unsigned char)cursor.p[i] - '0';

        if (digit > 9 || i >= 18)
            return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "cursor",
                                 "The cursor is not one that a list has given.");
        value = value * 10 + digit;
    }
    *ret = value;
    return ST_OK;
}

uint64_t record_limit(uint64_t asked, uint64_t fallback)
{
    if (asked == 0)
        return fallback;
    return asked > LIMIT_PAGE ? LIMIT_PAGE : asked;
}

/* ---- lists of patterns ---------------------------------------------------------------------------------------------
 */

static bool pattern_ok(struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return s.n > 0 && s.n <= WIRE_STRS_ITEM_MAX;
}

enum status record_join(struct work *w, const char *field, const struct wire_strs *list, struct slice *ret)
{
    size_t i, size = 0, at = 0;
    char *text;

    if (list->n > LIMIT_MODELS)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", field, "At most %d of '%s' can be listed.",
                             LIMIT_MODELS, field);
    for (i = 0; i < list->n; i++) {
        if (!pattern_ok(list->items[i]))
            return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", field,
                                 "%s[%zu] is empty or has control characters.", field, i);
        size += list->items[i].n + 1;
    }
    text = arena_alloc(w->a, size + 1);
    if (!text)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a list");
    for (i = 0; i < list->n; i++) {
        memcpy(text + at, list->items[i].p, list->items[i].n);
        at += list->items[i].n;
        text[at++] = '\n';
    }
    *ret = (struct slice){text, at ? at - 1 : 0};
    return ST_OK;
}

enum status record_split(struct work *w, struct slice text, struct wire_strs *ret)
{
    size_t i, n = text.n ? 1 : 0, start = 0;
    struct slice *items;

    *ret = (struct wire_strs){NULL, 0};
    for (i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    if (n == 0)
        return ST_OK;
    items = arena_alloc(w->a, n * sizeof(*items));
    if (!items)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a list");
    ret->items = items;
    for (i = 0; i <= text.n; i++) {
        if (i < text.n && text.p[i] != '\n')
            continue;
        items[ret->n++] = (struct slice){text.p + start, i - start};
        start = i + 1;
    }
    return ST_OK;
}
