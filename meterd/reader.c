#include "meterd/reader.h"

#include <stdlib.h>

#include "services/clock.h"

#define READER_WAIT_MS 60000

struct reader {
    struct store *store;
    const struct log *log;
    struct mailbox box;
    struct mailbox *writer; /* for what must write; not ours */
    pthread_t thread;
    bool started;
};

/* What must write does so on the writer's thread, from its beginning. */
static bool hand_over(struct reader *r, struct mail_item *item)
{
    item->lane = LANE_WRITE;
    if (r->writer && mailbox_put(r->writer, item))
        return true;
    item->st = err_set(&item->call->err, ST_UNAVAILABLE, "meterd has too much to do");
    return false;
}

static void run_query(struct reader *r, struct mail_item *item)
{
    struct svc_call *call = item->call;
    struct work work = {.s = r->store, .a = call->arena, .err = &call->err};
    uint64_t left = svc_remaining_ms(call), now = clock_ms();

    r->store->interrupt_at_ms = now + (left > 0 && left < READER_QUERY_MS ? left : READER_QUERY_MS);
    item->st = batch_single(&work, item->op, item->in, item->out);
    if (r->store->broken != STORE_WELL)
        log_event(r->log, LOG_ERROR, LOG_NO_REQ, "query_failed", LOG_C("why", call->err.text));
    r->store->broken = STORE_WELL;
    if (item->st != ST_PENDING || !hand_over(r, item))
        svc_finish(call, item->st);
}

static void *run(void *arg)
{
    struct reader *r = arg;
    struct mail_item item;
    bool closed = false;
    size_t n = 1;

    while (!closed || n > 0) {
        struct mailbox_wait wait = {.until_ms = clock_ms() + READER_WAIT_MS, .enough = 1};

        n = mailbox_take(&r->box, &wait, &item, 1, &closed);
        if (n > 0)
            run_query(r, &item);
    }
    return NULL;
}

enum status reader_new(const char *db_path, const struct log *log, struct reader **ret, struct err *err)
{
    struct reader *r = calloc(1, sizeof(*r));
    enum status st;

    if (!r || mailbox_init(&r->box) != ST_OK) {
        free(r);
        return err_set(err, ST_NO_MEMORY, "no memory for a reader");
    }
    r->log = log;
    st = store_open_reader(db_path, &r->store, err);
    if (st == ST_OK && pthread_create(&r->thread, NULL, run, r) != 0)
        st = err_set(err, ST_INTERNAL, "cannot start a reader's thread");
    r->started = st == ST_OK;
    if (st != ST_OK) {
        reader_free(r);
        return st;
    }
    *ret = r;
    return ST_OK;
}

void reader_free(struct reader *r)
{
    if (!r)
        return;
    mailbox_close(&r->box);
    if (r->started)
        pthread_join(r->thread, NULL);
    mailbox_fini(&r->box);
    store_close(r->store);
    free(r);
}

void reader_hand_over_to(struct reader *r, struct mailbox *writer)
{
    r->writer = writer;
}

struct mailbox *reader_mailbox(struct reader *r)
{
    return &r->box;
}

bool reader_ledger_wrong(struct reader *r)
{
    return atomic_load(&r->store->ledger_wrong);
}
