#include <string.h>

#include "meterd/catalog.h"
#include "services/json.h"

#define DIFF_MAX 65536 /* bytes of all members of an object as JSON */

static bool looked_at(const struct wire_field *f, bool with_source)
{
    if (strcmp(f->name, "created") == 0)
        return false;
    return with_source || strcmp(f->name, "source") != 0;
}

/* As JSON a member is what people see of it, so two that look the same are the same. */
static enum status add_if_other(const struct wire_field *f, const void *before, const void *after, struct buf *members,
                                struct buf *names)
{
    struct buf old;
    size_t at;
    enum status st;

    buf_init(&old, DIFF_MAX);
    st = json_encode_member(f, before, &old);
    if (st == ST_OK && members->n > 1)
        st = buf_addc(members, ",");
    at = members->n;
    if (st == ST_OK)
        st = json_encode_member(f, after, members);
    if (st == ST_OK && members->n - at == old.n && memcmp(members->p + at, old.p, old.n) == 0)
        members->n = at > 1 ? at - 1 : at; /* with its comma */
    else if (st == ST_OK)
        st = buf_addf(names, "%s%s", names->n ? ", " : "", f->name);
    buf_fini(&old);
    return st;
}

enum status catalog_diff(struct work *w, const struct wire_desc *desc, const void *before, const void *after,
                         bool with_source, struct slice *ret)
{
    struct buf members, names;
    enum status st;
    uint32_t i;

    *ret = (struct slice){NULL, 0};
    buf_init(&members, (size_t)DIFF_MAX * 4);
    buf_init(&names, LIMIT_TITLE);
    st = buf_addc(&members, "{");
    for (i = 0; i < desc->n_fields && st == ST_OK; i++)
        if (looked_at(&desc->fields[i], with_source))
            st = add_if_other(&desc->fields[i], before, after, &members, &names);
    if (st == ST_OK)
        st = buf_addc(&members, "}");
    if (st == ST_OK && names.n > 0) {
        bool fits = members.n <= LIMIT_TITLE;

        *ret = arena_copy(w->a, fits ? (struct slice){members.p, members.n} : (struct slice){names.p, names.n}, &st);
    }
    buf_fini(&members);
    buf_fini(&names);
    return st == ST_OK ? st : err_set(w->err, st, "no memory to compare two versions");
}
