#include "meterd/plans.h"

#include "meterd/audit.h"
#include "meterd/monthly.h"
#include "meterd/ops.h"
#include "meterd/state.h"

enum status plans_put(struct work *w, const struct plan *plan, uint64_t *ret_revision)
{
    uint64_t revision = store_next_revision(w->s);
    struct slice models;
    enum status st = record_join(w, "models", &plan->models, &models);

    if (st == ST_OK)
        st = store_run(w->s, SQL_PLAN_PUT,
                       BINDS(B_S(plan->name), B_I(plan->rpm), B_I(plan->tpm), B_I(plan->concurrency),
                             B_I(plan->max_keys), B_S(models), B_I(revision), B_I(plan->monthly_credit_nano)),
                       w->err);
    *ret_revision = revision;
    return st == ST_OK ? state_changed(w, &plan_desc, revision) : st;
}

static bool name_ok(struct slice name)
{
    size_t i;

    for (i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] <= 0x20 || name.p[i] == 0x7f)
            return false;
    return name.n > 0 && name.n <= LIMIT_NAME;
}

/* A new plan must be named carefully and may not flood the list: all plans fit one page. */
static enum status check_new(struct work *w, struct slice name)
{
    int64_t n = 0;
    enum status st;

    if (!name_ok(name))
        return err_set_field(w->err, ST_BAD_REQUEST, NULL, "name",
                             "A plan's name has no spaces or control characters.");
    st = store_number(w->s, SQL_PLAN_COUNT, NO_BINDS, 0, &n, w->err);
    if (st == ST_OK && n >= LIMIT_PAGE)
        st = err_set_field(w->err, ST_BAD_REQUEST, NULL, "name", "There can be at most %d plans.", LIMIT_PAGE);
    return st;
}

enum status op_plan_update(struct work *w, const void *in, void *out)
{
    const struct plan_update_req *req = in;
    struct plan_rep *rep = out;
    struct audit_note note = {.actor = req->actor_id, .action = "plan.update", .object = req->name};
    struct plan *plan = arena_alloc(w->a, sizeof(*plan)), old;
    enum status st;

    if (!plan)
        return err_set(w->err, ST_NO_MEMORY, "no memory for a plan");
    st = record_get(w, SQL_PLAN_BY_NAME, BINDS(B_S(req->name)), record_plan, plan);
    old = *plan;
    if (st == ST_NOT_FOUND) {
        note.action = "plan.create";
        plan->name = req->name;
        st = check_new(w, req->name);
    }
    if (st != ST_OK)
        return st;
    if (WIRE_HAS(req, 3) || req->rpm)
        plan->rpm = req->rpm;
    if (WIRE_HAS(req, 4) || req->tpm)
        plan->tpm = req->tpm;
    if (WIRE_HAS(req, 5) || req->concurrency)
        plan->concurrency = req->concurrency;
    if (WIRE_HAS(req, 6) || req->max_keys)
        plan->max_keys = req->max_keys;
    if (WIRE_HAS(req, 7) || req->models.n)
        plan->models = req->models;
    if (req->monthly_credit_nano < 0)
        return err_set_field(w->err, ST_BAD_REQUEST, "invalid_value", "monthly_credit_usd",
                             "A plan's monthly credit cannot be negative.");
    if (WIRE_HAS(req, 8) || req->monthly_credit_nano)
        plan->monthly_credit_nano = req->monthly_credit_nano;
    monthly_again(w->s);
    rep->plan.items = plan;
    rep->plan.n = 1;
    st = plans_put(w, plan, &rep->revision);
    return st == ST_OK ? audit_change(w, &note, &plan_desc, &old, plan) : st;
}

enum status op_plan_list(struct work *w, const void *in, void *out)
{
    struct plan_list_rep *rep = out;
    struct record_page page = {.sql = SQL_PLANS,
                               .binds = BINDS(B_I(LIMIT_PAGE)),
                               .fill = record_plan,
                               .size = sizeof(struct plan),
                               .limit = LIMIT_PAGE};
    enum status st = record_list(w, &page);

    (void)in;
    rep->data.items = page.items;
    rep->data.n = page.n;
    return st;
}
