/*
 * Migration 15: alerts, and what is still to be posted of them.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0015[] = {
"CREATE TABLE alert("
"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
"  rule TEXT NOT NULL, severity TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL,"
"  state TEXT NOT NULL CHECK (state IN ('firing', 'resolved')),"
"  since INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL," /* times: Unix seconds */
"  resolved_at INTEGER NOT NULL DEFAULT 0,"
"  acknowledged_at INTEGER NOT NULL DEFAULT 0, acknowledged_by TEXT NOT NULL DEFAULT ''"
") STRICT",
"CREATE UNIQUE INDEX alert_firing ON alert(rule, subject) WHERE state = 'firing'",
/* In the order of its ids, one after the other; gone when it was taken. The id is what the receiver knows it by. */
"CREATE TABLE delivery("
"  id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL,"
"  tries INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL, born INTEGER NOT NULL" /* Unix seconds */
") STRICT",
NULL};
/* clang-format on */
