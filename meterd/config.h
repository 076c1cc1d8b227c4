/*
 * config: a CONFIG file and the catalog. At a start the file adds what is missing and brings what came from a file to
 * what it says now; what the API has changed stays. Applied by an administrator it has the last word on all it names.
 * One transaction either way: a file with one mistake changes nothing.
 */
#ifndef METERD_CONFIG_H
#define METERD_CONFIG_H

#include "meterd/store.h"
#include "services/log.h"

/* Reads the file at path and seeds the catalog with it. ST_BAD_REQUEST with one line that says where and why. */
enum status config_seed(struct store *s, const char *path, const struct log *log, struct err *err);

#endif
