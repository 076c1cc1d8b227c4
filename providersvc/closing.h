/*
 * The events that end a stream which the router ends itself, in the shape of its upstream's: `like` is the JSON of a
 * chunk of the stream, from which id, model and whatever else stands in every chunk are taken. Pure.
 */
#ifndef PROVIDERSVC_CLOSING_H
#define PROVIDERSVC_CLOSING_H

#include "providersvc/dialects/dialect.h"

/* A chunk that ends every choice of the set (bit k: choice k) with finish_reason "length". null_usage: "usage":null, as
 * in streams whose last chunk reports it. */
enum status closing_chunk(struct slice like, uint64_t choices, bool null_usage, struct buf *out);
enum status closing_usage(struct slice like, const struct usage *usage,
                          struct buf *out); /* the chunk that reports it */

#endif
