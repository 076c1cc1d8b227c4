#include "providersvc/dialects/dialect.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

#include "proto/limits.h"
#include "proto/tariff.h"

struct slice facts_text(yyjson_val *v)
{
    return (struct slice){yyjson_get_str(v), yyjson_is_str(v) ? yyjson_get_len(v) : 0}; /* lists have a length, too */
}

bool facts_count_of(yyjson_val *v, uint64_t *ret)
{
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) > LIMIT_TOKENS)
        return false;
    *ret = yyjson_get_uint(v);
    return true;
}

uint64_t facts_count(yyjson_val *v)
{
    uint64_t n = 0;

    return facts_count_of(v, &n) ? n : 0;
}

uint64_t facts_whole(uint64_t whole, uint64_t parts)
{
    uint64_t sum = whole + parts < LIMIT_TOKENS ? whole + parts : LIMIT_TOKENS;

    return parts > whole ? sum : whole;
}

uint64_t facts_tier(yyjson_val *v)
{
    return yyjson_is_str(v) ? service_tier_percent(facts_text(v)) : 0;
}

void facts_tally(struct tally *t, yyjson_val *object, const char *key)
{
    yyjson_val *v = yyjson_obj_get(object, key);

    if (yyjson_is_str(v))
        tally_text(t, facts_text(v));
}

void facts_copy(yyjson_val *v, char *to, size_t size)
{
    if (yyjson_is_str(v))
        snprintf(to, size, "%s", yyjson_get_str(v));
    else if (yyjson_is_uint(v))
        snprintf(to, size, "%llu", (unsigned long long)yyjson_get_uint(v));
}

bool facts_pending(const struct facts *f)
{
    return f->state != NULL && (strcmp(f->state, "queued") == 0 || strcmp(f->state, "in_progress") == 0);
}

yyjson_doc *facts_parse(struct slice json, struct facts_scratch *scratch)
{
    yyjson_alc pool;
    yyjson_doc *doc;

    if (scratch != NULL && yyjson_read_max_memory_usage(json.n, 0) < sizeof(scratch->memory) &&
        yyjson_alc_pool_init(&pool, scratch->memory, sizeof(scratch->memory)))
        doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, &pool, NULL); /* not written to without INSITU */
    else
        doc = yyjson_read(json.p, json.n, 0);
    if (doc == NULL || yyjson_is_obj(yyjson_doc_get_root(doc)))
        return doc;
    yyjson_doc_free(doc);
    return NULL;
}
