#include "gateway/upload.h"

#include <string.h>

/* There are servers that read JSON whatever its type says: a model or a file that it names would be nobody's. */
static enum status check_beginning(struct upload *u, struct slice piece, struct err *err)
{
    size_t i;

    if (u->has_form || u->begun)
        return ST_OK;
    for (i = 0; i < piece.n && piece.p[i] && strchr(" \t\r\n\xef\xbb\xbf", piece.p[i]);
         i++) /* a byte order mark, too */
        ;
    u->begun = i < piece.n;
    if (i == piece.n || (piece.p[i] != '{' && piece.p[i] != '['))
        return ST_OK;
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "content-type",
                         "Invalid header 'content-type': JSON is sent as application/json.");
}

static enum status take_piece(void *ctx, struct slice piece, struct err *err)
{
    struct upload *u = ctx;
    enum status st = check_beginning(u, piece, err);

    if (st == ST_OK)
        st = spool_add(&u->spool, piece, err);
    if (st == ST_OK && u->has_form)
        st = multipart_feed(&u->form, piece, err);
    else if (st == ST_OK && u->digesting)
        crypto_hash_sha256_update(&u->plain, (const unsigned char *)piece.p, piece.n);
    return st;
}

static void see_file(void *ctx, struct slice bytes)
{
    batch_file_feed(ctx, bytes);
}

static enum status begin_form(struct upload *u, struct request *r, struct err *err)
{
    enum status st = multipart_begin(&u->form, r->content_type, u->digesting, err);

    if (st != ST_OK || !u->has_batch)
        return st;
    batch_file_begin(&u->batch, r->arena, (size_t)r->gw->settings->max_body_bytes, &r->gw->line_bytes);
    u->batch.parsing = &r->gw->parsing;
    multipart_watch(&u->form, see_file, &u->batch);
    return ST_OK;
}

static enum status read_all(struct upload *u, struct request *r, struct err *err)
{
    enum status st = ST_OK;

    if (u->has_form)
        st = begin_form(u, r, err);
    else if (u->digesting)
        crypto_hash_sha256_init(&u->plain);
    if (st == ST_OK)
        st = request_pass_body(r, (uint64_t)r->gw->settings->max_upload_bytes, take_piece, u, err);
    if (st == ST_OK && u->has_form)
        st = multipart_end(&u->form, err);
    if (st == ST_OK && u->has_batch)
        batch_file_end(&u->batch);
    if (st != ST_OK || !u->digesting)
        return st;
    if (u->has_form)
        multipart_digest(&u->form, u->digest);
    else
        crypto_hash_sha256_final(&u->plain, u->digest);
    return ST_OK;
}

enum status upload_take(struct request *r, bool has_form, bool has_batch, struct upload **ret, struct err *err)
{
    struct upload *u = arena_alloc(r->arena, sizeof(*u));

    if (!u)
        return err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    *ret = u;
    u->has_form = has_form;
    u->has_batch = has_batch;
    u->digesting = r->idempotency_key.n > 0;
    spool_init(&u->spool, r->gw->settings->upload_dir, &r->gw->upload_bytes);
    return read_all(u, r, err);
}

void upload_fini(struct upload *u)
{
    if (!u)
        return;
    batch_file_fini(&u->batch);
    spool_fini(&u->spool);
}

enum status upload_push(struct upload *u, struct xchg_client *to, struct xchg_id id, uint64_t from, uint64_t bytes,
                        struct err *err)
{
    uint64_t sent = 0;

    if (bytes > UPLOAD_WANT_MAX || from > u->spool.bytes || bytes > u->spool.bytes - from)
        return err_set(err, ST_BAD_MESSAGE, "The provider asked for bytes that the upload does not have.");
    while (sent < bytes) {
        uint64_t left = bytes - sent;
        struct slice piece = {NULL, 0};
        enum status st =
            spool_read(&u->spool, from + sent, left < SPOOL_PIECE ? (size_t)left : SPOOL_PIECE, &piece, err);

        if (st == ST_OK)
            st = xchg_push(to, id, 0, piece);
        if (st != ST_OK)
            return st;
        sent += piece.n;
    }
    return ST_OK;
}
