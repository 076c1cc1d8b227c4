#include "cli/print.h"

#include <string.h>

#include "proto/wire.h"

#define COLUMNS_MAX 16
#define COLUMN_WIDTH_MAX 48
#define NAME_SIZE 64
#define PATH_PARTS_SIZE 512
#define INDENT_MAX 16 /* deeper is not shown: --json has it all */
#define KEY_WIDTH 20

struct column {
    char name[NAME_SIZE];
    int width;
};

/* What a value looks like; numbers are drawn into buf. */
static struct slice text_of(yyjson_val *v, char *buf, size_t size)
{
    int n = 0;

    if (yyjson_is_str(v))
        return (struct slice){yyjson_get_str(v), yyjson_get_len(v)};
    if (yyjson_is_uint(v))
        n = snprintf(buf, size, "%llu", (unsigned long long)yyjson_get_uint(v));
    else if (yyjson_is_sint(v))
        n = snprintf(buf, size, "%lld", (long long)yyjson_get_sint(v));
    else if (yyjson_is_real(v))
        n = snprintf(buf, size, "%g", yyjson_get_real(v));
    else if (yyjson_is_bool(v))
        n = snprintf(buf, size, "%s", yyjson_get_bool(v) ? "yes" : "no");
    else if (yyjson_is_arr(v) || yyjson_is_obj(v))
        n = snprintf(buf, size, "[%zu]", yyjson_is_arr(v) ? yyjson_arr_size(v) : yyjson_obj_size(v));
    return (struct slice){buf, n > 0 ? (size_t)n : 0};
}

/* Names come from strangers: what could move the cursor is shown as a dot. */
static void put_clean(FILE *out, struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        fputc((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? '.' : s.p[i], out);
}

void print_value(FILE *out, yyjson_val *v, int width)
{
    char buf[NAME_SIZE];
    struct slice s = text_of(v, buf, sizeof(buf));
    int pad = width - (int)s.n;

    put_clean(out, s);
    while (pad-- > 0)
        fputc(' ', out);
}

static bool any_has(yyjson_val *rows, const char *name)
{
    size_t i, max;
    yyjson_val *row;
    char buf[NAME_SIZE];

    yyjson_arr_foreach(rows, i, max, row)
    {
        if (text_of(yyjson_obj_get(row, name), buf, sizeof(buf)).n)
            return true;
    }
    return false;
}

static size_t split_columns(const char *columns, yyjson_val *rows, struct column *to)
{
    size_t n = 0;

    while (columns && *columns && n < COLUMNS_MAX) {
        bool maybe = *columns == '?';
        const char *name = columns + maybe;
        size_t len = strcspn(name, ",");

        slice_copy((struct slice){name, len}, to[n].name, sizeof(to[n].name));
        to[n].width = (int)len;
        if (!maybe || any_has(rows, to[n].name))
            n++;
        columns = name + len + (name[len] == ',');
    }
    return n;
}

static void measure(yyjson_val *rows, struct column *columns, size_t n)
{
    size_t i, max, c;
    yyjson_val *row;
    char buf[NAME_SIZE];

    yyjson_arr_foreach(rows, i, max, row)
    {
        for (c = 0; c < n; c++) {
            int width = (int)text_of(yyjson_obj_get(row, columns[c].name), buf, sizeof(buf)).n;

            if (width > COLUMN_WIDTH_MAX)
                width = COLUMN_WIDTH_MAX;
            if (width > columns[c].width)
                columns[c].width = width;
        }
    }
}

static void print_rows(FILE *out, yyjson_val *rows, const char *list)
{
    struct column columns[COLUMNS_MAX];
    size_t n = split_columns(list, rows, columns), i, max, c;
    yyjson_val *row;

    measure(rows, columns, n);
    for (c = 0; c < n; c++)
        fprintf(out, "%-*s%s", columns[c].width, columns[c].name, c + 1 < n ? "  " : "\n");
    yyjson_arr_foreach(rows, i, max, row)
    {
        for (c = 0; c < n; c++) {
            print_value(out, yyjson_obj_get(row, columns[c].name), c + 1 < n ? columns[c].width : 0);
            fputs(c + 1 < n ? "  " : "\n", out);
        }
    }
}

static void print_list_inline(FILE *out, yyjson_val *list)
{
    size_t i, max;
    yyjson_val *v;

    yyjson_arr_foreach(list, i, max, v)
    {
        fputs(i ? "," : "", out);
        print_value(out, v, 0);
    }
}

static void print_object(FILE *out, yyjson_val *object, int indent);

static bool has_objects(yyjson_val *list)
{
    return yyjson_is_obj(yyjson_arr_get_first(list));
}

static void print_objects(FILE *out, yyjson_val *list, int indent)
{
    size_t i, max;
    yyjson_val *v;

    yyjson_arr_foreach(list, i, max, v)
    {
        fprintf(out, "%*s-\n", indent, "");
        if (indent < INDENT_MAX)
            print_object(out, v, indent + 2);
    }
}

static void print_object(FILE *out, yyjson_val *object, int indent)
{
    size_t i, max;
    yyjson_val *k, *v;

    yyjson_obj_foreach(object, i, max, k, v)
    {
        fprintf(out, "%*s", indent, "");
        if (yyjson_is_obj(v) || has_objects(v)) {
            print_value(out, k, 0);
            fputc('\n', out);
            if (yyjson_is_arr(v))
                print_objects(out, v, indent);
            else if (indent < INDENT_MAX)
                print_object(out, v, indent + 2);
            continue;
        }
        print_value(out, k, KEY_WIDTH);
        fputc(' ', out);
        if (yyjson_is_arr(v))
            print_list_inline(out, v);
        else
            print_value(out, v, 0);
        fputc('\n', out);
    }
}

void print_answer(FILE *out, yyjson_val *root, const char *columns)
{
    yyjson_val *data = yyjson_obj_get(root, "data");
    yyjson_val *total = yyjson_obj_get(root, "total");
    const char *next = yyjson_get_str(yyjson_obj_get(root, "next"));

    if (!yyjson_is_arr(data) || !columns) {
        print_object(out, root, 0);
        return;
    }
    if (total)
        print_object(out, total, 0);
    if (!total || yyjson_arr_size(data))
        print_rows(out, data, columns);
    if (next && *next)
        fprintf(out, "more: --cursor %s\n", next);
}

static yyjson_val *step(yyjson_val *at, const char *part)
{
    size_t index = 0;
    const char *p;

    if (yyjson_is_obj(at))
        return yyjson_obj_get(at, part);
    if (!yyjson_is_arr(at) || !*part)
        return NULL;
    for (p = part; *p >= '0' && *p <= '9' && index < 100000; p++)
        index = index * 10 + (size_t)(*p - '0');
    return *p ? NULL : yyjson_arr_get(at, index);
}

enum status print_field(FILE *out, yyjson_val *root, const char *path, struct err *err)
{
    char copy[PATH_PARTS_SIZE];
    char *save = NULL, *part;
    yyjson_val *at = root;

    if (!slice_copy(slice_of(path), copy, sizeof(copy)))
        return err_set(err, ST_BAD_REQUEST, "--field is too long");
    for (part = strtok_r(copy, ".", &save); part && at; part = strtok_r(NULL, ".", &save))
        at = step(at, part);
    if (!at)
        return err_set(err, ST_NOT_FOUND, "the answer has no %s", path);
    print_value(out, at, 0);
    fputc('\n', out);
    return ST_OK;
}
