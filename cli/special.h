/* Commands that are more than one request and its answer. Each returns an exit code. */
#ifndef CLI_SPECIAL_H
#define CLI_SPECIAL_H

#include "cli/args.h"

int special_wait(struct http *h, const struct command *c, const struct args *a); /* until the router is ready */
int special_call(struct http *h, const struct command *c, const struct args *a); /* a chat completion */
int special_models(struct http *h, const struct command *c, const struct args *a);
int special_ledger_verify(struct http *h, const struct command *c, const struct args *a); /* exit 1 on any difference */
int special_restore(struct http *h, const struct command *c, const struct args *a); /* becomes meterd --restore */
int special_price_import(struct http *h, const struct command *c,
                         const struct args *a); /* a file of LiteLLM's format */
int special_provider_put(struct http *h, const struct command *c, const struct args *a); /* --api-keys - reads them */
int special_provider_test(struct http *h, const struct command *c, const struct args *a); /* exit 1 when it fails */
int special_config_apply(struct http *h, const struct command *c, const struct args *a);
int special_config_export(struct http *h, const struct command *c, const struct args *a); /* prints the file */
int special_user_password(struct http *h, const struct command *c, const struct args *a); /* of somebody else */
int special_password(struct http *h, const struct command *c, const struct args *a); /* of whom routerctl signs in as */
int special_user_create(struct http *h, const struct command *c,
                        const struct args *a); /* makes a password when none is given */

#endif
