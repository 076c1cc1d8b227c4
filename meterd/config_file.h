/*
 * config_file: a CONFIG file (YAML, read with libcyaml) becomes requests to put providers and models. The only parser
 * of it in the house. It knows the file's shape and the bounds of single members (proto/), not the catalog: what a
 * whole object must be is checked where it is put. Hostile text costs bounded memory and time: no aliases, one
 * document, no unknown or repeated members, at most LIMIT_CONFIG bytes.
 */
#ifndef METERD_CONFIG_FILE_H
#define METERD_CONFIG_FILE_H

#include "proto/messages.h"
#include "services/arena.h"

#define CONFIG_MODELS_MAX 5000

struct config_file {
    struct provider_put_req *providers; /* every member but actor_id, create and absent api_keys is given (has) */
    struct model_put_req *models; /* the same; own_price is given when there is no price */
    size_t n_providers, n_models;
};

/* Reads text; everything of ret is the arena's. ${NAME} in api_keys stays as it is, elsewhere it becomes the value that
 * env gives. ST_BAD_REQUEST with one line that says where and why. */
enum status config_file_parse(struct slice text, char *(*env)(const char *name), struct arena *a,
                              struct config_file *ret, struct err *err);

#endif
