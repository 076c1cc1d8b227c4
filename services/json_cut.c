#include <stdint.h>
#include <string.h>

#include "services/json.h"

/* Steps through the members of an object. The text was parsed before, so what is not JSON ends the walk, no more. */
struct walk {
    const char *p;
    size_t n, pos;
    bool more; /* a comma was passed: another member is due */
};

enum step { STEP_MEMBER, STEP_END, STEP_BROKEN };

static void skip_space(struct walk *w)
{
    while (w->pos < w->n &&
           (w->p[w->pos] == ' ' || w->p[w->pos] == '\t' || w->p[w->pos] == '\n' || w->p[w->pos] == '\r'))
        w->pos++;
}

static bool take(struct walk *w, char c)
{
    skip_space(w);
    if (w->pos >= w->n || w->p[w->pos] != c)
        return false;
    w->pos++;
    return true;
}

/* From the opening quote past the closing one: the first that an even number of backslashes stands before. */
static bool skip_string(struct walk *w)
{
    size_t from = w->pos + 1;

    for (w->pos = from; w->pos < w->n;) {
        const char *quote = memchr(w->p + w->pos, '"', w->n - w->pos);
        size_t at, slashes = 0;

        if (!quote)
            break;
        at = (size_t)(quote - w->p);
        while (at - slashes > from && w->p[at - slashes - 1] == '\\')
            slashes++;
        w->pos = at + 1;
        if (slashes % 2 == 0)
            return true;
    }
    w->pos = w->n;
    return false;
}

static bool skip_nested(struct walk *w)
{
    size_t depth = 0;

    while (w->pos < w->n) {
        switch (w->p[w->pos]) {
        case '"':
            if (!skip_string(w))
                return false;
            continue;
        case '{':
        case '[': depth++; break;
        case '}':
        case ']': depth--; break;
        default: break;
        }
        w->pos++;
        if (depth == 0)
            return true;
    }
    return false;
}

