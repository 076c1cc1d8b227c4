#include "providersvc/dialects/result_label.h"

#include "proto/limits.h"

#define LABEL_MAX (LIMIT_BODY + 64u) /* bytes */

yyjson_mut_val *result_label(struct making *m, struct slice call_id)
{
    yyjson_mut_val *v = NULL;
    struct buf b;

    buf_init(&b, LABEL_MAX);
    if (buf_addc(&b, "From the result of tool call ") == ST_OK && buf_add(&b, call_id.p, call_id.n) == ST_OK &&
        buf_addc(&b, ":") == ST_OK)
        v = making_copy(m, (struct slice){b.p, b.n});
    m->lost |= v == NULL;
    buf_fini(&b);
    return v;
}
