#include "gateway/multipart.h"

#include <string.h>
#include <strings.h>

enum state {
    PREAMBLE, /* before the first boundary: as a part that nobody reads */
    BODY, /* of a part */
    BOUNDARY, /* behind one: its line's end, or the end of all */
    BOUNDARY_DASH, /* the first of the two that end all */
    BOUNDARY_CR,
    HEAD, /* of a part */
    EPILOGUE,
};

static const struct {
    const char *name;
    size_t max; /* bytes kept */
} parts[FORM_PARTS_N] = {
#define PART_ROW(name, id, max) [id] = {name, max},
    FORM_PARTS(PART_ROW)};

static enum status wrong(struct err *err, const char *why)
{
    return err_set(err, ST_BAD_REQUEST, "The multipart body cannot be read: %s.", why);
}

/* ---- header values ----------------------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice skip_spaces(struct slice s)
{
    while (s.n && is_space(*s.p)) {
        s.p++;
        s.n--;
    }
    return s;
}

static bool begins(struct slice s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && !strncasecmp(s.p, with, n);
}

/* Takes one ;name=value from *s. The value loses its quotes. false: there is none, or what is there cannot be read
 * (*ret_bad). */
static bool take_parameter(struct slice *s, struct slice *ret_name, struct slice *ret_value, bool *ret_bad)
{
    struct slice left = skip_spaces(*s);
    size_t n = 0;

    *ret_bad = left.n > 0;
    if (!left.n || *left.p != ';')
        return false;
    left = skip_spaces((struct slice){left.p + 1, left.n - 1});
    while (n < left.n && left.p[n] != '=' && left.p[n] != ';' && !is_space(left.p[n]))
        n++;
    *ret_name = (struct slice){left.p, n};
    left = skip_spaces((struct slice){left.p + n, left.n - n});
    if (!n || !left.n || *left.p != '=') {
        *ret_bad = n > 0 || left.n > 0; /* a ; at the end harms nobody */
        return false;
    }
    left = skip_spaces((struct slice){left.p + 1, left.n - 1});
    n = 0;
    if (left.n && *left.p == '"') {
        left = (struct slice){left.p + 1, left.n - 1};
        while (n < left.n && left.p[n] != '"')
            n += left.p[n] == '\\' ? 2 : 1;
        if (n >= left.n)
            return false;
        *ret_value = (struct slice){left.p, n};
        *s = (struct slice){left.p + n + 1, left.n - n - 1};
    } else {
        while (n < left.n && left.p[n] != ';' && !is_space(left.p[n]))
            n++;
        *ret_value = (struct slice){left.p, n};
        *s = (struct slice){left.p + n, left.n - n};
    }
    *ret_bad = false;
    return true;
}

static bool name_is(struct slice s, const char *text)
{
    return s.n == strlen(text) && !strncasecmp(s.p, text, s.n);
}

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

static const char form_type[] = "multipart/form-data";

bool multipart_is(struct slice type)
{
    size_t n = sizeof(form_type) - 1;

    return begins(type, form_type) && (type.n == n || type.p[n] == ';' || is_space(type.p[n]));
}

static bool fits_boundary(struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '\\') /* a backslash is read in two ways */
            return false;
    return s.n > 0 && s.n <= MULTIPART_BOUNDARY_MAX && s.p[s.n - 1] != ' ';
}

enum status multipart_begin(struct multipart *m, struct slice type, bool digest, struct err *err)
{
    struct slice left = {type.p + sizeof(form_type) - 1, type.n - (sizeof(form_type) - 1)}, name, value;
    struct slice boundary = {NULL, 0};
    bool bad;

    while (take_parameter(&left, &name, &value, &bad)) {
        if (begins(name, "boundary")) { /* boundary* and boundary*0 (RFC 2231) are others to some */
            bad = boundary.p != NULL || !name_is(name, "boundary");
            boundary = value;
        } else if (begins(name, "charset")) { /* there are readers who take the parts' names to be in it */
            bad = !name_is(name, "charset") || !name_is(value, "utf-8");
        }
        if (bad)
            break;
    }
    if (bad || !boundary.p || !fits_boundary(boundary))
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", "content-type",
                             "Invalid header 'content-type': expected multipart/form-data with one boundary of 1 to %u "
                             "characters, and no charset but UTF-8.",
                             MULTIPART_BOUNDARY_MAX);
    memset(m, 0, sizeof(*m));
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.p, boundary.n);
    m->delimiter_n = 4 + boundary.n;
    m->matched = 2; /* as if a line had ended before the body */
    m->part = -1;
    m->digesting = digest;
    if (digest)
        crypto_hash_sha256_init(&m->digest);
    return ST_OK;
}

void multipart_watch(struct multipart *m, multipart_watcher *watcher, void *ctx)
{
    m->watcher = watcher;
    m->watcher_ctx = ctx;
}

/* ---- a part's head ----------------------------------------------------------------------------------------------- */

