/*
 * exposition: Prometheus texts of several services made one. The format wants all samples of a metric together, under
 * one HELP and TYPE; each text alone keeps that rule, one after another they do not. Pure.
 */
#ifndef GATEWAY_EXPOSITION_H
#define GATEWAY_EXPOSITION_H

#include "services/arena.h"

#define EXPOSITION_BLOCKS 8192 /* metrics of all texts together; more are left out */

/* Appends the texts, merged, in the order in which their metrics are first seen. */
enum status exposition_merge(const struct slice *texts, size_t n_texts, struct arena *a, struct buf *out);

#endif
