/*
 * Migration 8: what calls made and one account upstream keeps (a response, a file, a batch), with its owner: only there
 * and only by that user can it be used again.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0008[] = {
"CREATE TABLE object("
"  user_num INTEGER NOT NULL REFERENCES user(num),"
"  id TEXT NOT NULL,"                                          /* as upstream called it */
"  provider TEXT NOT NULL,"
"  created_ms INTEGER NOT NULL,"
"  PRIMARY KEY(user_num, id)"
") STRICT, WITHOUT ROWID",
NULL};
/* clang-format on */
