/*
 * Migration: credit as a product. Redemption codes, monthly credit, budgets of keys, refunds, ledgers by account.
 *
 * A budget's count is valid until budget_until (Unix seconds; 0 = for ever): after that nothing of it is spent.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0004[] = {
"ALTER TABLE plan ADD COLUMN monthly_credit_nano INTEGER NOT NULL DEFAULT 0 CHECK (monthly_credit_nano >= 0)",
"ALTER TABLE api_key ADD COLUMN budget_nano INTEGER NOT NULL DEFAULT 0 CHECK (budget_nano >= 0)",
"ALTER TABLE api_key ADD COLUMN budget_period TEXT NOT NULL DEFAULT '' "
"  CHECK (budget_period IN ('', 'day', 'week', 'month', 'total'))",
"ALTER TABLE api_key ADD COLUMN budget_spent_nano INTEGER NOT NULL DEFAULT 0",
"ALTER TABLE api_key ADD COLUMN budget_until INTEGER NOT NULL DEFAULT 0",

/* A refund names the call that it pays back. */
"ALTER TABLE credit_grant ADD COLUMN request_id TEXT",
"CREATE INDEX credit_grant_refund ON credit_grant(request_id) WHERE request_id IS NOT NULL",

/* With the rowid: newest first for one account. The operator's three have the ledger itself. */
"CREATE INDEX entry_account ON entry(account) WHERE account > 3",

/* Only the digest of a code is kept: whoever reads the database cannot redeem it. */
"CREATE TABLE credit_code("
"  num INTEGER PRIMARY KEY,"
"  id TEXT NOT NULL UNIQUE,"
"  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),"
"  prefix TEXT NOT NULL,"
"  amount_nano INTEGER NOT NULL CHECK (amount_nano > 0),"
"  note TEXT NOT NULL,"
"  actor TEXT NOT NULL,"
"  expires_at INTEGER NOT NULL,"
"  status TEXT NOT NULL CHECK (status IN ('open', 'redeemed', 'revoked')),"
"  created INTEGER NOT NULL,"
"  user_num INTEGER REFERENCES user(num),"
"  redeemed_at INTEGER NOT NULL DEFAULT 0,"
"  transfer INTEGER UNIQUE REFERENCES credit_grant(transfer),"
"  CHECK ((status = 'redeemed') = (transfer IS NOT NULL) AND (transfer IS NULL) = (user_num IS NULL))"
") STRICT",

/* Wrong codes of a user since `began`: guessing is bounded, also over a restart. */
"CREATE TABLE code_failure("
"  user_num INTEGER PRIMARY KEY REFERENCES user(num),"
"  began INTEGER NOT NULL,"
"  failures INTEGER NOT NULL"
") STRICT",

/* Who got the plan's credit for which calendar month (UTC, as 202611). The key is what makes it once. */
"CREATE TABLE monthly_credit("
"  user_num INTEGER NOT NULL REFERENCES user(num),"
"  month INTEGER NOT NULL,"
"  transfer INTEGER NOT NULL UNIQUE REFERENCES credit_grant(transfer),"
"  PRIMARY KEY (user_num, month)"
") STRICT, WITHOUT ROWID",
NULL};
/* clang-format on */
