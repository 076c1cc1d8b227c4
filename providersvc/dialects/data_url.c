#include "providersvc/dialects/data_url.h"

#include <string.h>
#include <strings.h>

bool slice_starts(struct slice s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && strncasecmp(s.p, with, n) == 0;
}

bool data_url_read(struct slice url, struct data_url *ret)
{
    static const char scheme[] = "data:", mark[] = ";base64";
    const size_t n_scheme = sizeof(scheme) - 1, n_mark = sizeof(mark) - 1;
    const char *comma, *end;

    if (!slice_starts(url, scheme))
        return false;
    comma = memchr(url.p, ',', url.n);
    if (comma == NULL || (size_t)(comma - url.p) < n_scheme + n_mark || strncasecmp(comma - n_mark, mark, n_mark) != 0)
        return false;
    ret->type.p = url.p + n_scheme;
    end = memchr(ret->type.p, ';', (size_t)(comma - ret->type.p));
    ret->type.n = (size_t)(end - ret->type.p); /* the mark's own at the latest */
    ret->base64 = (struct slice){comma + 1, url.n - (size_t)(comma + 1 - url.p)};
    return ret->base64.n > 0 && ret->type.n > 0 && memchr(ret->type.p, '/', ret->type.n) != NULL;
}

bool is_base64(struct slice s)
{
    while (s.n > 0 && s.p[s.n - 1] == '=')
        s.n--;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '+' && c != '/')
            return false;
    }
    return s.n > 0;
}

const char *picture_type(struct slice base64)
{
    static const struct {
        const char *begins, *type; /* in base64: "\xff\xd8\xff", "RIFF", "GIF8" */
    } known[] = {{"/9j/", "image/jpeg"}, {"UklGR", "image/webp"}, {"R0lGOD", "image/gif"}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t n = strlen(known[i].begins);

        if (base64.n >= n && memcmp(base64.p, known[i].begins, n) == 0)
            return known[i].type;
    }
    return "image/png";
}
