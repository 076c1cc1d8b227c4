/*
 * catalog: providers with their upstream keys, and models with their aliases and routes. Each change is one
 * transaction: the rows, one state record, one entry of the audit. What a request leaves out stays as it is. Two
 * sources write: the admin API, and the CONFIG file (meterd/config.h), which leaves alone at a start what the API has
 * changed. The operations stand in meterd/ops.h.
 */
#ifndef METERD_CATALOG_H
#define METERD_CATALOG_H

#include "meterd/record.h"
#include "services/log.h"

#define CATALOG_ALL LIMIT_PAGE /* all providers fit one page, those of older programs, too, which allowed so many */
#define CATALOG_MODELS_MAX 5000
#define CATALOG_CONFIG "config"
#define CATALOG_API "api"
#define CATALOG_NAME_TAKEN "name_taken" /* err's code: another model has the name or alias */

/* Timeouts of a provider: 0 = the setting's, else within these. */
#define CATALOG_CONNECT_MS_MIN 50
#define CATALOG_CONNECT_MS_MAX 60000
#define CATALOG_WAIT_MS_MIN 100
#define CATALOG_WAIT_MS_MAX 3600000

enum catalog_mode {
    CATALOG_CREATE, /* ST_CONFLICT when there is one already */
    CATALOG_UPDATE, /* ST_NOT_FOUND when there is none */
    CATALOG_APPLY, /* either: the request is the whole truth */
    CATALOG_SEED, /* as APPLY, but what the API has changed stays */
};

enum catalog_action { CATALOG_ADDED, CATALOG_CHANGED, CATALOG_UNCHANGED, CATALOG_KEPT, CATALOG_REMOVED };

struct catalog_how {
    enum catalog_mode mode;
    struct slice actor; /* for the audit */
};

struct catalog_done {
    enum catalog_action action;
    uint64_t revision; /* 0 = nothing was written */
    struct slice detail; /* members that changed, as JSON, keys masked; their names when that is too long */
};

/* A provider with its keys as they are stored; state.provider.items is `def`, state.keys are the keys. */
struct catalog_def {
    struct catalog_provider def;
    struct provider_state state;
};

/* ---- changing ------------------------------------------------------------------------------------------------------
 */

enum status catalog_put_provider(struct work *w, const struct provider_put_req *req, const struct catalog_how *how,
                                 struct catalog_provider *ret, struct catalog_done *ret_done);
enum status catalog_put_model(struct work *w, const struct model_put_req *req, const struct catalog_how *how,
                              struct catalog_model *ret, struct catalog_done *ret_done);
/* ST_NOT_FOUND; ST_CONFLICT while a model has a route to the provider, and the provider is not built in as well. */
enum status catalog_drop_provider(struct work *w, struct slice name, struct slice actor, uint64_t *ret_revision);
enum status catalog_drop_model(struct work *w, struct slice name, struct slice actor, uint64_t *ret_revision);

/* Says by name, in the log, which stored keys do not open with this MASTER_KEY: they are never used. */
enum status catalog_check_seals(struct store *s, const struct log *log, struct err *err);

/* ---- rows (catalog_rows.c) -----------------------------------------------------------------------------------------
 */

record_fill catalog_fill_provider; /* struct catalog_provider, from SQL_PROVIDER_DEF */
record_fill catalog_fill_state; /* struct provider_state, from SQL_PROVIDER_DEF; kind empty = it is gone */
record_fill catalog_fill_model; /* struct catalog_model, from SQL_MODEL_DEF; no routes = it is gone */

/* ST_NOT_FOUND, err left to the caller. */
enum status catalog_get_provider(struct work *w, struct slice name, struct catalog_def *ret);
enum status catalog_get_model(struct work *w, struct slice name, struct catalog_model *ret);
/* Which model has this alias; empty when none. */
enum status catalog_alias_of(struct work *w, struct slice alias, struct slice *ret_model);
/* Write the rows. A gone object keeps its name only. */
enum status catalog_save_provider(struct work *w, const struct catalog_def *def, bool gone, uint64_t revision);
enum status catalog_save_model(struct work *w, const struct catalog_model *model, bool gone, uint64_t revision);

/* ---- rules (catalog_check.c): ST_BAD_REQUEST with the field's name -------------------------------------------------
 */

enum status catalog_check_provider(struct work *w, const struct catalog_provider *p);
enum status catalog_check_model(struct work *w, const struct catalog_model *m);
/* An upstream key: printable ASCII, or wholly ${NAME}; *ret_env = NAME, or empty. index: its place, for the error. */
enum status catalog_check_key(struct work *w, struct slice key, size_t index, struct slice *ret_env);
bool catalog_builtin(struct slice provider); /* is there without being in the catalog, when its key is set */

/* ---- differences (catalog_diff.c) ----------------------------------------------------------------------------------
 */

/* The members of two objects that differ, but created, and source unless asked. Empty = none does. ST_NO_MEMORY. */
enum status catalog_diff(struct work *w, const struct wire_desc *desc, const void *before, const void *after,
                         bool with_source, struct slice *ret);

#endif
