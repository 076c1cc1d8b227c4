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
/* The same with the members that differ as its detail (note->detail is not read), in the form of catalog_diff(). No
 * entry when none does. The two must hold no secret: it would be written down. */
enum status audit_change(struct work *w, const struct audit_note *note, const struct wire_desc *desc,
                         const void *before, const void *after);

#endif
