/*
 * Migration 11: how much a response brings into a call that goes on from it.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0011[] = {
"ALTER TABLE object ADD COLUMN tokens INTEGER",                /* of a response: input and output of its call; NULL = not known */
NULL};
/* clang-format on */
