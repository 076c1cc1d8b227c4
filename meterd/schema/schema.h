/*
 * The shape of the database: numbered migrations, each run in one transaction together with the number it leads to, so
 * that being killed anywhere leaves either the shape before or the shape after. A migration is never edited once it has
 * been released; the next change of shape is the next number. Knows nothing of what rows mean.
 */
#ifndef METERD_SCHEMA_SCHEMA_H
#define METERD_SCHEMA_SCHEMA_H

#include <sqlite3.h>

#include "proto/status.h"

#define SCHEMA_APPLICATION_ID 1330803829 /* "ORtu" as a big-endian number */

struct migration {
    int number; /* user_version after it */
    const char *const *sql; /* statements, ended by NULL */
    enum status (*step)(sqlite3 *db, struct err *err); /* what SQL cannot say, after them; NULL = nothing */
};

extern const struct migration schema_migrations[]; /* in rising order, ended by number 0 */

extern const char *const schema_m0001[];
extern const char *const schema_m0002[];
enum status schema_m0002_step(sqlite3 *db, struct err *err);
extern const char *const schema_m0003[];
extern const char *const schema_m0004[];
extern const char *const schema_m0005[];
extern const char *const schema_m0006[];
extern const char *const schema_m0007[];
extern const char *const schema_m0008[];
extern const char *const schema_m0009[];
extern const char *const schema_m0010[];
extern const char *const schema_m0011[];
extern const char *const schema_m0012[];
extern const char *const schema_m0013[];
extern const char *const schema_m0014[];
extern const char *const schema_m0015[];
extern const char *const schema_m0016[];

/* ST_CONFLICT for a database of another program or of a newer version; an empty one is welcome. Writes nothing. */
enum status schema_check(sqlite3 *db, const struct migration *migrations, struct err *err);
/* The same, then runs the migrations that it lacks. */
enum status schema_migrate(sqlite3 *db, const struct migration *migrations, struct err *err);

#endif
