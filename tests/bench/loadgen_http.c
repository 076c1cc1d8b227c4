#include "loadgen.h"

#include <string.h>
#include <strings.h>

void answer_reset(struct answer *a)
{
    a->state = ANSWER_HEAD;
    a->status = 0;
    a->keep_alive = true;
    a->left = 0;
    a->line_n = 0;
    a->head_n = 0;
    a->rid[0] = '\0';
}

static bool field_is(const char *line, size_t n, const char *name, const char **ret_value)
{
    size_t k = strlen(name);

    if (n <= k || line[k] != ':' || strncasecmp(line, name, k) != 0)
        return false;
    *ret_value = line + k + 1;
    while (*ret_value < line + n && **ret_value == ' ')
        ++*ret_value;
    return true;
}

static void take_field(struct answer *a, const char *line, size_t n)
{
    const char *v = NULL;
    const char *end = line + n;

    if (field_is(line, n, "content-length", &v)) {
        a->state = ANSWER_LENGTH;
        a->left = 0;
        for (; v < end && *v >= '0' && *v <= '9'; v++)
            a->left = a->left * 10 + (uint64_t)(*v - '0');
    } else if (field_is(line, n, "transfer-encoding", &v)) {
        a->state = ANSWER_SIZE;
        a->left = 0;
    } else if (field_is(line, n, "connection", &v)) {
        a->keep_alive = !(end - v >= 5 && strncasecmp(v, "close", 5) == 0);
    } else if (field_is(line, n, "x-request-id", &v)) {
        size_t k = (size_t)(end - v) < RID_MAX ? (size_t)(end - v) : RID_MAX - 1;

        memcpy(a->rid, v, k);
        a->rid[k] = '\0';
    }
}

static void parse_head(struct answer *a)
{
    const char *end = a->head + a->head_n;
    const char *line = memmem(a->head, a->head_n, "\r\n", 2);

    if (a->head_n < 16 || memcmp(a->head, "HTTP/1.", 7) != 0 || !line) {
        a->state = ANSWER_BAD;
        return;
    }
    a->status = (a->head[9] - '0') * 100 + (a->head[10] - '0') * 10 + (a->head[11] - '0');
    a->keep_alive = a->head[7] == '1';
    a->state = ANSWER_TO_CLOSE;
    for (line += 2; line < end; line += 2) {
        const char *eol = memmem(line, (size_t)(end - line), "\r\n", 2);

        if (!eol)
            break;
        take_field(a, line, (size_t)(eol - line));
        line = eol;
    }
    if (a->status == 100) {
        answer_reset(a);
        return;
    }
    if (a->state == ANSWER_TO_CLOSE)
        a->keep_alive = false;
    if (a->state == ANSWER_LENGTH && a->left == 0)
        a->state = ANSWER_DONE;
}

/* Returns how many of the n bytes belonged to the head. */
static size_t take_head(struct answer *a, const char *p, size_t n)
{
    size_t had = a->head_n;
    size_t room = sizeof(a->head) - had;
    size_t take = n < room ? n : room;
    size_t from = had > 3 ? had - 3 : 0;
    const char *end = NULL;

    memcpy(a->head + had, p, take);
    a->head_n += take;
    end = memmem(a->head + from, a->head_n - from, "\r\n\r\n", 4);
    if (!end) {
        if (take < n || a->head_n == sizeof(a->head))
            a->state = ANSWER_BAD;
        return take;
    }
    a->head_n = (size_t)(end - a->head) + 4;
    take = a->head_n - had;
    parse_head(a);
    return take;
}

static void size_byte(struct answer *a, char c)
{
    if (c >= '0' && c <= '9')
        a->left = a->left * 16 + (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        a->left = a->left * 16 + (uint64_t)(c - 'a' + 10);
    else if (c >= 'A' && c <= 'F')
        a->left = a->left * 16 + (uint64_t)(c - 'A' + 10);
    else if (c == '\n')
        a->state = a->line_n < 2 ? ANSWER_BAD : a->left > 0 ? ANSWER_CHUNK : ANSWER_TRAILER;
    else if (c != '\r')
        a->state = ANSWER_BAD;
    a->line_n++;
    if (a->line_n > 18)
        a->state = ANSWER_BAD;
    if (c == '\n')
        a->line_n = 0;
}

static void frame_byte(struct answer *a, char c)
{
    switch (a->state) {
    case ANSWER_SIZE: size_byte(a, c); break;
    case ANSWER_CHUNK_END:
        if (c == '\n')
            a->state = ANSWER_SIZE;
        else if (c != '\r')
            a->state = ANSWER_BAD;
        break;
    case ANSWER_TRAILER:
        if (c == '\n' && a->line_n == 0)
            a->state = ANSWER_DONE;
        else if (c == '\n')
            a->line_n = 0;
        else if (c != '\r')
            a->line_n++;
        break;
    default: a->state = ANSWER_BAD; break;
    }
}

static size_t take_body(struct answer *a, const char *p, size_t n, body_fn *fn, void *arg)
{
    size_t take = n;

    if (a->state != ANSWER_TO_CLOSE && a->left < n)
        take = (size_t)a->left;
    fn(arg, p, take);
    if (a->state == ANSWER_TO_CLOSE)
        return take;
    a->left -= take;
    if (a->left == 0)
        a->state = a->state == ANSWER_LENGTH ? ANSWER_DONE : ANSWER_CHUNK_END;
    return take;
}

size_t answer_take(struct answer *a, const char *p, size_t n, body_fn *fn, void *arg)
{
    size_t at = 0;

    while (at < n && a->state != ANSWER_DONE && a->state != ANSWER_BAD) {
        switch (a->state) {
        case ANSWER_HEAD: at += take_head(a, p + at, n - at); break;
        case ANSWER_LENGTH:
        case ANSWER_CHUNK:
        case ANSWER_TO_CLOSE: at += take_body(a, p + at, n - at, fn, arg); break;
        default: frame_byte(a, p[at++]); break;
        }
    }
    return at;
}
