#include "meterd/ops.h"
#include "meterd/record.h"
#include "meterd/state.h"

static enum status announce(struct work *w, const struct provider *p, uint64_t *ret_revision)
{
    struct provider known = {0};
    uint64_t revision;
    enum status st = record_get(w, SQL_PROVIDER_BY_NAME, BINDS(B_S(p->name)), record_provider, &known);

    /* Instances announce at every start: only what differs is a change of state. */
    if (st == ST_OK && slice_eq(known.kind, p->kind))
        return ST_OK;
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    revision = store_next_revision(w->s);
    *ret_revision = revision;
    st = store_run(w->s, SQL_PROVIDER_PUT, BINDS(B_S(p->name), B_S(p->kind), B_I(revision)), w->err);
    return st == ST_OK ? state_changed(w, &provider_desc, revision) : st;
}

enum status op_provider_announce(struct work *w, const void *in, void *out)
{
    const struct provider_announce_req *req = in;
    struct empty *rep = out;
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < req->providers.n && st == ST_OK; i++) {
        if (req->providers.items[i].name.n == 0)
            return err_set_field(w->err, ST_BAD_REQUEST, NULL, "providers", "providers[%zu] has no name.", i);
        st = announce(w, &req->providers.items[i], &rep->revision);
    }
    return st;
}
