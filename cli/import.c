/* price import: a file's prices against the router's, model by model. */
#include <stdlib.h>
#include <string.h>

#include "cli/litellm.h"
#include "cli/print.h"
#include "cli/request.h"
#include "cli/special.h"
#include "proto/money.h"

#define PAGES_MAX (LIMIT_LIST / LIMIT_PAGE + 1)
#define PATH_MAX_BYTES 1024
#define FILE_MAX (256L * 1024 * 1024)

struct known { /* prices in force, by name */
    yyjson_doc *pages[PAGES_MAX];
    size_t n_pages;
    yyjson_val **items;
    size_t n;
};

struct import {
    struct http *http;
    const char *only;
    bool dry;
    struct known known;
    size_t set, unchanged, skipped, failed, gratis;
};

/* ---- what the router has ------------------------------------------------------------------------------------------
 */

static enum status get_page(struct http *h, const char *cursor, yyjson_doc **ret, struct err *err)
{
    struct http_request req = {.method = "GET", .auth = HTTP_SESSION};
    struct http_reply reply;
    struct buf path;
    enum status st;

    buf_init(&path, PATH_MAX_BYTES);
    st = buf_addf(&path, "/api/admin/prices?limit=%d", LIMIT_PAGE);
    if (st == ST_OK && cursor)
        st = buf_addf(&path, "&cursor=");
    if (st == ST_OK && cursor)
        st = request_add_escaped(&path, cursor);
    if (st == ST_OK)
        st = buf_add(&path, "", 1);
    req.path = path.p;
    if (st == ST_OK)
        st = http_send(h, &req, &reply, err);
    buf_fini(&path);
    if (st != ST_OK)
        return st;
    st = http_check(&reply, err);
    *ret = st == ST_OK ? yyjson_read(reply.body.p, reply.body.n, 0) : NULL;
    http_reply_fini(&reply);
    if (st == ST_OK && !*ret)
        st = err_set(err, ST_INTERNAL, "the router's answer is not JSON");
    return st;
}

static enum status known_add(struct known *k, yyjson_val *data, struct err *err)
{
    size_t i, n;
    yyjson_val **items = realloc(k->items, (k->n + yyjson_arr_size(data) + 1) * sizeof(*items));
    yyjson_val *item;

    if (!items)
        return err_set(err, ST_NO_MEMORY, "no memory for the router's prices");
    k->items = items;
    yyjson_arr_foreach(data, i, n, item)
    {
        k->items[k->n++] = item;
    }
    return ST_OK;
}

static enum status known_load(struct http *h, struct known *k, struct err *err)
{
    const char *cursor = NULL;
    enum status st = ST_OK;

    do {
        yyjson_val *root;

        if (k->n_pages == PAGES_MAX)
            return err_set(err, ST_TOO_LARGE, "the router has more prices than can be compared");
        st = get_page(h, cursor, &k->pages[k->n_pages], err);
        if (st != ST_OK)
            return st;
        root = yyjson_doc_get_root(k->pages[k->n_pages++]);
        st = known_add(k, yyjson_obj_get(root, "data"), err);
        cursor = yyjson_get_str(yyjson_obj_get(root, "next"));
    } while (st == ST_OK && cursor && *cursor);
    return st;
}

static void known_free(struct known *k)
{
    size_t i;

    for (i = 0; i < k->n_pages; i++)
        yyjson_doc_free(k->pages[i]);
    free(k->items);
}

static int by_model(const void *key, const void *item)
{
    const char *model = yyjson_get_str(yyjson_obj_get(*(yyjson_val *const *)item, "model"));

    return strcmp(key, model ? model : "");
}

static yyjson_val *known_find(const struct known *k, const char *model)
{
    yyjson_val **found = k->n ? bsearch(model, k->items, k->n, sizeof(*k->items), by_model) : NULL;

    return found ? *found : NULL;
}

/* ---- one model ----------------------------------------------------------------------------------------------------
 */

