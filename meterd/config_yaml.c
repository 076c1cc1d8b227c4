#include "meterd/config_yaml.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 16 /* of what libcyaml says about an error */
#define LINE_MAX_BYTES 160
#define FIELD_SHOWN 64

/* ---- the shape -----------------------------------------------------------------------------------------------------
 */

#define OPTIONAL (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define TEXT(s, member) CYAML_FIELD_STRING_PTR(#member, OPTIONAL, struct s, member, 0, CYAML_UNLIMITED),

static const cyaml_schema_value_t text_schema = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};
static const cyaml_schema_field_t timeouts_fields[] = {YAML_TIMEOUT_TEXTS(TEXT, yaml_timeouts) CYAML_FIELD_END};
static const cyaml_schema_field_t provider_fields[] = {
    YAML_PROVIDER_TEXTS(TEXT, yaml_provider)
        CYAML_FIELD_MAPPING_PTR("timeouts", OPTIONAL, struct yaml_provider, timeouts, timeouts_fields),
    CYAML_FIELD_SEQUENCE("api_keys", OPTIONAL, struct yaml_provider, api_keys, &text_schema, 0, LIMIT_UPSTREAM_KEYS),
    CYAML_FIELD_SEQUENCE("drop_params", OPTIONAL, struct yaml_provider, drop_params, &text_schema, 0, LIMIT_MODELS),
    CYAML_FIELD_END};
static const cyaml_schema_field_t route_fields[] = {YAML_ROUTE_TEXTS(TEXT, yaml_route) CYAML_FIELD_END};
static const cyaml_schema_field_t price_fields[] = {YAML_PRICE_TEXTS(TEXT, yaml_price) CYAML_FIELD_END};
static const cyaml_schema_value_t provider_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct yaml_provider, provider_fields)};
static const cyaml_schema_value_t route_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct yaml_route, route_fields)};
static const cyaml_schema_field_t model_fields[] = {
    YAML_MODEL_TEXTS(TEXT, yaml_model)
        CYAML_FIELD_MAPPING_PTR("price", OPTIONAL, struct yaml_model, price, price_fields),
    CYAML_FIELD_SEQUENCE("aliases", OPTIONAL, struct yaml_model, aliases, &text_schema, 0, LIMIT_MODELS),
    CYAML_FIELD_SEQUENCE("routes", OPTIONAL, struct yaml_model, routes, &route_schema, 0, LIMIT_ROUTES),
    CYAML_FIELD_END};
static const cyaml_schema_value_t model_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct yaml_model, model_fields)};
static const cyaml_schema_field_t config_fields[] = {
    CYAML_FIELD_SEQUENCE("providers", OPTIONAL, struct yaml_config, providers, &provider_schema, 0, LIMIT_PROVIDERS),
    CYAML_FIELD_SEQUENCE("models", OPTIONAL, struct yaml_config, models, &model_schema, 0, CONFIG_MODELS_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct yaml_config, config_fields)};

/* ---- memory: the arena's, so that nothing leaks that libcyaml loses on an error ------------------------------------
 */

struct block {
    size_t room;
    max_align_t data[];
};

/* Lists grow by one item at a time: what grows gets room for as much again. */
static void *memory(void *ctx, void *old, size_t size)
{
    struct block *before = old ? (void *)((char *)old - offsetof(struct block, data)) : NULL, *block;
    size_t room = before ? size * 2 : size;

    if (size == 0)
        return NULL;
    if (before && before->room >= size)
        return old;
    block = arena_alloc(ctx, sizeof(*block) + room);
    if (!block)
        return NULL;
    block->room = room;
    if (before)
        memcpy(block->data, old, before->room);
    return block->data;
}

/* ---- what is wrong -------------------------------------------------------------------------------------------------
 */

struct complaint {
    char lines[LINES_MAX][LINE_MAX_BYTES]; /* what, then where from the inside out */
    size_t n;
    bool more_documents;
};