static char *kept_of(struct multipart *m, int part)
{
    size_t at = 0;
    int i;

    for (i = 0; i < part; i++)
        at += parts[i].max;
    return m->kept + at;
}

/* Servers there are that take "Model" for the model, and n[] and n[0] for n. */
static bool nearly(struct slice name, const char *of)
{
    size_t n = strlen(of);

    return begins(name, of) && (name.n == n || name.p[n] == '[') && !slice_is(name, of);
}

static enum status begin_part(struct multipart *m, struct slice name, struct err *err)
{
    bool named_file = slice_is(name, "file");
    int i;

    for (i = 0; i < FORM_PARTS_N; i++)
        if (nearly(name, parts[i].name))
            return err_set_field(err, ST_BAD_REQUEST, "invalid_value", parts[i].name,
                                 "Unknown parameter: '" SLICE_FMT "'. Did you mean '%s'?", SLICE_ARG(name),
                                 parts[i].name);

    m->form.named_file += named_file;
    m->watched = named_file && m->file && m->watcher;
    m->part = -1;
    for (i = 0; i < FORM_PARTS_N; i++)
        if (slice_is(name, parts[i].name))
            m->part = i;
    m->form.files += m->file;
    if (m->part < 0)
        return ST_OK;
    if (m->file)
        return err_set_field(err, ST_BAD_REQUEST, "invalid_type", parts[m->part].name,
                             "Invalid type for '%s': expected a value, but got a file instead.", parts[m->part].name);
    if (m->form.part[m->part].seen)
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", parts[m->part].name,
                             "Parameter given more than once: '%s'.", parts[m->part].name);
    m->form.part[m->part].seen = true;
    m->form.part[m->part].at = m->form.bytes;
    m->form.part[m->part].kept = (struct slice){kept_of(m, m->part), 0};
    return ST_OK;
}

/* "form-data; name="x"; filename="y"" */
static enum status read_disposition(struct multipart *m, struct slice value, struct slice *ret_name, struct err *err)
{
    struct slice left = skip_spaces(value), name, text;
    bool bad;

    if (!begins(left, "form-data"))
        return wrong(err, "a part is no form-data");
    left = (struct slice){left.p + 9, left.n - 9};
    while (take_parameter(&left, &name, &text, &bad)) {
        m->file |= begins(name, "filename"); /* filename*, filename*0 … (RFC 2231), too */
        if (!begins(name, "name"))
            continue;
        if (ret_name->p || name.n != 4)
            return wrong(err, "a part has two names");
        if (text.n && memchr(text.p, '\\', text.n))
            return wrong(err, "a part's name holds a backslash");
        *ret_name = text;
    }
    return bad ? wrong(err, "a part's Content-Disposition is malformed") : ST_OK;
}

static bool spaced(struct slice line)
{
    const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;

    return colon && colon > line.p && is_space(colon[-1]);
}

static enum status read_head(struct multipart *m, struct err *err)
{
    static const char wanted[] = "content-disposition:";
    struct slice left = {m->head, m->head_n}, name = {NULL, 0};
    enum status st = ST_OK;
    bool said = false;

