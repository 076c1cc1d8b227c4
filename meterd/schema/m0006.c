/*
 * Migration 6: the catalog (providers, their keys, models, aliases, routes) and the audit. Providers and models that
 * were removed stay as rows without content, gone = 1, because whoever follows the log of changes must hear of it.
 */
#include "meterd/schema/schema.h"

#include <stddef.h>

/* clang-format off */
const char *const schema_m0006[] = {
"CREATE TABLE provider_def("
"  name TEXT PRIMARY KEY,"
"  kind TEXT NOT NULL,"
"  base_url TEXT NOT NULL,"
"  internal INTEGER NOT NULL,"
"  disconnect TEXT NOT NULL,"
"  connect_ms INTEGER NOT NULL, first_byte_ms INTEGER NOT NULL, idle_ms INTEGER NOT NULL, total_ms INTEGER NOT NULL,"
"  api_version TEXT NOT NULL,"
"  disabled INTEGER NOT NULL,"
"  drop_params TEXT NOT NULL,"                                 /* one a line */
"  created INTEGER NOT NULL,"
"  source TEXT NOT NULL CHECK (source IN ('config', 'api')),"
"  gone INTEGER NOT NULL DEFAULT 0,"
"  revision INTEGER NOT NULL UNIQUE"
") STRICT",
/* A key is sealed (services/seal.h), or the name of a variable in providersvc's environment. */
"CREATE TABLE provider_key("
"  provider TEXT NOT NULL REFERENCES provider_def(name),"
"  place INTEGER NOT NULL,"
"  id TEXT NOT NULL UNIQUE,"
"  sealed BLOB,"
"  env TEXT,"
"  hint TEXT NOT NULL,"
"  PRIMARY KEY (provider, place),"
"  CHECK ((sealed IS NULL) <> (env IS NULL))"
") STRICT, WITHOUT ROWID",
"CREATE TABLE model_def("
"  name TEXT PRIMARY KEY,"
"  max_output INTEGER NOT NULL, context_window INTEGER NOT NULL,"
"  routing TEXT NOT NULL,"
"  own_price INTEGER NOT NULL,"
"  created INTEGER NOT NULL,"
"  source TEXT NOT NULL CHECK (source IN ('config', 'api')),"
"  gone INTEGER NOT NULL DEFAULT 0,"
"  revision INTEGER NOT NULL UNIQUE"
") STRICT",
"CREATE TABLE model_alias("
"  alias TEXT PRIMARY KEY,"
"  model TEXT NOT NULL REFERENCES model_def(name),"
"  place INTEGER NOT NULL"
") STRICT, WITHOUT ROWID",
"CREATE INDEX model_alias_model ON model_alias(model, place)",
"CREATE TABLE model_route("
"  model TEXT NOT NULL REFERENCES model_def(name),"
"  place INTEGER NOT NULL,"
"  provider TEXT NOT NULL,"                                    /* may be one that is built in */
"  upstream_model TEXT NOT NULL,"
"  tier INTEGER NOT NULL, weight INTEGER NOT NULL,"
"  PRIMARY KEY (model, place)"
") STRICT, WITHOUT ROWID",
"CREATE INDEX model_route_provider ON model_route(provider)",
"CREATE TABLE audit("
"  id INTEGER PRIMARY KEY,"
"  created INTEGER NOT NULL,"
"  actor TEXT NOT NULL,"                                       /* usr_…; empty = the CONFIG file at a start */
"  action TEXT NOT NULL,"
"  object TEXT NOT NULL,"
"  detail TEXT NOT NULL"
") STRICT",
NULL};
/* clang-format on */
