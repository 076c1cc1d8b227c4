/*
 * Who is served: the built-in providers, from the settings, and those of meterd's catalog, which take the place of a
 * built-in one of the same name. Keeps `upstreams` and the announcement in step. The follower's thread, except for
 * catalog_init.
 */
#ifndef PROVIDERSVC_CATALOG_H
#define PROVIDERSVC_CATALOG_H

#include "proto/messages.h"
#include "providersvc/upstreams.h"
#include "services/log.h"
#include "services/seal.h"
#include "services/settings.h"

struct catalog {
    const struct settings *settings;
    const struct log *log;
    struct upstreams *upstreams;
    struct seal_key seal;
    struct upstream_defaults defaults;
    uint32_t epoch; /* of the snapshot that is being read */
    uint32_t seen[UPSTREAMS_MAX]; /* by seat: the epoch in which the catalog named it; 0 = it never did */
};

/* Puts the built-in providers in. A setting that cannot be used stops the start: ST_BAD_REQUEST. */
enum status catalog_init(struct catalog *c, struct err *err);
void catalog_fini(struct catalog *c);

void catalog_reset(struct catalog *c); /* a snapshot begins: what it does not name is gone */
/* A record: takes force for calls that begin from now on. true: what is served may have changed. */
bool catalog_change(struct catalog *c, struct slice record);
bool catalog_snapshot_end(struct catalog *c); /* true: something is gone */

#endif
