/*
 * Migration 9: batches. What a file for one can use stands with the file; the call that made one is parked with it
 * until somebody learns that it is over; a batch costs a part of the prices.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0009[] = {
"ALTER TABLE object ADD COLUMN worth BLOB",                    /* of a file: a batch_worth */
"ALTER TABLE object ADD COLUMN call BLOB",                     /* of a batch that is not known to be over: the usage_event of its call */
"ALTER TABLE usage ADD COLUMN price_percent INTEGER NOT NULL DEFAULT 0", /* 0 = all of the price */
"ALTER TABLE hold ADD COLUMN parked INTEGER",                  /* revision of its call's parking */
"CREATE UNIQUE INDEX hold_parked ON hold(parked) WHERE parked IS NOT NULL",
NULL};
/* clang-format on */
