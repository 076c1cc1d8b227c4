#include "gateway/exposition.h"

#include <string.h>

/* One metric of one text: its comment lines and its samples. */
struct block {
    struct slice name, comments, samples;
    bool shown;
};

static struct slice line_at(struct slice text, size_t at)
{
    const char *end = memchr(text.p + at, '\n', text.n - at);

    return (struct slice){text.p + at, end ? (size_t)(end - text.p) + 1 - at : text.n - at};
}

/* The name in "# HELP name …" or "# TYPE name …". Empty: another line. */
static struct slice commented_name(struct slice line)
{
    struct slice name = {NULL, 0};

    if (line.n < 8 || (memcmp(line.p, "# HELP ", 7) != 0 && memcmp(line.p, "# TYPE ", 7) != 0))
        return name;
    name.p = line.p + 7;
    while (name.n < line.n - 7 && name.p[name.n] != ' ' && name.p[name.n] != '\n')
        name.n++;
    return name;
}

static size_t split(struct slice text, struct block *blocks, size_t max)
{
    size_t at = 0, n = 0;

    while (at < text.n) {
        struct slice line = line_at(text, at), name = commented_name(line);
        struct block *b = n ? &blocks[n - 1] : NULL;

        at += line.n;
        if (name.n && (!b || !slice_eq(b->name, name))) {
            if (n == max)
                return n;
            b = &blocks[n++];
            *b = (struct block){.name = name, .comments = {line.p, 0}, .samples = {line.p + line.n, 0}};
        }
        if (!b)
            continue;
        if (name.n) {
            b->comments.n += line.n;
            b->samples.p = line.p + line.n;
        } else {
            b->samples.n += line.n;
        }
    }
    return n;
}

static enum status add_lines(struct slice lines, struct buf *out)
{
    enum status st = buf_add(out, lines.p, lines.n);

    if (st == ST_OK && lines.n && lines.p[lines.n - 1] != '\n')
        st = buf_add(out, "\n", 1);
    return st;
}

enum status exposition_merge(const struct slice *texts, size_t n_texts, struct arena *a, struct buf *out)
{
    struct block *blocks = arena_alloc(a, EXPOSITION_BLOCKS * sizeof(*blocks));
    enum status st = ST_OK;
    size_t i, k, n = 0;

    if (!blocks)
        return ST_NO_MEMORY;
    for (i = 0; i < n_texts; i++)
        n += split(texts[i], blocks + n, EXPOSITION_BLOCKS - n);
    for (i = 0; i < n && st == ST_OK; i++) {
        if (blocks[i].shown)
            continue;
        st = add_lines(blocks[i].comments, out);
        for (k = i; k < n && st == ST_OK; k++) {
            if (blocks[k].shown || !slice_eq(blocks[k].name, blocks[i].name))
                continue;
            blocks[k].shown = true;
            st = add_lines(blocks[k].samples, out);
        }
    }
    return st;
}
