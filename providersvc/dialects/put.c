#include "providersvc/dialects/put.h"

#include <stdlib.h>

#include <yyjson.h>

#include "services/json.h"

void put_bytes(struct put *p, const void *json, size_t n)
{
    if (p->st == ST_OK && n > 0)
        p->st = buf_add(p->out, json, n);
}

void put_raw(struct put *p, const char *json)
{
    if (p->st == ST_OK)
        p->st = buf_addc(p->out, json);
}

void put_string(struct put *p, struct slice text)
{
    if (p->st == ST_OK)
        p->st = json_add_string(p->out, text);
}

void put_count(struct put *p, uint64_t n)
{
    if (p->st == ST_OK)
        p->st = buf_addu(p->out, n);
}

void put_value(struct put *p, yyjson_val *v)
{
    size_t n = 0;
    char *text = p->st == ST_OK ? yyjson_val_write(v, 0, &n) : NULL;

    if (p->st != ST_OK)
        return;
    if (text == NULL)
        p->st = ST_NO_MEMORY;
    else
        put_bytes(p, text, n);
    free(text);
}

void put_chat_usage(struct put *p, const struct usage *u)
{
    put_raw(p, "{\"prompt_tokens\":");
    put_count(p, u->prompt);
    put_raw(p, ",\"completion_tokens\":");
    put_count(p, u->completion);
    put_raw(p, ",\"total_tokens\":");
    put_count(p, u->prompt + u->completion);
    put_raw(p, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    put_count(p, u->cached);
    put_raw(p, ",\"audio_tokens\":");
    put_count(p, u->audio_in);
    put_raw(p, ",\"cache_write_tokens\":");
    put_count(p, u->write + u->write_long);
    put_raw(p, "},\"completion_tokens_details\":{\"reasoning_tokens\":");
    put_count(p, u->reasoning);
    put_raw(p, ",\"audio_tokens\":");
    put_count(p, u->audio_out);
    put_raw(p, ",\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}");
}
