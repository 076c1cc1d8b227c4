#include "tests/sim/sim.h"

#define TOKENS_MAX 40 /* between two looks */
#define MESSAGE_MAX 8

int64_t sim_cost(const struct sim_call *c)
{
    return c->base + c->price * (int64_t)c->tokens;
}

static bool append(struct sim *w, struct sim_call *c, enum ledger_verb verb)
{
    struct sim_source *s = &w->sources[c->source];
    uint64_t left = c->deadline > w->mono ? c->deadline - w->mono : 0;

    if (s->n == SIM_RECORDS || s->destroyed)
        return false;
    s->log[s->n++] = (struct sim_record){verb, (unsigned)(c - w->calls), sim_cost(c), c->tokens, left + SIM_GRACE_MS};
    return true;
}

void sim_cut(struct sim *w, struct sim_call *c)
{
    if (c->stage != STAGE_RUNNING || !append(w, c, LEDGER_SETTLE))
        return;
    c->stage = STAGE_FINISHED;
    c->gateway = false;
    c->final_seq = w->sources[c->source].n;
    sim_trace(w, "  call %u ends at %lld", (unsigned)(c - w->calls), (long long)sim_cost(c));
}

static struct sim_call *some_running(struct sim *w)
{
    unsigned at = w->n_calls ? (unsigned)sim_random(w, w->n_calls) : 0, i;

    for (i = 0; i < w->n_calls; i++, at = (at + 1) % w->n_calls)
        if (w->calls[at].stage == STAGE_RUNNING && w->sources[w->calls[at].source].up)
            return &w->calls[at];
    return NULL;
}

/* Tokens come, as far as the hold bears them; mostly the outbox is told. */
void sim_produce(struct sim *w)
{
    struct sim_call *c = some_running(w);
    uint64_t most;

    if (!c)
        return;
    most = (uint64_t)((c->hold - c->base) / c->price);
    c->tokens += sim_random(w, TOKENS_MAX);
    if (c->tokens > most)
        c->tokens = most;
    if (sim_chance(w, 80))
        append(w, c, LEDGER_PROGRESS);
    sim_trace(w, "  call %u has cost %lld", (unsigned)(c - w->calls), (long long)sim_cost(c));
}

void sim_finish(struct sim *w)
{
    struct sim_call *c = some_running(w);

    if (c)
        sim_cut(w, c);
}

/* ---- death and return ----------------------------------------------------------------------------------------------
 */

/* What the outbox knows of it. Its beginning is always there: it was written before the call. */
static void as_recorded(struct sim *w, struct sim_call *c)
{
    const struct sim_source *s = &w->sources[c->source];
    unsigned i;

    c->tokens = 0;
    for (i = s->n; i > 0; i--)
        if (s->log[i - 1].call == (unsigned)(c - w->calls)) {
            c->tokens = s->log[i - 1].tokens;
            break;
        }
}

/* The last record may be torn, as long as nobody has seen it. */
static void tear(struct sim *w, struct sim_source *s)
{
    struct sim_call *c;

    if (s->n == s->sent || !sim_chance(w, 50))
        return;
    c = &w->calls[s->log[--s->n].call];
    if (c->stage == STAGE_FINISHED)
        c->stage = STAGE_RUNNING;
    sim_trace(w, "  its last record is torn");
}

void sim_replica_dies(struct sim *w)
{
    unsigned source = (unsigned)sim_random(w, SIM_REPLICAS), i;
    struct sim_source *s = &w->sources[source];

    if (!s->up)
        return;
    s->up = false;
    sim_trace(w, "  replica %u", source);
    tear(w, s);
    for (i = 0; i < w->n_calls; i++)
        if (w->calls[i].stage == STAGE_RUNNING && w->calls[i].source == source) {
            w->calls[i].gateway = false;
            as_recorded(w, &w->calls[i]);
        }
}

/* It or another one takes over its outbox: what was not finished ends as it was recorded. */
void sim_replica_returns(struct sim *w, unsigned source)
{
    struct sim_source *s = &w->sources[source];
    unsigned i;

    if (s->up || s->destroyed)
        return;
    s->up = true;
    for (i = 0; i < w->n_calls; i++)
        if (w->calls[i].source == source)
            sim_cut(w, &w->calls[i]);
}

void sim_destroy(struct sim *w)
{
    unsigned source = 1 + (unsigned)sim_random(w, SIM_REPLICAS - 1), i; /* the first stays */
    struct sim_source *s = &w->sources[source];

    if (s->destroyed)
        return;
    sim_trace(w, "  outbox %u is lost", source);
    s->destroyed = true;
    s->up = false;
    w->excused = true;
    for (i = 0; i < w->n_calls; i++)
        if (w->calls[i].source == source)
            w->calls[i].gateway = w->calls[i].gateway && w->calls[i].stage == STAGE_ADMITTED;
}

/* ---- the network ---------------------------------------------------------------------------------------------------
 */

/* A record that somebody has sent before, under another source's name. */
void sim_echo(struct sim *w)
{
    const struct sim_source *from = &w->sources[sim_random(w, SIM_REPLICAS)];
    struct sim_source *echo = &w->sources[SIM_ECHO];

    if (from->sent == 0 || echo->n == SIM_RECORDS)
        return;
    echo->log[echo->n++] = from->log[sim_random(w, from->sent)];
}

/* From what is not acknowledged, or with FAULT_DOUBLE from anywhere before. */
void sim_send(struct sim *w, unsigned source)
{
    struct sim_source *s = &w->sources[source];
    struct sim_message m = {source, s->acked + 1, 1 + (unsigned)sim_random(w, MESSAGE_MAX)};

    if (!s->up || s->destroyed)
        return;
    if (!w->peace && sim_chance(w, 40) && s->sent > s->acked) /* the usual case: what is new */
        m.first = s->sent + 1;
    if (!w->peace && (w->faults & FAULT_DOUBLE) && sim_chance(w, 20) && s->n > 0)
        m.first = 1 + (unsigned)sim_random(w, s->n);
    if (m.first > s->n || w->n_messages == SIM_MESSAGES)
        return;
    if (m.first + m.n > s->n + 1)
        m.n = s->n + 1 - m.first;
    if (m.first + m.n - 1 > s->sent)
        s->sent = m.first + m.n - 1;
    if (!w->peace && (w->faults & FAULT_LOSS) && sim_chance(w, 20))
        return;
    w->messages[w->n_messages++] = m;
}
