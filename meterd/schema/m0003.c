/*
 * Migration 3: prices of every token class, and versions with a begin and an end.
 *
 * ended: Unix seconds from which a later version holds; 0 = none does yet. A version that is neither in force nor ended
 * waits for its valid_from; one with ended = valid_from never took force, because another was put in its place.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0003[] = {
"ALTER TABLE price ADD COLUMN audio_in INTEGER CHECK (audio_in >= 0)",
"ALTER TABLE price ADD COLUMN image_in INTEGER CHECK (image_in >= 0)",
"ALTER TABLE price ADD COLUMN audio_out INTEGER CHECK (audio_out >= 0)",
"ALTER TABLE price ADD COLUMN image_out INTEGER CHECK (image_out >= 0)",
"ALTER TABLE price ADD COLUMN reasoning INTEGER CHECK (reasoning >= 0)",
"ALTER TABLE price ADD COLUMN ended INTEGER NOT NULL DEFAULT 0 CHECK (ended = 0 OR in_force = 0)",
/* Until now a version held until the next one of its model was made. */
"UPDATE price SET ended = max(1, coalesce((SELECT min(n.valid_from) FROM price n WHERE n.model = price.model AND n.id > price.id), valid_from)) WHERE in_force = 0",
"CREATE INDEX price_waits ON price(valid_from) WHERE in_force = 0 AND ended = 0",
"CREATE INDEX price_history ON price(model, valid_from, id)",
NULL};
/* clang-format on */
