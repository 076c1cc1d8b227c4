/*
 * monthly: the credit that a plan gives each of its active users once a calendar month (UTC). A row (user, month) is
 * written with the grant, so nothing can grant twice: not a restart, not a repeated round, not a clock that jumps back
 * over the turn of a month (who has the next month's credit does not get this one's). Who joins in the middle of a
 * month gets it then; who changes plans has had it.
 *
 * A round over all users is made at the start, when a month begins and when a plan has changed, in steps that are each
 * one short transaction.
 */
#ifndef METERD_MONTHLY_H
#define METERD_MONTHLY_H

#include "meterd/store.h"

#define MONTHLY_STEP_USERS 200 /* looked at in one step */

bool monthly_due(const struct store *s, uint64_t now_ms); /* is there a step to make? */
/* One step, inside the caller's transaction. Call monthly_stepped when that is committed. */
enum status monthly_step(struct work *w, struct store_months *ret);
void monthly_stepped(struct store *s, const struct store_months *now);
void monthly_again(struct store *s); /* a plan has changed: everybody is looked at again */

/* The same for one user who was made or changed. */
enum status monthly_user(struct work *w, int64_t user_num);

#endif
