/* Names of tools, which Anthropic lets be longer than OpenAI does. */
#include "providersvc/dialects/messages_to_chat.h"

struct slice m2c_given_name(const struct m2c_names *names, struct slice sent)
{
    for (size_t i = 0; sent.n == TRANSLATE_NAME_MAX && i < names->n; i++)
        if (slice_is(sent, names->items[i].sent))
            return slice_of(names->items[i].given);
    return sent;
}

enum status m2c_tool_name(struct m2c *t, yyjson_val *object, char *to, struct slice *ret)
{
    yyjson_val *v = NULL;
    enum status st = check_need(&t->r.from, object, "name", IS_STRING, &v);
    struct slice name = facts_text(v);

    if (st != ST_OK)
        return st;
    if (!check_word(name))
        return check_invalid(&t->r.from, "name", "String should match pattern '^[a-zA-Z0-9_-]{1,200}$'");
    if (name.n > M2C_NAME_MAX)
        return check_invalid(&t->r.from, "name", "String should have at most 200 characters");
    *ret = translate_short_name(name, to);
    return ST_OK;
}
