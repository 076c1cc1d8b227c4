/* The web console's files. They are nobody's secret: what a page shows it asks the API for, with its user's token. */
#include "gateway/console.h"

#include "gateway/answer.h"
#include "gateway/list.h"
#include "gateway/routes.h"

#define INDEX "index.html"
#define LINES_MAX 1024u /* bytes of the headers of such an answer */

/* A page runs its own scripts, talks to its own router, and is framed by nobody. */
#define POLICY                                                                                                         \
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "         \
    "connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'\r\n"             \
    "referrer-policy: no-referrer\r\n"                                                                                 \
    "cross-origin-opener-policy: same-origin\r\n"                                                                      \
    "permissions-policy: camera=(), geolocation=(), microphone=(), payment=(), usb=()\r\n"

static const struct console_file *find_file(struct slice name)
{
    size_t i;

    for (i = 0; i < n_console_files; i++)
        if (slice_is(name, console_files[i].name))
            return &console_files[i];
    return NULL;
}

/* Weak comparison (RFC 9110, section 13.1.2): a proxy that packs what it passes on makes our tags weak. */
static bool has_it(struct slice if_none_match, const char *etag)
{
    struct slice tag;

    while (list_next(&if_none_match, &tag)) {
        if (tag.n > 2 && tag.p[0] == 'W' && tag.p[1] == '/')
            tag = (struct slice){tag.p + 2, tag.n - 2};
        if (slice_is(tag, etag) || slice_is(tag, "*"))
            return true;
    }
    return false;
}

static void answer_file(struct request *r, const struct console_file *file)
{
    bool packed = file->gzip.bytes && list_accepts(r->accept_encoding, "gzip");
    const struct console_bytes *it = packed ? &file->gzip : &file->plain;
    bool known = has_it(r->if_none_match, it->etag);
    struct buf lines;

    buf_init(&lines, LINES_MAX);
    buf_addf(&lines, POLICY "etag: %s\r\n", it->etag);
    if (file->gzip.bytes)
        buf_addf(&lines, "vary: accept-encoding\r\n");
    if (buf_addf(&lines, "%s", packed && !known ? "content-encoding: gzip\r\n" : "") != ST_OK)
        answer_error(r, &(struct err){.status = ST_NO_MEMORY});
    else if (known)
        answer_checked(r, 304, "", (struct slice){lines.p, lines.n}, (struct slice){NULL, 0});
    else
        answer_checked(r, 200, file->type, (struct slice){lines.p, lines.n},
                       (struct slice){(const char *)it->bytes, it->size});
    buf_fini(&lines);
}

void page_console(struct request *r)
{
    struct slice name = r->param.n ? r->param : slice_of(INDEX);
    const struct console_file *file = find_file(name);
    struct err err = {.status = ST_OK};

    if (file) {
        answer_file(r, file);
        return;
    }
    err_set_field(&err, ST_NOT_FOUND, "unknown_url", NULL, "The web console has no file " SLICE_FMT ".",
                  SLICE_ARG(name));
    answer_error(r, &err);
}

/* Relative: a proxy may have put the whole router below a path of its own. */
void page_to_console(struct request *r)
{
    answer_send(r, 302, "", slice_of("location: ./console/\r\n"), (struct slice){NULL, 0});
}
