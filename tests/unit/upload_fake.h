/*
 * A provider that takes uploads: asks for the body stretch by stretch, keeps it, then answers. For test_uploads.c.
 */
#ifndef TESTS_UNIT_UPLOAD_FAKE_H
#define TESTS_UNIT_UPLOAD_FAKE_H

#include <pthread.h>

#include "services/svc.h"

enum upload_fault {
    UPLOAD_FINE,
    UPLOAD_TWICE, /* asks for the beginning again after the first stretch */
    UPLOAD_GREEDY, /* asks for more at once than it may */
    UPLOAD_BEYOND, /* asks for bytes that are not there */
    UPLOAD_REFUSES, /* answers after the first stretch */
    UPLOAD_WAITS, /* asks once, and then for nothing */
};

struct upload_fake {
    pthread_mutex_t lock;
    enum upload_fault fault;
    size_t step; /* bytes of a stretch */
    char *bytes;
    size_t n; /* that have come */
    uint64_t total, model_at, model_bytes, asked;
    size_t largest; /* push */
    unsigned stretches;
    bool over, cancelled;
    struct svc_call *call;
};

extern struct upload_fake upload_fake;

void upload_fake_reset(void);
enum status upload_fake_begin(struct svc_call *call, const struct completion_req *req); /* its handler */

#endif
