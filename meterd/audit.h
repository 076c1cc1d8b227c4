/* audit: who changed what, in the transaction of the change. Entries are only ever added. */
#ifndef METERD_AUDIT_H
#define METERD_AUDIT_H

#include "meterd/record.h"

struct audit_note {
    struct slice actor; /* usr_…; empty = the CONFIG file at a start */
    const char *action; /* provider.create … */
    struct slice object; /* its name */
    struct slice detail; /* at most LIMIT_TITLE bytes; secrets masked */
};

enum status audit_add(struct work *w, const struct audit_note *note);

#endif
