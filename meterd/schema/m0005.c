/*
 * Migration 5: answers kept for an Idempotency-Key. None of the ledger's tables has a part of it, so that large answers
 * never lie between the rows that every call touches; the body is the last column, so that looking at a row reads none
 * of its pages. Of a large body the row has only the end: the rest came in pieces, each in a transaction of its own.
 *
 * begun: somebody makes the call, or nobody will ever know its answer; stored: its answer is there.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0005[] = {
"CREATE TABLE answer("
"  id INTEGER PRIMARY KEY,"
"  user_num INTEGER NOT NULL REFERENCES user(num),"
"  idempotency_key TEXT NOT NULL,"
"  body_digest BLOB NOT NULL CHECK (length(body_digest) = 32),"
"  request_id TEXT NOT NULL,"
"  state TEXT NOT NULL CHECK (state IN ('begun', 'stored')),"
"  created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
"  lease_ms INTEGER NOT NULL,"
"  lease_end_ms INTEGER NOT NULL,"                             /* monotonic, counted anew from meterd's start; 0 = over */
"  http_status INTEGER NOT NULL DEFAULT 0,"
"  content_type TEXT NOT NULL DEFAULT '',"
"  bytes INTEGER NOT NULL DEFAULT 0,"                          /* what it counts for among its user's */
"  body BLOB NOT NULL DEFAULT x''"
") STRICT",
"CREATE UNIQUE INDEX answer_key ON answer(user_num, idempotency_key)",
"CREATE INDEX answer_expires ON answer(expires_ms)",
"CREATE INDEX answer_begun ON answer(lease_end_ms) WHERE state = 'begun'",
"CREATE INDEX answer_stored ON answer(user_num, id) WHERE state = 'stored'",
/* How much of its space a user has taken: a sum over all its rows would be read at every call. */
"CREATE TABLE answer_space("
"  user_num INTEGER PRIMARY KEY REFERENCES user(num),"
"  bytes INTEGER NOT NULL"
") STRICT",
"CREATE TABLE answer_piece("
"  id INTEGER PRIMARY KEY,"                                    /* the answer's times 1024, and the piece's number */
"  body BLOB NOT NULL"
") STRICT",
"CREATE TRIGGER answer_piece_drop AFTER DELETE ON answer BEGIN "
"  DELETE FROM answer_piece WHERE id >= old.id * 1024 AND id < old.id * 1024 + 1024; END",
"CREATE TRIGGER answer_piece_evict AFTER UPDATE OF bytes ON answer WHEN new.bytes = 0 BEGIN "
"  DELETE FROM answer_piece WHERE id >= old.id * 1024 AND id < old.id * 1024 + 1024; END",
"CREATE TRIGGER answer_space_change AFTER UPDATE OF bytes ON answer BEGIN "
"  INSERT INTO answer_space(user_num, bytes) VALUES (new.user_num, new.bytes - old.bytes)"
"  ON CONFLICT(user_num) DO UPDATE SET bytes = bytes + excluded.bytes; END",
"CREATE TRIGGER answer_space_drop AFTER DELETE ON answer WHEN old.bytes > 0 BEGIN "
"  UPDATE answer_space SET bytes = bytes - old.bytes WHERE user_num = old.user_num; END",
NULL};
/* clang-format on */