static void on_log(cyaml_log_t level, void *ctx, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void on_log(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
    struct complaint *c = ctx;
    char *line;

    (void)level;
    if (c->n == LINES_MAX)
        return;
    line = c->lines[c->n];
    (void)vsnprintf(line, LINE_MAX_BYTES, format, args);
    line[strcspn(line, "\n")] = '\0';
    c->more_documents |= strstr(line, "Ignoring documents") != NULL;
    c->n += strncmp(line, "Load: Backtrace", strlen("Load: Backtrace")) != 0;
}

static unsigned line_of(const struct complaint *c)
{
    size_t i;

    for (i = 0; i < c->n; i++) {
        const char *at = strstr(c->lines[i], "(line: ");

        if (at)
            return (unsigned)strtoul(at + strlen("(line: "), NULL, 10);
    }
    return 0;
}

/* libcyaml says where the object began that has an unknown member: the member's own line is found by its name. */
static unsigned line_of_member(struct slice text, const char *name, unsigned from)
{
    const char *p = text.p, *end = text.p + text.n;
    size_t n = strlen(name);
    unsigned line = 1;

    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        const char *at = line >= from ? memmem(p, (size_t)((stop ? stop : end) - p), name, n) : NULL;

        if (at)
            return line;
        if (!stop)
            break;
        p = stop + 1;
        line++;
    }
    return from;
}

/* "in mapping field 'routes' (line …" and "in sequence entry '2' (line …" become routes[1], from the outside in. */
static void path_of(const struct complaint *c, char *to, size_t size)
{
    static const char field[] = "in mapping field '", entry[] = "in sequence entry '";
    size_t i, n = 0;

    to[0] = '\0';
    for (i = c->n; i-- > 0 && n < size;) {
        const char *f = strstr(c->lines[i], field), *e = strstr(c->lines[i], entry);
        int got = 0;

        if (f)
            got = snprintf(to + n, size - n, "%s%.*s", n ? "." : "", (int)strcspn(f + sizeof(field) - 1, "'"),
                           f + sizeof(field) - 1);
        else if (e && strtoul(e + sizeof(entry) - 1, NULL, 10) > 0)
            got = snprintf(to + n, size - n, "[%lu]", strtoul(e + sizeof(entry) - 1, NULL, 10) - 1);
        n += got > 0 ? (size_t)got : 0;
    }
}

static enum status complain(struct slice text, const struct complaint *c, cyaml_err_t code, struct err *err)
{
    static const char load[] = "Load: ", unknown[] = "Unexpected key: ";
    const char *what = c->n > 0 && strncmp(c->lines[0], load, sizeof(load) - 1) == 0 &&
                               strncmp(c->lines[0], "Load:  ", sizeof(load)) != 0
                           ? c->lines[0] + sizeof(load) - 1
                           : cyaml_strerror(code);
    unsigned line = line_of(c);
    char path[FIELD_SHOWN * 2];

    path_of(c, path, sizeof(path));
    if (code == CYAML_ERR_OOM)
        return err_set(err, ST_NO_MEMORY, "no memory for a CONFIG file");
    if (strncmp(what, unknown, sizeof(unknown) - 1) == 0) {
        what += sizeof(unknown) - 1;
        return err_set_field(err, ST_BAD_REQUEST, "unknown_parameter", path, "line %u: unknown member '%.*s'%s%s",
                             line_of_member(text, what, line), FIELD_SHOWN, what, path[0] ? " in " : "", path);
    }
    if (line == 0)
        line = 1; /* of an error in the first token libcyaml says no place */
    return err_set_field(err, ST_BAD_REQUEST, "invalid_value", path, "line %u: %s%s%s", line, what,
                         path[0] ? " in " : "", path);
}

enum status config_yaml_load(struct slice text, struct arena *a, const struct yaml_config **ret, struct err *err)
{
    struct complaint c = {.n = 0};
    const cyaml_config_t config = {.log_fn = on_log,
                                   .log_ctx = &c,
                                   .mem_fn = memory,
                                   .mem_ctx = a,
                                   .log_level = CYAML_LOG_WARNING,
                                   .flags = CYAML_CFG_NO_ALIAS};
    cyaml_data_t *loaded = NULL;
    cyaml_err_t code;

    *ret = NULL;
    if (text.n > LIMIT_CONFIG)
        return err_set(err, ST_BAD_REQUEST, "a CONFIG file has at most %u bytes", LIMIT_CONFIG);
    if (text.n > 0 && memchr(text.p, '\0', text.n))
        return err_set(err, ST_BAD_REQUEST, "the file holds a NUL character");
    code = cyaml_load_data((const uint8_t *)(text.p ? text.p : ""), text.n, &config, &config_schema, &loaded, NULL);
    if (code != CYAML_OK)
        return complain(text, &c, code, err);
    if (c.more_documents)
        return err_set(err, ST_BAD_REQUEST, "the file holds more than one YAML document");
    *ret = (const struct yaml_config *)loaded;
    return ST_OK;
}
