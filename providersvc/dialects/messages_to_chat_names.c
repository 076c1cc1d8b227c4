/* Names of tools, which Anthropic lets be longer than OpenAI does. */
#include <string.h>

#include <sodium.h>

#include "providersvc/dialects/messages_to_chat.h"

#define NAME_DIGEST 8 /* bytes: enough to tell the tools of one client apart */
#define NAME_KEPT (M2C_NAME_SENT_MAX - 2 * NAME_DIGEST - 1) /* of its beginning */

struct slice m2c_sent_name(struct slice name, char *to)
{
    unsigned char digest[crypto_generichash_BYTES];

    if (name.n <= M2C_NAME_SENT_MAX)
        return name;
    (void)crypto_generichash(digest, sizeof(digest), (const unsigned char *)name.p, name.n, NULL, 0);
    memcpy(to, name.p, NAME_KEPT);
    to[NAME_KEPT] = '_';
    (void)sodium_bin2hex(to + NAME_KEPT + 1, 2 * NAME_DIGEST + 1, digest, NAME_DIGEST);
    return (struct slice){to, M2C_NAME_SENT_MAX};
}

struct slice m2c_given_name(const struct m2c_names *names, struct slice sent)
{
    for (size_t i = 0; sent.n == M2C_NAME_SENT_MAX && i < names->n; i++)
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
    *ret = m2c_sent_name(name, to);
    return ST_OK;
}
