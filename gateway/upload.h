/*
 * upload: a request body that is too large to be kept in memory, on its way from the client through a spool to the
 * provider. The connection's thread takes it off the socket whole before the call begins, reads in passing what the
 * call is (multipart.h), and hands the provider the pieces that it asks for while the call runs.
 */
#ifndef GATEWAY_UPLOAD_H
#define GATEWAY_UPLOAD_H

#include "gateway/batch_file.h"
#include "gateway/multipart.h"
#include "gateway/request.h"
#include "gateway/spool.h"

#define UPLOAD_WANT_MAX (256u * 1024u) /* bytes that a provider may ask for at once: they wait in memory */

struct upload {
    struct spool spool;
    struct multipart form; /* when has_form */
    struct batch_file batch; /* when has_batch: what the form's file is worth as one */
    bool has_form, has_batch;
    bool begun; /* of a body that is no form: more than blanks was seen */
    bool digesting;
    crypto_hash_sha256_state plain; /* of a body that is no form */
    uint8_t digest[LIMIT_DIGEST]; /* when digesting: of what it says */
};

/* Takes the request's body off the socket. has_form: it must be a readable form, else anything but JSON; has_batch: it
 * is one, and its file may be for a batch. *ret is the arena's; upload_fini in any case when it is set. ST_TOO_LARGE
 * (MAX_UPLOAD_BYTES), ST_BAD_REQUEST, ST_UNAVAILABLE, ST_CANCELLED as request_read_body. */
enum status upload_take(struct request *r, bool has_form, bool has_batch, struct upload **ret, struct err *err);
void upload_fini(struct upload *u); /* NULL is fine */

/* Pushes those bytes on the call. ST_CANCELLED: the call has ended. ST_BAD_MESSAGE: nobody may ask so. */
enum status upload_push(struct upload *u, struct xchg_client *to, struct xchg_id id, uint64_t from, uint64_t bytes,
                        struct err *err);

#endif
