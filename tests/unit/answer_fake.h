/*
 * The part of a faked meterd that keeps answers for an Idempotency-Key, for the tests of the gateway: a few keys, no
 * time, no bodies compared but by digest. What it does is said by `kept`, which answer_fake_reset makes anew.
 */
#ifndef TESTS_UNIT_ANSWER_FAKE_H
#define TESTS_UNIT_ANSWER_FAKE_H

#include <pthread.h>

#include "services/svc.h"

#define KEPT_KEYS 8
#define KEPT_BODY_MAX (24u * 1024u * 1024u)

struct kept_answer {
    char key[LIMIT_TITLE + 1], request_id[LIMIT_ID_TEXT + 1], type[LIMIT_NAME + 1];
    unsigned char digest[LIMIT_DIGEST];
    unsigned http; /* 0 = begun */
    char *body;
    size_t n;
};

struct kept_answers {
    pthread_mutex_t lock;
    unsigned asked, stored, forgotten;
    enum status fail_with; /* what the next fail_times messages end with */
    unsigned fail_times;
    bool interrupted; /* what is begun by another is so */
    struct kept_answer answers[KEPT_KEYS];
};

extern struct kept_answers kept;
void answer_fake_reset(void);
bool answer_fake_holds(const char *key, unsigned http); /* under no lock; http 0 = begun */

extern svc_handler answer_fake_begin, answer_fake_put;

#define KEPT_SET(member, value)                                                                                        \
    do {                                                                                                               \
        pthread_mutex_lock(&kept.lock);                                                                                \
        kept.member = (value);                                                                                         \
        pthread_mutex_unlock(&kept.lock);                                                                              \
    } while (0)

#endif
