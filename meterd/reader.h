/*
 * reader: a thread with a connection that only reads. Each query runs in a transaction of its own, so it sees one state
 * of the database from beginning to end, and is ended when its caller's time is up. Never blocks the writer.
 */
#ifndef METERD_READER_H
#define METERD_READER_H

#include "meterd/mailbox.h"

#define READER_QUERY_MS 30000 /* longest time of a query */

struct reader;

enum status reader_new(const char *db_path, const struct log *log, struct reader **ret, struct err *err);
void reader_free(struct reader *r); /* finishes what waits first; NULL is fine */
/* Operations that return ST_PENDING go on there. Before the first call; without it they fail. */
void reader_hand_over_to(struct reader *r, struct mailbox *writer);
struct mailbox *reader_mailbox(struct reader *r);
bool reader_ledger_wrong(struct reader *r); /* the last ledger_verify said so; any thread */

#endif
