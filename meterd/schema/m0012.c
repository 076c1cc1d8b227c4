/*
 * Migration 12: the open sessions of a user are found without looking at everybody's, because a new password ends them.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0012[] = {
"CREATE INDEX session_open ON session(user_num, expires_at) WHERE status = 'active'",
NULL};
/* clang-format on */
