/* What Debian 13's static nng and mbedtls expect from glibc 2.38 and Debian 12's 2.36 does not have.
 * Those archives call these names, our own code never does; on a newer glibc this file is empty. */
#include <features.h>
#include <stddef.h>

#if defined(__GLIBC__) && !__GLIBC_PREREQ(2, 38)

#include <stdlib.h>
#include <string.h>

size_t strlcpy(char *restrict dst, const char *restrict src, size_t size);
long __isoc23_strtol(const char *restrict text, char **restrict end, int base);
unsigned long __isoc23_strtoul(const char *restrict text, char **restrict end, int base);
unsigned long long __isoc23_strtoull(const char *restrict text, char **restrict end, int base);

size_t strlcpy(char *restrict dst, const char *restrict src, size_t size)
{
    size_t len = strlen(src);

    if (size > 0) {
        size_t n = len < size ? len : size - 1;

        memcpy(dst, src, n);
        dst[n] = '\0';
    }
    return len;
}

/* C23 differs in accepting "0b101"; neither library parses binary numbers. */
long __isoc23_strtol(const char *restrict text, char **restrict end, int base)
{
    return strtol(text, end, base);
}

unsigned long __isoc23_strtoul(const char *restrict text, char **restrict end, int base)
{
    return strtoul(text, end, base);
}

unsigned long long __isoc23_strtoull(const char *restrict text, char **restrict end, int base)
{
    return strtoull(text, end, base);
}

#else

typedef int compat_is_empty; /* ISO C wants one declaration in a file */

#endif