    if (++m->parts > MULTIPART_PARTS_MAX)
        return wrong(err, "it has too many parts");
    m->file = false;
    while (st == ST_OK && left.n) {
        const char *end = memchr(left.p, '\n', left.n);
        size_t n = end ? (size_t)(end - left.p) : left.n;
        struct slice line = {left.p, n};

        while (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n && is_space(*line.p))
            st = wrong(err, "a part's header goes over two lines");
        else if (spaced(line))
            st = wrong(err, "white space precedes the colon of a part's header");
        else if (begins(line, wanted) && said)
            st = wrong(err, "a part has two Content-Dispositions");
        else if (begins(line, wanted)) {
            said = true;
            line = (struct slice){line.p + sizeof(wanted) - 1, line.n - (sizeof(wanted) - 1)};
            st = read_disposition(m, line, &name, err);
        }
        n += end != NULL;
        left = (struct slice){left.p + n, left.n - n};
    }
    if (st == ST_OK && !name.p)
        st = wrong(err, "a part has no name");
    if (st == ST_OK)
        st = begin_part(m, name, err);
    return st;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static void digest(struct multipart *m, const void *p, size_t n)
{
    if (m->digesting && n)
        crypto_hash_sha256_update(&m->digest, p, n);
}

/* Of the part that is being read. */
static void take_value(struct multipart *m, const char *p, size_t n)
{
    size_t room;

    if (m->state != BODY || !n)
        return;
    digest(m, p, n);
    if (m->file)
        m->form.file_bytes += n;
    if (m->watched)
        m->watcher(m->watcher_ctx, (struct slice){p, n});
    if (m->part < 0)
        return;
    room = parts[m->part].max - m->form.part[m->part].kept.n;
    memcpy(kept_of(m, m->part) + m->form.part[m->part].kept.n, p, n < room ? n : room);
    m->form.part[m->part].kept.n += n < room ? n : room;
    m->form.part[m->part].bytes += n;
}

static void end_part(struct multipart *m)
{
    static const char mark[] = "\r\n--"; /* no part holds what ends it: that mark and the boundary */

    if (m->state == BODY)
        digest(m, mark, sizeof(mark));
    m->part = -1;
    m->file = false;
    m->matched = 0;
    m->state = BOUNDARY;
}

/* Up to the end of the piece or of the part. The delimiter's first byte occurs in it only once, so that what was taken
 * for its beginning cannot hide a later one. Returns how many bytes it took. */
static size_t take_body(struct multipart *m, struct slice s)
{
    size_t i = 0;

    while (i < s.n) {
        const char *cr;
        size_t from = i;

        if (m->matched && s.p[i] == m->delimiter[m->matched]) {
            i++;
            if (++m->matched < m->delimiter_n)
                continue;
            end_part(m);
            return i;
        }
        if (m->matched) {
            take_value(m, m->delimiter, m->matched);
            m->matched = 0;
        }
        cr = memchr(s.p + i, '\r', s.n - i);
        i = cr ? (size_t)(cr - s.p) : s.n;
        take_value(m, s.p + from, i - from);
        if (cr) {
            m->matched = 1;
            i++;
        }
    }
    return i;
}

/* A boundary behind a line that ends with LF alone: there are readers who would take it for one. */
static bool bare_boundary(struct multipart *m, struct slice s)
{
    const char *lf;
    size_t i = 0;

    while (i < s.n) {
        if (m->bare) {
            if (s.p[i] == m->delimiter[1 + m->bare]) {
                i++;
                if (++m->bare < m->delimiter_n - 1)
                    continue;
                m->bare = 0;
                if (!m->bare_cr)
                    return true;
                continue;
            }
            m->bare = 0;
        }
        lf = memchr(s.p + i, '\n', s.n - i);
        if (!lf)
            break;
        i = (size_t)(lf - s.p) + 1;
        m->bare = 1;
        m->bare_cr = (i > 1 ? s.p[i - 2] : m->last) == '\r';
    }
    if (s.n)
        m->last = s.p[s.n - 1];
    return false;
}

static enum status take_head(struct multipart *m, char c, struct err *err)
{
    bool after_cr = m->head_n && m->head[m->head_n - 1] == '\r';
    enum status st;

    if (m->head_n == MULTIPART_HEAD_MAX)
        return wrong(err, "a part's headers are too long");
    if (c == '\0' || (c == '\n') != after_cr)
        return wrong(err, "a part's header holds a NUL, or a line that does not end with CR LF");
    m->head[m->head_n++] = c;
    if (c != '\n')
        return ST_OK;
    if (!(m->head_n == 2 && m->head[0] == '\r') && !(m->head_n >= 4 && !memcmp(m->head + m->head_n - 4, "\r\n\r\n", 4)))
        return ST_OK;
    digest(m, m->head, m->head_n);
    m->bare = 0;
    m->last = '\0';
    m->form.bytes++; /* its value begins behind this byte */
    st = read_head(m, err);
    m->form.bytes--;
    m->state = BODY;
    m->matched = 0;
    return st;
}

static enum status take_byte(struct multipart *m, char c, struct err *err)
{
    switch (m->state) {
    case BOUNDARY:
        if (c == '-')
            m->state = BOUNDARY_DASH;
        else if (c == '\r')
            m->state = BOUNDARY_CR;
        else if (!is_space(c))
            return wrong(err, "something follows a boundary");
        return ST_OK;
    case BOUNDARY_DASH:
        if (c != '-')
            return wrong(err, "something follows a boundary");
        m->state = EPILOGUE;
        return ST_OK;
    case BOUNDARY_CR:
        if (c != '\n')
            return wrong(err, "something follows a boundary");
        m->head_n = 0;
        m->state = HEAD;
        return ST_OK;
    case HEAD: return take_head(m, c, err);
    default: return ST_OK; /* what follows the end is nothing */
    }
}

enum status multipart_feed(struct multipart *m, struct slice s, struct err *err)
{
    enum status st = ST_OK;
    size_t i = 0;

    while (st == ST_OK && i < s.n) {
        struct slice rest = {s.p + i, s.n - i};
        size_t took = 1;

        if (m->state == PREAMBLE || m->state == BODY) {
            took = take_body(m, rest);
            if (bare_boundary(m, (struct slice){rest.p, took}))
                st = wrong(err, "a boundary follows a line that ends with LF alone");
        } else {
            st = take_byte(m, rest.p[0], err);
        }
        i += took;
        m->form.bytes += took;
    }
    return st;
}

enum status multipart_end(struct multipart *m, struct err *err)
{
    return m->state == EPILOGUE ? ST_OK : wrong(err, "it ends before its last boundary");
}

void multipart_digest(struct multipart *m, uint8_t to[32])
{
    crypto_hash_sha256_final(&m->digest, to);
}
