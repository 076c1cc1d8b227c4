/*
 * Migration 1: the first shape.
 *
 * revision: the place of a row's newest state in the one order of all changes (meterd/state.h). Every table that others
 * follow has one; together they are the log of the state feed. A usage row's primary key is its revision.
 *
 * Money is nano-USD, prices are pico-USD per token, times are Unix seconds unless they end in _ms.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0001[] = {
"CREATE TABLE plan("
"  name TEXT PRIMARY KEY,"
"  rpm INTEGER NOT NULL, tpm INTEGER NOT NULL, concurrency INTEGER NOT NULL, max_keys INTEGER NOT NULL,"
"  models TEXT NOT NULL,"                                      /* one pattern a line; empty = all */
"  revision INTEGER NOT NULL UNIQUE"
") STRICT",
"CREATE TABLE user("
"  num INTEGER PRIMARY KEY,"
"  id TEXT NOT NULL UNIQUE,"
"  email TEXT NOT NULL UNIQUE,"
"  name TEXT NOT NULL,"
"  role TEXT NOT NULL CHECK (role IN ('user', 'admin')),"
"  plan TEXT NOT NULL REFERENCES plan(name),"
"  status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),"
"  password_hash TEXT NOT NULL,"
"  created INTEGER NOT NULL,"
"  revision INTEGER NOT NULL UNIQUE"
") STRICT",
"CREATE TABLE session("
"  id TEXT PRIMARY KEY,"
"  user_num INTEGER NOT NULL REFERENCES user(num),"
"  status TEXT NOT NULL CHECK (status IN ('active', 'ended')),"
"  expires_at INTEGER NOT NULL,"
"  created INTEGER NOT NULL"
") STRICT",
"CREATE INDEX session_expires ON session(expires_at)",

/* Tokens that were exchanged stay known until the session is forgotten: a second use of one is how theft shows. */
"CREATE TABLE refresh_token("
"  digest BLOB PRIMARY KEY,"
"  session TEXT NOT NULL REFERENCES session(id) ON DELETE CASCADE,"
"  used INTEGER NOT NULL CHECK (used IN (0, 1))"
") STRICT, WITHOUT ROWID",
"CREATE INDEX refresh_token_session ON refresh_token(session)",
"CREATE TABLE api_key("
"  num INTEGER PRIMARY KEY,"
"  id TEXT NOT NULL UNIQUE,"
"  user_num INTEGER NOT NULL REFERENCES user(num),"
"  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),"
"  name TEXT NOT NULL, prefix TEXT NOT NULL,"
"  rpm INTEGER NOT NULL, tpm INTEGER NOT NULL, concurrency INTEGER NOT NULL,"
"  models TEXT NOT NULL,"
"  expires_at INTEGER NOT NULL,"
"  status TEXT NOT NULL CHECK (status IN ('active', 'revoked')),"
"  created INTEGER NOT NULL,"
"  revision INTEGER NOT NULL UNIQUE"
") STRICT",
"CREATE INDEX api_key_user ON api_key(user_num)",
"CREATE TABLE provider("
"  name TEXT PRIMARY KEY,"
"  kind TEXT NOT NULL,"
"  revision INTEGER NOT NULL UNIQUE"
") STRICT",

/* Versions are never changed and never deleted: a call is billed by the version that was pinned at its admission. */
"CREATE TABLE price("
"  id INTEGER PRIMARY KEY,"
"  model TEXT NOT NULL, provider TEXT NOT NULL, mode TEXT NOT NULL,"
"  input INTEGER NOT NULL, cached INTEGER, write_short INTEGER, write_long INTEGER, output INTEGER NOT NULL,"
"  tier_above INTEGER NOT NULL,"
"  tier_input INTEGER, tier_cached INTEGER, tier_write_short INTEGER, tier_write_long INTEGER, tier_output INTEGER,"
"  context_window INTEGER NOT NULL, max_output INTEGER NOT NULL,"
"  valid_from INTEGER NOT NULL,"
"  builtin INTEGER NOT NULL CHECK (builtin IN (0, 1)),"
"  in_force INTEGER NOT NULL CHECK (in_force IN (0, 1)),"
"  revision INTEGER NOT NULL UNIQUE,"
"  CHECK (tier_above = 0 OR (tier_input IS NOT NULL AND tier_output IS NOT NULL))"
") STRICT",
"CREATE UNIQUE INDEX price_in_force ON price(model) WHERE in_force = 1",
/* Double entry. A user's account is never below zero; the operator's have no user and any sign. balance and spent are
   kept beside the entries for speed and can be proved from them. */
