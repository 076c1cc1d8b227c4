/* Migration 7: what of an attempt's tokens was audio or images, as the usage of the call says it. */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0007[] = {
"ALTER TABLE attempt ADD COLUMN audio_input_tokens INTEGER NOT NULL DEFAULT 0",
"ALTER TABLE attempt ADD COLUMN audio_output_tokens INTEGER NOT NULL DEFAULT 0",
"ALTER TABLE attempt ADD COLUMN image_input_tokens INTEGER NOT NULL DEFAULT 0",
"ALTER TABLE attempt ADD COLUMN image_output_tokens INTEGER NOT NULL DEFAULT 0",
NULL};
/* clang-format on */
