/* users: finding and making them, for the other operations. */
#ifndef METERD_USERS_H
#define METERD_USERS_H

#include "meterd/record.h"

/* ST_NOT_FOUND, with a text for people. */
enum status users_find(struct work *w, struct slice id, struct user_row *ret);

/* Whose rows a list shows: actor's where one asks for his own, else for an administrator (actor empty) those of the
 * user whom his filter names, else everybody's: then ret->num is 0. ST_BAD_REQUEST, with param user, for a filter that
 * names nobody, and for one beside an actor. */
enum status users_whose(struct work *w, struct slice actor, struct slice filter, struct user_row *ret);

struct user_new {
    struct slice email, password_hash, name, role, plan;
};
/* Makes the user with an empty account. ST_CONFLICT email_taken. */
enum status users_make(struct work *w, const struct user_new *user, struct user_row *ret);

#endif
