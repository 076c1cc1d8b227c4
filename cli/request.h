/* A command's request to the router, made from its declaration and the command line, and the usual way to show its
 * answer. */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "cli/args.h"

#define CLI_OK 0
#define CLI_FAILED 1 /* the router said no, or something is wrong */
#define CLI_USAGE 2 /* the command line is wrong */

/* Sends it; ST_OK = a 2xx reply, to be http_reply_fini'd. */
enum status request_send(struct http *h, const struct args *a, struct http_reply *reply, struct err *err);
/* Sends, prints, returns the exit code. */
int request_run(struct http *h, const struct args *a);
int request_print(const struct args *a, const struct http_reply *reply);
enum status request_add_escaped(struct buf *b, const char *text); /* for a path or a query */
int cli_fail(const struct err *err);

#endif