static bool same_price(yyjson_val *is, bool has, int64_t pico)
{
    const char *text = yyjson_get_str(is);
    int64_t now = 0;

    if (!text)
        return !has;
    return has && money_parse_price(slice_of(text), &now, NULL) == ST_OK && now == pico;
}

static bool same_number(yyjson_val *is, uint64_t wanted)
{
    return wanted == 0 || yyjson_get_uint(is) == wanted;
}

static bool unchanged(yyjson_val *is, const struct litellm_entry *e)
{
    size_t i;

    for (i = 0; i < COSTS; i++)
        if (!same_price(yyjson_obj_get(is, litellm_members[i]), e->has[i], e->pico[i]))
            return false;
    return yyjson_get_uint(yyjson_obj_get(is, "tier_above_tokens")) == e->tier_above_tokens &&
           same_number(yyjson_obj_get(is, "context_window"), e->context_window) &&
           same_number(yyjson_obj_get(is, "max_output"), e->max_output) &&
           (!e->mode || yyjson_equals_str(yyjson_obj_get(is, "mode"), e->mode));
}

/* A model that has a price keeps its provider: a new price must not send its calls elsewhere. */
static char *body_of(yyjson_val *name, const struct litellm_entry *e, bool is_new)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *body = yyjson_mut_obj(doc);
    char *text;
    size_t i;

    yyjson_mut_doc_set_root(doc, body);
    yyjson_mut_obj_add_strn(doc, body, "model", yyjson_get_str(name), yyjson_get_len(name));
    for (i = 0; i < COSTS; i++) {
        char price[MONEY_TEXT_MAX];

        if (!e->has[i])
            continue;
        money_format_price(e->pico[i], price);
        yyjson_mut_obj_add_strcpy(doc, body, litellm_members[i], price);
    }
    if (e->tier_above_tokens)
        yyjson_mut_obj_add_uint(doc, body, "tier_above_tokens", e->tier_above_tokens);
    if (e->context_window)
        yyjson_mut_obj_add_uint(doc, body, "context_window", e->context_window);
    if (e->max_output)
        yyjson_mut_obj_add_uint(doc, body, "max_output", e->max_output);
    if (e->mode)
        yyjson_mut_obj_add_str(doc, body, "mode", e->mode);
    if (e->provider && is_new)
        yyjson_mut_obj_add_str(doc, body, "provider", e->provider);
    text = yyjson_mut_write(doc, 0, NULL);
    yyjson_mut_doc_free(doc);
    return text;
}

static enum status send_price(struct http *h, const char *body, struct err *err)
{
    struct http_request req = {.method = "POST", .path = "/api/admin/prices", .body = body, .auth = HTTP_SESSION};
    struct http_reply reply;
    enum status st = http_send(h, &req, &reply, err);

    if (st != ST_OK)
        return st;
    st = http_check(&reply, err);
    if (st != ST_OK && reply.status != 400) /* not this price is at fault: the next would fare no better */
        st = ST_UNAVAILABLE;
    http_reply_fini(&reply);
    return st;
}

static void tell(const char *what, yyjson_val *name, const char *more)
{
    fputs(what, stdout);
    print_value(stdout, name, 0);
    printf("%s%s\n", more[0] ? "  " : "", more);
}

static void tell_price(const char *what, yyjson_val *name, const struct litellm_entry *e)
{
    struct buf line;
    size_t i;

    buf_init(&line, PATH_MAX_BYTES);
    for (i = 0; i < COSTS; i++) {
        char price[MONEY_TEXT_MAX];

        if (!e->has[i])
            continue;
        money_format_price(e->pico[i], price);
        (void)buf_addf(&line, "%s%s %s", line.n ? ", " : "", litellm_members[i], price);
    }
    if (e->tier_above_tokens)
        (void)buf_addf(&line, ", tier_above_tokens %llu", (unsigned long long)e->tier_above_tokens);
    tell(what, name, buf_add(&line, "", 1) == ST_OK ? line.p : "");
    buf_fini(&line);
}

