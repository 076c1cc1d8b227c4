/*
 * Migration 10: a provider that speaks OpenAI's chat completions and has no Responses API.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0010[] = {
"ALTER TABLE provider_def ADD COLUMN chat_only INTEGER NOT NULL DEFAULT 0",
NULL};
/* clang-format on */