static bool ends_scalar(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool skip_value(struct walk *w)
{
    size_t from = w->pos;

    if (w->pos >= w->n)
        return false;
    if (w->p[w->pos] == '"')
        return skip_string(w);
    if (w->p[w->pos] == '{' || w->p[w->pos] == '[')
        return skip_nested(w);
    while (w->pos < w->n && !ends_scalar(w->p[w->pos]))
        w->pos++;
    return w->pos > from;
}

static bool open_object(struct walk *w, struct slice object)
{
    *w = (struct walk){.p = object.p, .n = object.n};
    return take(w, '{');
}

/* After STEP_END pos is at the closing brace. */
static enum step next_member(struct walk *w, struct json_cut *ret)
{
    skip_space(w);
    if (w->pos < w->n && w->p[w->pos] == '}')
        return w->more ? STEP_BROKEN : STEP_END;
    if (w->pos >= w->n || w->p[w->pos] != '"')
        return STEP_BROKEN;
    ret->key = w->pos;
    if (!skip_string(w))
        return STEP_BROKEN;
    ret->key_end = w->pos;
    if (!take(w, ':'))
        return STEP_BROKEN;
    skip_space(w);
    ret->value = w->pos;
    if (!skip_value(w))
        return STEP_BROKEN;
    ret->value_end = w->pos;
    w->more = take(w, ',');
    if (!w->more && (w->pos >= w->n || w->p[w->pos] != '}'))
        return STEP_BROKEN;
    return STEP_MEMBER;
}

/* --- keys ----------------------------------------------------------------------------------------------------------
 */

static bool hex4(const char *p, size_t n, uint32_t *ret)
{
    uint32_t v = 0;
    size_t i;

    if (n < 4)
        return false;
    for (i = 0; i < 4; i++) {
        char c = p[i];

        v <<= 4;
        if (c >= '0' && c <= '9')
            v |= (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v |= (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

static size_t put_utf8(uint32_t c, char to[4])
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The character that the escape at p (after the backslash) means. Returns the escape's length, 0 = not one. */
static size_t unescape(const char *p, size_t n, char to[4], size_t *ret_n)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    uint32_t c = 0, low = 0;
    const char *named;

    if (n == 0 || p[0] == '\0')
        return 0;
    named = strchr(names, p[0]);
    if (named) {
        to[0] = means[named - names];
        *ret_n = 1;
        return 1;
    }
    if (p[0] != 'u' || !hex4(p + 1, n - 1, &c))
        return 0;
    if (c >= 0xd800 && c < 0xdc00 && n >= 11 && p[5] == '\\' && p[6] == 'u' && hex4(p + 7, n - 7, &low) &&
        low >= 0xdc00 && low < 0xe000) {
        *ret_n = put_utf8(0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), to);
        return 11;
    }
    *ret_n = put_utf8(c, to);
    return 5;
}

/* Is the key between the quotes, unescaped, this one? */
static bool key_is(struct slice raw, struct slice key)
{
    size_t i = 0, k = 0;

    if (!memchr(raw.p, '\\', raw.n))
        return slice_eq(raw, key);
    while (i < raw.n) {
        char c[4] = {raw.p[i]};
        size_t n = 1, len = 0;

        if (raw.p[i++] == '\\') {
            len = unescape(raw.p + i, raw.n - i, c, &n);
            if (len == 0)
                return false;
        }
        i += len;
        if (key.n - k < n || memcmp(key.p + k, c, n) != 0)
            return false;
        k += n;
    }
    return k == key.n;
}

static bool member_is(const struct walk *w, const struct json_cut *m, struct slice key)
{
    return key_is((struct slice){w->p + m->key + 1, m->key_end - m->key - 2}, key);
}

/* --- cuts ----------------------------------------------------------------------------------------------------------
 */

bool json_find(struct slice object, const char *key, struct json_cut *ret)
{
    struct slice wanted = slice_of(key);
    struct json_cut m;
    struct walk w;
    bool found = false;

    if (!open_object(&w, object))
        return false;
    while (next_member(&w, &m) == STEP_MEMBER) {
        if (member_is(&w, &m, wanted)) {
            *ret = m;
            found = true;
        }
    }
    return found;
}

/* Adds a member before the closing brace at pos. */
static enum status add_member(struct slice object, size_t pos, const char *key, struct slice raw, struct buf *out)
{
    struct json_cut first;
    struct walk w;
    bool empty = open_object(&w, object) && next_member(&w, &first) != STEP_MEMBER;
    enum status st = buf_add(out, object.p, pos);

    if (st == ST_OK && !empty)
        st = buf_add(out, ",", 1);
    if (st == ST_OK)
        st = json_add_string(out, slice_of(key));
    if (st == ST_OK)
        st = buf_add(out, ":", 1);
    if (st == ST_OK)
        st = buf_add(out, raw.p, raw.n);
    if (st == ST_OK)
        st = buf_add(out, object.p + pos, object.n - pos);
    return st;
}

static enum status replace_value(struct slice object, const struct json_cut *m, struct slice raw, struct buf *out)
{
    enum status st = buf_add(out, object.p, m->value);

    if (st == ST_OK)
        st = buf_add(out, raw.p, raw.n);
    if (st == ST_OK)
        st = buf_add(out, object.p + m->value_end, object.n - m->value_end);
    return st;
}

enum status json_splice(struct slice object, const char *key, struct slice raw, struct buf *out)
{
    struct slice wanted = slice_of(key);
    struct json_cut m, found = {0};
    size_t before = out->n;
    struct walk w;
    enum step step;
    enum status st;

    if (!open_object(&w, object))
        return ST_BAD_REQUEST;
    while ((step = next_member(&w, &m)) == STEP_MEMBER)
        if (member_is(&w, &m, wanted))
            found = m;
    if (step == STEP_BROKEN)
        return ST_BAD_REQUEST;
    st = found.key_end ? replace_value(object, &found, raw, out) : add_member(object, w.pos, key, raw, out);
    if (st != ST_OK)
        out->n = before;
    return st;
}

/* Every member of that name goes: were only the last removed, an earlier one would come into force. */
enum status json_remove(struct slice object, const char *key, struct buf *out)
{
    struct slice wanted = slice_of(key);
    size_t before = out->n, kept = 0; /* kept: what is before it has been copied or dropped */
    size_t last_end = 0; /* of the last member that stays; 0 = none yet */
    enum status st = ST_OK;
    struct json_cut m;
    struct walk w;
    enum step step;

    if (!open_object(&w, object))
        return ST_BAD_REQUEST;
    while (st == ST_OK && (step = next_member(&w, &m)) == STEP_MEMBER) {
        size_t from, to;

        if (!member_is(&w, &m, wanted)) {
            last_end = m.value_end;
            continue;
        }
        /* with the comma before it, or, when nothing stays before it, with the one behind it */
        from = last_end ? last_end : m.key;
        to = !last_end && w.more ? w.pos : m.value_end;
        if (from < kept)
            from = kept;
        st = buf_add(out, object.p + kept, from - kept);
        kept = to;
    }
    if (st == ST_OK && step == STEP_BROKEN)
        st = ST_BAD_REQUEST;
    if (st == ST_OK)
        st = buf_add(out, object.p + kept, object.n - kept);
    if (st != ST_OK)
        out->n = before;
    return st;
}
