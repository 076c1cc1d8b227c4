/*
 * multipart: an incremental reader of multipart/form-data (RFC 7578, RFC 2046). It sees every byte of a body on its way
 * to the spool and keeps the few small parts of form.h; it changes nothing. What two readers could take for different
 * things is refused: a part without a name or with two, a known part twice, as a file or nearly by its name, lines that
 * end in another way than they should, names that are not UTF-8 for all, a body that does not end.
 *
 * Pure, but for the watcher: no I/O, no allocation, the same result however the bytes are cut. Bounded whatever comes.
 */
#ifndef GATEWAY_MULTIPART_H
#define GATEWAY_MULTIPART_H

#include "gateway/form.h"
#include "proto/status.h"

#include <sodium.h>

#define MULTIPART_BOUNDARY_MAX 200u /* RFC 2046 says 70 */
#define MULTIPART_HEAD_MAX 4096u /* bytes of one part's headers */
#define MULTIPART_PARTS_MAX 1000u

/* Sees the bytes of files in passing. */
typedef void multipart_watcher(void *ctx, struct slice bytes);

struct multipart {
    uint8_t state; /* enum state of multipart.c */
    char delimiter[4 + MULTIPART_BOUNDARY_MAX]; /* CR LF - - boundary */
    size_t delimiter_n, matched;
    size_t bare; /* bytes matched of the delimiter without its CR */
    bool bare_cr; /* a CR stood before it: then it may be the delimiter */
    char last; /* byte before this one */
    char head[MULTIPART_HEAD_MAX];
    size_t head_n;
    unsigned parts;
    int part; /* of form.h, that is being read; -1 = another one */
    bool file; /* it has a filename */
    bool watched; /* … and is named file: the watcher sees it */
    multipart_watcher *watcher;
    void *watcher_ctx;
    char kept[FORM_KEPT_MAX];
    struct form form;
    bool digesting;
    crypto_hash_sha256_state digest; /* of what the parts say: the boundary is another at every attempt */
};

/* Is this the type of such a body? */
bool multipart_is(struct slice content_type);
/* ST_BAD_REQUEST: the type names no boundary that could be one. digest: multipart_digest is wanted at the end. */
enum status multipart_begin(struct multipart *m, struct slice content_type, bool digest, struct err *err);
/* Before the first byte: whoever wants to see what is in the files named file. */
void multipart_watch(struct multipart *m, multipart_watcher *watcher, void *ctx);
/* ST_BAD_REQUEST, naming the part if it is one of ours. */
enum status multipart_feed(struct multipart *m, struct slice bytes, struct err *err);
/* The body is through: m->form is valid until m is gone. */
enum status multipart_end(struct multipart *m, struct err *err);
void multipart_digest(struct multipart *m, uint8_t to[32]); /* after the end, once */

#endif
