/*
 * Migration 14: security events, who has told of them how far, and what each key does in an hour.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0014[] = {
/* One row for an hour of the same: kind, subject, client. */
"CREATE TABLE security_event("
"  id INTEGER PRIMARY KEY AUTOINCREMENT,"                      /* a cursor stays good when rows go */
"  kind TEXT NOT NULL, subject TEXT NOT NULL, address TEXT NOT NULL,"
"  count INTEGER NOT NULL,"
"  first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,"   /* Unix seconds */
"  detail TEXT NOT NULL"
") STRICT",
"CREATE INDEX security_event_same ON security_event(kind, subject, address, first_seen)",
"CREATE INDEX security_event_kind ON security_event(kind)",    /* with the rowid: the oldest of a kind */
"CREATE INDEX security_event_seen ON security_event(last_seen)",
"CREATE TABLE security_source("
"  source TEXT PRIMARY KEY, seq INTEGER NOT NULL, told INTEGER NOT NULL" /* told: Unix seconds */
") STRICT, WITHOUT ROWID",

/* Sums over usage rows, made after the bill, for the hour of the row. What was there before this migration is in none. */
"CREATE TABLE key_hour("
"  key_id TEXT NOT NULL, hour INTEGER NOT NULL,"               /* since 1970 */
"  calls INTEGER NOT NULL, cost_nano INTEGER NOT NULL,"
"  PRIMARY KEY (key_id, hour)"
") STRICT, WITHOUT ROWID",
"CREATE INDEX key_hour_hour ON key_hour(hour)",
"CREATE TABLE key_hour_position(revision INTEGER NOT NULL) STRICT", /* one row: of the last usage row that is in a sum */
"INSERT INTO key_hour_position SELECT coalesce(max(revision), 0) FROM usage",
NULL};
/* clang-format on */
