/*
 * Migration 16: the end of a session is a change of state that others follow: its access tokens are good for minutes
 * more, and whoever checks them may have been restarted meanwhile, or not have been asked to end it.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0016[] = {
"ALTER TABLE session ADD COLUMN ended INTEGER NOT NULL DEFAULT 0", /* Unix seconds; 0 = it has not, or before this migration */
"ALTER TABLE session ADD COLUMN revision INTEGER", /* of its end */
"CREATE UNIQUE INDEX session_revision ON session(revision) WHERE revision IS NOT NULL",
NULL};
/* clang-format on */
