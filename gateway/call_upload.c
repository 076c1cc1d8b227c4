#include <string.h>
#include <strings.h>

#include "gateway/call.h"

/* A form where the surface takes one; of what we do not know, also whatever is neither JSON nor a form. */
bool call_has_upload(const struct call *c)
{
    static const char json[] = "application/json";
    const struct request *r = c->r;

    if (multipart_is(r->content_type))
        return c->surface->form != NULL && (r->chunked || r->content_length > 0);
    return c->surface->flags & SURFACE_OTHER && r->content_type.n && (r->chunked || r->content_length > 0) &&
           !(r->content_type.n >= sizeof(json) - 1 && !strncasecmp(r->content_type.p, json, sizeof(json) - 1));
}

/* What upstream could take for the file and we did not read, or the other way round, is refused. The objects that lines
 * name are the call's: it goes to who keeps them, if they are the caller's. */
enum status call_take_file(struct call *c, struct err *err)
{
    const struct form *f = &c->upload->form.form;
    const struct batch_file *b = &c->upload->batch;

    if (!slice_is(f->part[FORM_PURPOSE].kept, "batch"))
        return ST_OK;
    if (f->files != 1 || f->named_file != 1)
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "file",
                             "Invalid 'file': a batch is made of one file, in the part of that name.");
    if (b->err.status != ST_OK) {
        *err = b->err;
        return b->err.status;
    }
    c->worth = b->worth;
    memcpy(c->ask.objects, b->named.objects, sizeof(c->ask.objects));
    c->ask.n_objects = b->named.n_objects;
    return ST_OK;
}

/* What is asked for counts against the window, as all data does. */
void call_want_upload(struct call *c, struct slice bytes)
{
    struct upload_want want;

    c->window += bytes.n;
    if (c->upload && c->n_wants < CALL_WANTS_MAX &&
        wire_decode(&upload_want_desc, bytes.p, bytes.n, &want, NULL, NULL) == ST_OK) {
        c->wants[c->n_wants++] = want;
        return;
    }
    if (c->st == ST_OK)
        c->st = err_set(&c->err, ST_BAD_MESSAGE, "The provider asked for more of a body than there is.");
}

/* Under the lock. */
static struct upload_want take_want(struct call *c)
{
    struct upload_want want = c->wants[0];

    memmove(c->wants, c->wants + 1, --c->n_wants * sizeof(c->wants[0]));
    return want;
}

void call_help_upload(struct call *c)
{
    struct xchg_client *provider = svc_peer(c->gw->svc, SVC_PROVIDERSVC);
    struct upload_want want = take_want(c);
    struct xchg_id id = c->ids[c->attempt - 1];
    struct err err = {.status = ST_OK};
    enum status st;

    if (c->over)
        return;
    pthread_mutex_unlock(&c->conn->lock);
    st = upload_push(c->upload, provider, id, want.from, want.bytes, &err);
    pthread_mutex_lock(&c->conn->lock);
    if (st == ST_OK || st == ST_CANCELLED) /* of what has ended the end says why */
        return;
    if (c->st == ST_OK) {
        c->st = st;
        c->err = err;
        c->err.status = st;
    }
    pthread_mutex_unlock(&c->conn->lock);
    xchg_cancel(provider, id);
    pthread_mutex_lock(&c->conn->lock);
}