"CREATE TABLE account("
"  id INTEGER PRIMARY KEY,"
"  user_num INTEGER REFERENCES user(num),"
"  kind TEXT NOT NULL,"
"  balance_nano INTEGER NOT NULL DEFAULT 0,"
"  spent_nano INTEGER NOT NULL DEFAULT 0,"
"  CHECK (user_num IS NULL OR balance_nano >= 0)"
") STRICT",
"CREATE UNIQUE INDEX account_user ON account(user_num, kind)",
"CREATE UNIQUE INDEX account_operator ON account(kind) WHERE user_num IS NULL",
"INSERT INTO account(id, user_num, kind) VALUES (1, NULL, 'revenue'), (2, NULL, 'overage'), (3, NULL, 'grants')",
/* Append-only. transfer = revision of what caused it: a usage row or a credit grant; its entries sum to zero.
   balance_nano is the account's balance after this entry. */
"CREATE TABLE entry("
"  id INTEGER PRIMARY KEY,"
"  transfer INTEGER NOT NULL,"
"  account INTEGER NOT NULL REFERENCES account(id),"
"  kind TEXT NOT NULL,"
"  amount_nano INTEGER NOT NULL CHECK (amount_nano <> 0),"
"  balance_nano INTEGER NOT NULL,"
"  created_ms INTEGER NOT NULL"
") STRICT",
"CREATE TRIGGER entry_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END",
"CREATE TRIGGER entry_fixed BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END",
"CREATE TABLE credit_grant("
"  transfer INTEGER PRIMARY KEY,"
"  account INTEGER NOT NULL REFERENCES account(id),"
"  kind TEXT NOT NULL,"                                        /* start, signup, admin */
"  actor TEXT NOT NULL,"
"  idempotency_key TEXT,"
"  note TEXT NOT NULL,"
"  amount_nano INTEGER NOT NULL,"
"  balance_nano INTEGER NOT NULL,"
"  entry INTEGER NOT NULL REFERENCES entry(id),"
"  created_ms INTEGER NOT NULL"
") STRICT",
"CREATE UNIQUE INDEX credit_grant_once ON credit_grant(actor, idempotency_key) WHERE idempotency_key IS NOT NULL",

/* One row a call. cost = billed to the user, overage = borne by the operator; balance = the user's after it. */
"CREATE TABLE usage("
"  revision INTEGER PRIMARY KEY,"
"  request_id TEXT NOT NULL UNIQUE,"
"  user_num INTEGER REFERENCES user(num),"                     /* NULL: usage_stray says whose it claimed to be */
"  key_id TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL, upstream_model TEXT NOT NULL,"
"  endpoint TEXT NOT NULL,"
"  stream INTEGER NOT NULL,"
"  status TEXT NOT NULL,"
"  http_status INTEGER NOT NULL,"
"  prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,"
"  cache_write_tokens INTEGER NOT NULL, cache_write_long_tokens INTEGER NOT NULL,"
"  completion_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,"
"  estimated INTEGER NOT NULL,"
"  price_id INTEGER NOT NULL,"
"  cost_nano INTEGER NOT NULL CHECK (cost_nano >= 0),"
"  overage_nano INTEGER NOT NULL CHECK (overage_nano >= 0),"
"  balance_nano INTEGER NOT NULL,"
"  hold_nano INTEGER NOT NULL,"
"  created_ms INTEGER NOT NULL,"
"  latency_ms INTEGER NOT NULL, ttft_ms INTEGER NOT NULL,"
"  attempts INTEGER NOT NULL"
") STRICT",
"CREATE INDEX usage_user ON usage(user_num)",                  /* with the rowid: newest first for one user */
"CREATE INDEX usage_created ON usage(created_ms)",
"CREATE TABLE usage_stray("
"  revision INTEGER PRIMARY KEY REFERENCES usage(revision),"
"  user_id TEXT NOT NULL"
") STRICT",

/* How far each outbox of usage events has been applied: written in the same transaction as the events' effect. */
"CREATE TABLE position("
"  source TEXT PRIMARY KEY,"
"  seq INTEGER NOT NULL,"
"  revision INTEGER NOT NULL UNIQUE,"
"  updated_ms INTEGER NOT NULL"
") STRICT",
NULL};
/* clang-format on */
