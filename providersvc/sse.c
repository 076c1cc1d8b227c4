#include "providersvc/sse.h"

#include <string.h>

/* Where the next line ends. A CR at the very end of what is there may be half of a CRLF: not an end yet. */
struct line_end {
    size_t text; /* end of the line's text */
    size_t after; /* first byte of the next line */
};

void sse_init(struct sse *s)
{
    memset(s, 0, sizeof(*s));
    buf_init(&s->carry, SSE_EVENT_MAX);
    buf_init(&s->joined, SSE_EVENT_MAX);
}

void sse_fini(struct sse *s)
{
    buf_fini(&s->carry);
    buf_fini(&s->joined);
}

static bool find_line_end(const char *p, size_t from, size_t n, bool final, struct line_end *ret)
{
    const char *lf = memchr(p + from, '\n', n - from);
    size_t until = lf != NULL ? (size_t)(lf - p) : n;
    const char *cr = memchr(p + from, '\r', until - from);

    if (cr == NULL) {
        if (lf == NULL)
            return false;
        *ret = (struct line_end){until, until + 1};
        return true;
    }
    ret->text = (size_t)(cr - p);
    ret->after = ret->text + 1;
    if (ret->after == n)
        return final;
    if (p[ret->after] == '\n')
        ret->after++;
    return true;
}

static struct slice without_bom(struct slice raw)
{
    static const char bom[3] = {'\xEF', '\xBB', '\xBF'};

    if (raw.n >= sizeof(bom) && memcmp(raw.p, bom, sizeof(bom)) == 0)
        return (struct slice){raw.p + sizeof(bom), raw.n - sizeof(bom)};
    return raw;
}

static enum status add_data(struct sse *s, struct sse_event *ev, struct slice value, size_t *lines)
{
    enum status st = ST_OK;

    *lines += 1;
    if (*lines == 1) {
        ev->data = value;
        return ST_OK;
    }
    if (*lines == 2) {
        s->joined.n = 0;
        st = buf_add(&s->joined, ev->data.p, ev->data.n);
    }
    if (st == ST_OK)
        st = buf_add(&s->joined, "\n", 1);
    if (st == ST_OK)
        st = buf_add(&s->joined, value.p, value.n);
    ev->data = (struct slice){s->joined.p, s->joined.n};
    return st;
}

/* Reads the fields of a whole event. */
static enum status parse_event(struct sse *s, struct slice raw, struct sse_event *ev)
{
    struct slice text = s->begun ? raw : without_bom(raw);
    size_t at = 0, lines = 0;

    *ev = (struct sse_event){.raw = raw};
    s->begun = true;
    while (at < text.n) {
        struct line_end end = {text.n, text.n};
        const char *line = text.p + at;
        size_t n;

        (void)find_line_end(text.p, at, text.n, true, &end);
        n = end.text - at;
        at = end.after;
        if (n == 0 || line[0] == ':')
            continue;
        ev->has_field = true;
        if (n >= 5 && memcmp(line, "data:", 5) == 0) {
            size_t skip = n > 5 && line[5] == ' ' ? 6 : 5;
            enum status st = add_data(s, ev, (struct slice){line + skip, n - skip}, &lines);

            if (st != ST_OK)
                return st;
        } else if (n == 4 && memcmp(line, "data", 4) == 0) {
            enum status st = add_data(s, ev, (struct slice){line + n, 0}, &lines);

            if (st != ST_OK)
                return st;
        }
    }
    ev->one_line = lines == 1;
    return ST_OK;
}

static enum status give(struct sse *s, struct slice raw, sse_take *take, void *ctx)
{
    struct sse_event ev;
    enum status st = parse_event(s, raw, &ev);

    return st != ST_OK ? st : take(ctx, &ev);
}

/* Gives the whole events of p[0..n); *line and *seen say where the search stands. Returns how much was given in
 * *ret_used. */
static enum status cut(struct sse *s, const char *p, size_t n, sse_take *take, void *ctx, size_t *ret_used)
{
    size_t start = 0, line = s->line, seen = s->seen;
    struct line_end end;

    *ret_used = 0;
    while (find_line_end(p, seen, n, false, &end)) {
        bool blank = end.text == line;

        line = end.after;
        seen = end.after;
        if (!blank)
            continue;
        *ret_used = line;
        enum status st = give(s, (struct slice){p + start, line - start}, take, ctx);

        if (st != ST_OK)
            return st;
        start = line;
    }
    s->line = line - start;
    /* a CR at the end is looked at again */
    s->seen = (n > line && p[n - 1] == '\r' ? n - 1 : n) - start;
    return ST_OK;
}

static enum status keep(struct sse *s, const char *p, size_t n)
{
    enum status st = buf_add(&s->carry, p, n);

    if (st != ST_OK)
        s->broken = true;
    return st;
}

enum status sse_feed(struct sse *s, struct slice bytes, sse_take *take, void *ctx)
{
    size_t used = 0;
    enum status st;

    if (s->broken)
        return ST_TOO_LARGE;
    if (bytes.n == 0)
        return ST_OK;
    if (s->carry.n == 0) {
        st = cut(s, bytes.p, bytes.n, take, ctx, &used);
        if (st == ST_OK && used < bytes.n)
            st = keep(s, bytes.p + used, bytes.n - used);
    } else {
        st = keep(s, bytes.p, bytes.n);
        if (st != ST_OK)
            return st;
        st = cut(s, s->carry.p, s->carry.n, take, ctx, &used);
        buf_consume(&s->carry, used);
    }
    if (st != ST_OK)
        s->broken = true;
    return st;
}

enum status sse_end(struct sse *s, sse_take *take, void *ctx)
{
    enum status st = ST_OK;

    if (s->broken)
        return ST_TOO_LARGE;
    if (s->carry.n > 0)
        st = give(s, (struct slice){s->carry.p, s->carry.n}, take, ctx);
    s->carry.n = 0;
    s->line = 0;
    s->seen = 0;
    s->broken = true;
    return st;
}
