/*
 * Migration 13: the secret that a key had before its rotation, and where a key may be used from.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0013[] = {
/* Known until the next rotation, so that what was begun with it ends; good until prev_until, in Unix seconds. */
"ALTER TABLE api_key ADD COLUMN prev_digest BLOB CHECK (prev_digest IS NULL OR length(prev_digest) = 32)",
"ALTER TABLE api_key ADD COLUMN prev_until INTEGER NOT NULL DEFAULT 0",
"CREATE UNIQUE INDEX api_key_prev ON api_key(prev_digest) WHERE prev_digest IS NOT NULL",
"ALTER TABLE api_key ADD COLUMN ip_allow TEXT NOT NULL DEFAULT ''", /* ranges, one a line; none = any address */
NULL};
/* clang-format on */
