/*
 * state: the log of changes that other services follow. There is one order of all changes, the revision. Every row that
 * others follow carries the revision of its newest state and a usage row's key is its revision, so the tables
 * themselves are the log, compacted: reading on from a revision gives each object that changed since once, in its
 * present state, and never "too old to say". Pages are safe while writes go on, because an object that changes moves
 * behind the cursor's end.
 *
 * A snapshot leaves out calls, revoked keys and those that expired long ago, but says what the ledger holds: whoever
 * has lost his own holds takes them from there. Those are told in no other way. It claims the revision of its first
 * page, so whoever follows asks for what came after that and gets the settlements that later pages already show;
 * records are states, so seeing one twice is harmless.
 */
#ifndef METERD_STATE_H
#define METERD_STATE_H

#include "meterd/record.h"

#define STATE_PAGE 2000 /* records of a page */
#define STATE_PAGE_BYTES (1024u * 1024u) /* a page ends after this */
#define STATE_EXPIRED_S (UINT64_C(7) * 24 * 3600) /* a snapshot has a key so long after it expired: it is told so */
#define STATE_SESSION_S UINT64_C(3600) /* and a session that ended: longer than any access token is good */
#define STATE_BEHIND_MAX 100000 /* who is further behind gets a snapshot instead of all calls since */

/* Adds the object whose newest state has this revision to the transaction's changes. */
enum status state_changed(struct work *w, const struct wire_desc *desc, uint64_t revision);

/* The same for the user whose credit moved: its record gets a new revision. */
enum status state_touch_user(struct work *w, int64_t user_num, uint64_t revision);

#endif
