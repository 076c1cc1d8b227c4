/*
 * webhook: posts alerts to ALERT_WEBHOOK_URL. One post at a time, blocking: its caller is the thread of alerts
 * (watch.h). No redirects, TLS verified, no proxy, an answer of WEBHOOK_ANSWER_MAX bytes at most, all of it within
 * WEBHOOK_MS. Where the URL's name leads is judged when the connection is made (services/address.h): a public name
 * never leads inside.
 *
 * Signed as `x-router-signature: t=SECONDS,v1=HEX`, HEX the HMAC-SHA256 of "SECONDS.BODY" under ALERT_WEBHOOK_SECRET:
 * a receiver refuses what is old, or differs. `x-router-delivery` is the same for every try of one delivery.
 */
#ifndef METERD_WEBHOOK_H
#define METERD_WEBHOOK_H

#include "proto/status.h"
#include "proto/wire.h"

#define WEBHOOK_MS 10000
#define WEBHOOK_CONNECT_MS 5000
#define WEBHOOK_ANSWER_MAX 65536u
#define WEBHOOK_AGAIN_MAX_S 300 /* between two tries; they begin with a second, and double */
#define WEBHOOK_GIVE_UP_S (UINT64_C(24) * 3600) /* a delivery that is older is given up */
#define WEBHOOK_SIGNATURE 128 /* bytes of the header's value, its NUL included */

struct webhook;

/* ST_BAD_REQUEST names the setting: no http or https URL, or http to a public name. secret NULL = not signed. */
enum status webhook_new(const char *url, const char *secret, struct webhook **ret, struct err *err);
void webhook_free(struct webhook *h); /* NULL is fine */
/* ST_OK: it was taken (2xx). Else err says why, without the URL. */
enum status webhook_post(struct webhook *h, uint64_t delivery, struct slice body, struct err *err);

void webhook_abort(struct webhook *h); /* any thread: a post that runs ends soon, and none is made any more */

void webhook_sign(const char *secret, uint64_t now_s, struct slice body, char to[WEBHOOK_SIGNATURE]);
uint64_t webhook_backoff_s(uint64_t tries); /* after so many that failed, the last included */

#endif
