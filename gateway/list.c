#include "gateway/list.h"

#include <string.h>
#include <strings.h>

/* Takes what stands before `end` off the text, with it; all of it when it is not there. */
static struct slice cut(struct slice *text, char end)
{
    const char *at = text->n ? memchr(text->p, end, text->n) : NULL;
    struct slice head = {text->p, at ? (size_t)(at - text->p) : text->n};

    *text = (struct slice){text->p + head.n + (at != NULL), text->n - head.n - (at != NULL)};
    while (head.n && (head.p[0] == ' ' || head.p[0] == '\t'))
        head = (struct slice){head.p + 1, head.n - 1};
    while (head.n && (head.p[head.n - 1] == ' ' || head.p[head.n - 1] == '\t'))
        head.n--;
    return head;
}

static bool is_word(struct slice s, const char *word)
{
    return s.n == strlen(word) && !strncasecmp(s.p, word, s.n);
}

bool list_next(struct slice *list, struct slice *ret)
{
    while (list->n) {
        *ret = cut(list, ',');
        if (ret->n)
            return true;
    }
    return false;
}

bool list_has(struct slice list, const char *word)
{
    struct slice item;

    while (list_next(&list, &item))
        if (is_word(item, word))
            return true;
    return false;
}

/* q=0, q=0.0 … */
static bool weighs_nothing(struct slice parameter)
{
    size_t i;

    if (parameter.n < 3 || strncasecmp(parameter.p, "q=0", 3) != 0)
        return false;
    for (i = 3; i < parameter.n; i++)
        if (parameter.p[i] != '0' && parameter.p[i] != '.')
            return false;
    return true;
}

bool list_accepts(struct slice list, const char *word)
{
    struct slice item;

    while (list_next(&list, &item)) {
        bool wanted = is_word(cut(&item, ';'), word);

        while (wanted && item.n)
            wanted = !weighs_nothing(cut(&item, ';'));
        if (wanted)
            return true;
    }
    return false;
}