/* ST_OK also when the router refuses this one: that is told and counted, and the next one may be well. */
static enum status import_one(struct import *im, yyjson_val *name, yyjson_val *entry, struct err *err)
{
    struct litellm_entry e;
    yyjson_val *is;
    enum status st = ST_OK;
    char *body;

    if (!litellm_read(name, entry, &e)) {
        im->skipped++;
        tell("skipped   ", name, e.why);
        return ST_OK;
    }
    is = known_find(&im->known, yyjson_get_str(name));
    if (is && unchanged(is, &e)) {
        im->unchanged++;
        return ST_OK;
    }
    body = body_of(name, &e, !is);
    if (!body)
        return err_set(err, ST_NO_MEMORY, "no memory for a request");
    if (!im->dry)
        st = send_price(im->http, body, err);
    free(body);
    if (st != ST_OK && st != ST_BAD_REQUEST)
        return st;
    if (st == ST_BAD_REQUEST) {
        im->failed++;
        tell("refused   ", name, err->text);
        return ST_OK;
    }
    im->set++;
    im->gratis += e.pico[COST_INPUT] == 0 && e.pico[COST_OUTPUT] == 0;
    tell_price(im->dry ? "would set " : "set       ", name, &e);
    return ST_OK;
}

/* ---- the file -----------------------------------------------------------------------------------------------------
 */

static enum status import_all(struct import *im, yyjson_val *root, struct err *err)
{
    yyjson_val *name, *entry;
    enum status st = ST_OK;
    size_t i, n;

    yyjson_obj_foreach(root, i, n, name, entry)
    {
        if (yyjson_equals_str(name, LITELLM_SAMPLE))
            continue;
        if (im->only && strncmp(yyjson_get_str(name), im->only, strlen(im->only)) != 0)
            continue;
        st = import_one(im, name, entry, err);
        if (st != ST_OK)
            break;
    }
    return st;
}

static int summary(const struct import *im)
{
    printf("%zu %s, %zu unchanged, %zu skipped, %zu refused", im->set, im->dry ? "would be set" : "set", im->unchanged,
           im->skipped, im->failed);
    if (im->gratis)
        printf("; %zu of them free of charge", im->gratis);
    fputc('\n', stdout);
    return im->failed ? CLI_FAILED : CLI_OK;
}

static yyjson_doc *read_file(const char *path, struct err *err)
{
    FILE *f = fopen(path, "rb");
    yyjson_read_err why = {0};
    yyjson_doc *doc = NULL;
    bool small = f && fseek(f, 0, SEEK_END) == 0 && ftell(f) >= 0 && ftell(f) <= FILE_MAX && fseek(f, 0, SEEK_SET) == 0;

    if (small)
        doc = yyjson_read_fp(f, YYJSON_READ_NUMBER_AS_RAW, NULL, &why);
    if (f)
        fclose(f);
    if (!f || !small)
        err_set(err, ST_BAD_REQUEST, "%s cannot be read, or is too large", path);
    else if (!doc)
        err_set(err, ST_BAD_REQUEST, "%s is not JSON: %s at byte %zu", path, why.msg, why.pos);
    else if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
        err_set(err, ST_BAD_REQUEST, "%s: expected an object with a member for each model", path);
    else
        return doc;
    yyjson_doc_free(doc);
    return NULL;
}

int special_price_import(struct http *h, const struct command *c, const struct args *a)
{
    struct import im = {.http = h, .only = args_option(a, "only"), .dry = args_option(a, "dry-run") != NULL};
    struct err err = {.status = ST_OK};
    yyjson_doc *doc = read_file(a->values[0], &err);
    enum status st;
    int code;

    (void)c;
    if (!doc)
        return cli_fail(&err);
    st = known_load(h, &im.known, &err);
    if (st == ST_OK)
        st = import_all(&im, yyjson_doc_get_root(doc), &err);
    code = st == ST_OK ? summary(&im) : cli_fail(&err);
    if (st != ST_OK)
        (void)summary(&im); /* what was done before it */
    known_free(&im.known);
    yyjson_doc_free(doc);
    return code;
}
