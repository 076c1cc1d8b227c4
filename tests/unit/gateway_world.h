/*
 * A gateway over real sockets with other services faked, and a client that reads byte by byte what comes. For
 * test_gateway.c. What the fakes do is said by `script`, which is made anew for every test.
 */
#ifndef TESTS_UNIT_GATEWAY_WORLD_H
#define TESTS_UNIT_GATEWAY_WORLD_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/gateway.h"
#include "services/svc.h"

#define ANSWER_MAX (32u * 1024u * 1024u)
#define WAIT_MS 10000u
#define KEY "sk-or-test key"
#define BODY "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define STREAM "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define EVENT "data: {\"x\":1}\n\n"
#define DONE "data: [DONE]\n\n"

enum act {
    PLAIN, /* a whole answer */
    STREAMED, /* two events and the end */
    ERROR_404, /* upstream's error passes */
    REFUSE_ONCE, /* the first attempt was never begun */
    REFUSE, /* none is */
    FAIL, /* began, and failed before a byte */
    BREAK, /* fails after an event */
    HANG, /* one event, then silence until it is cancelled */
    MUCH, /* as many bytes as the window lets through */
    HUGE_ANSWER, /* a plain answer that is too large */
    SAY, /* what say_… say */
    UPLOAD, /* upload_fake.h */
    SILENT, /* not a word until the test finishes it */
};

#define SAY_MAX 4

#define HUNG_MAX 64 /* calls that hang at once */

struct script {
    pthread_mutex_t lock;
    enum act act;
    unsigned admit_delay_ms;
    enum status admit_with;
    enum status key_with; /* to whether the key is good */
    unsigned keys_asked; /* that */
    bool one_at_once; /* admission refuses while a call is open */
    unsigned admitted, done, begun, voids, cancelled, syncs;
    uint64_t void_status, cancelled_ms, last_room_bytes;
    uint64_t estimate;
    unsigned char digest[32];
    uint64_t body_bytes;
    char body[256], request_id[80], void_id[80];
    /* what was asserted since authsvc started: messages, closing ones, holds; the last hold; admissions before that */
    unsigned asserts, lasts, holds, admitted_early;
    char hold_id[80], hold_user[80], hold_key[80], asserted_by[80];
    unsigned char hold_digest[32];
    int64_t hold_nano;
    uint64_t hold_lease_ms;
    bool hold_running;
    size_t much_total;
    /* what admission and the provider were asked */
    char endpoint[64], model[300], path[1100], method[16], type[256], headers[1024];
    uint64_t choices, output_limit, prompt_tokens;
    bool stream, free;
    int64_t max_input_pico, max_output_pico; /* -1 = none */
    char provider[64]; /* that admission was asked for */
    unsigned objects_asked; /* meterd: for objects, and so many times it does not know them yet */
    unsigned objects_late;
    bool objects_down;
    uint64_t object_tokens; /* of those it finds */
    char context[64]; /* admission: the field that names it */
    uint64_t context_tokens, prompt_held; /* what admission hears of it, what it answers, what the provider hears */
    uint64_t provider_held;
    struct batch_worth worth; /* of the objects that meterd finds; no requests = of none */
    /* what admission and the provider were told of a batch; no requests = nothing; their model's text is gone */
    struct batch_worth admit_batch, batch;
    char admit_model[300], batch_model[300];
    uint64_t price_percent, provider_output_limit;
    /* SAY */
    unsigned say_status;
    const char *say_type, *say[SAY_MAX];
    enum status say_end;
    struct svc_call *call; /* the one that hangs or streams much; several: the newest */
    struct svc_call *hung[HUNG_MAX]; /* all of them, by tag */
    uint64_t n_hung;
    size_t much_sent;
};

extern struct script script;
const struct script *look(void); /* a copy, taken under its lock */
#define SET(member, value)                                                                                             \
    do {                                                                                                               \
        pthread_mutex_lock(&script.lock);                                                                              \
        script.member = (value);                                                                                       \
        pthread_mutex_unlock(&script.lock);                                                                            \
    } while (0)

struct world {
    struct settings settings;
    struct svc *auth, *provider, *meter, *gateway;
    char *answer; /* of the last call */
    size_t n;
};

int gateway_world_start(void **state); /* *state: a struct world */
int gateway_world_stop(void **state);
void stop_auth(struct world *w); /* as if killed: without a drain */
void start_auth(struct world *w); /* it knows nothing */

int connect_to(const struct world *w, int receive_buffer); /* 0 = the system's */
void say(int fd, const char *text);
void post(int fd, const char *path, const char *body, const char *more);
size_t header_end(const struct world *w);
bool ended(const struct world *w); /* is w->answer whole? */
const char *hear(struct world *w, int fd,
                 const char *until); /* one answer, or until the text is in it, or the connection ends */
bool reached(const unsigned *counter, unsigned value); /* of the script, within WAIT_MS */
struct svc_call *take_hung(void); /* script.call, which is the caller's to finish then; NULL = there is none */
void finish(struct svc_call *call, enum status st); /* a completion that was left open */

void must_have(const struct world *w, const char *text, const char *file, int line);

#define HAS(w, text) must_have(w, text, __FILE__, __LINE__)
#define HAS_NOT(w, text) assert_null(strstr((w)->answer, text))

#endif
