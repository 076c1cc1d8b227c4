/*
 * seed: what a database has from the beginning: the three plans, an administrator with a starting credit (so that a
 * newcomer's first paid call works at once), and the built-in prices. The first two only when there is no user yet;
 * prices that a newer program brings are added at every start. All in one transaction: killed anywhere, the next start
 * begins again.
 */
#ifndef METERD_SEED_H
#define METERD_SEED_H

#include "meterd/store.h"
#include "services/ids.h"

#define SEED_ADMIN_CREDIT (10 * MONEY_NANO_PER_USD) /* ADMIN_STARTING_CREDIT of the documentation */
#define SEED_PASSWORD_FILE "admin_password" /* beside the database, mode 0600 */

struct seed_options {
    const char *db_path;
    const char *admin_email;
    const char *admin_password; /* NULL = make a random one */
};

struct seed_report {
    bool first; /* plans and administrator were made */
    uint64_t prices; /* built-in prices added */
    char password[ID_TEXT_SIZE]; /* the random password, to be shown once; empty = the administrator's own */
    char file[STORE_PATH_MAX + 32]; /* where it is kept */
};

enum status seed_run(struct store *s, const struct seed_options *options, struct seed_report *ret, struct err *err);

#endif
