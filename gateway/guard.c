#include "gateway/guard.h"

#include <string.h>

enum state {
    AT_START,
    AT_START_LF,
    IN_METHOD,
    IN_TARGET,
    IN_VERSION,
    AT_LINE_LF,
    AT_FIELD,
    IN_NAME,
    BEFORE_VALUE,
    IN_VALUE,
    AT_FIELD_LF,
    AT_BLOCK_LF,
    IN_BODY,
    IN_CHUNK_SIZE,
    AT_CHUNK_SIZE_LF,
    IN_CHUNK,
    AT_CHUNK_CR,
    AT_CHUNK_LF,
    AT_LAST_CR,
    AT_LAST_LF,
};

enum field { FIELD_OTHER, FIELD_LENGTH, FIELD_CODING, FIELD_HOST };

#define LENGTH_DIGITS 18u /* fits an int64_t, as everything behind us counts */
#define CHUNK_DIGITS 8u /* 4 GB in one chunk is beyond every body we accept */

static const char version_text[] = "HTTP/1.1";
#define VERSION_N (sizeof(version_text) - 1)

void guard_init(struct guard *g)
{
    *g = (struct guard){.state = AT_START, .verdict = GUARD_OK};
}

bool guard_between(const struct guard *g)
{
    return g->state == AT_START && !g->block && g->verdict == GUARD_OK;
}

static bool refuse(struct guard *g, enum guard_verdict verdict, const char *why)
{
    g->verdict = (uint8_t)verdict;
    g->why = why;
    return false;
}

static bool bad(struct guard *g, const char *why)
{
    return refuse(g, GUARD_BAD, why);
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

/* tchar of RFC 9110, section 5.6.2 */
static bool is_token(unsigned char c)
{
    unsigned char l = lower(c);

    return (l >= 'a' && l <= 'z') || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_host_char(unsigned char c)
{
    unsigned char l = lower(c);

    return (l >= 'a' && l <= 'z') || is_digit(c) || (c && strchr("-._~%!$&'()*+;=:[]", c) != NULL);
}

/* Remembers a byte of a name or value that must be compared; one byte too many spoils the comparison for good. */
static void keep(struct guard *g, unsigned char c)
{
    if (g->kept < GUARD_VALUE_KEEP)
        g->keep[g->kept] = (char)lower(c);
    if (g->kept <= GUARD_VALUE_KEEP)
        g->kept++;
}

static bool kept_is(const struct guard *g, const char *text)
{
    size_t n = strlen(text);

    return g->kept == n && !memcmp(g->keep, text, n);
}

/* One has ended: the next may begin. */
static void begin_message(struct guard *g)
{
    g->whole++;
    g->state = AT_START;
    g->old = g->has_length = g->has_chunked = g->has_host = false;
    g->headers = 0;
    g->block = 0;
    g->left = 0;
    g->kept = 0;
    g->matched = 0;
}

/* ---- request line ------------------------------------------------------------------------------------------------ */

static bool on_start(struct guard *g, unsigned char c)
{
    if (c == '\r' && g->block == 1) { /* one empty line before a request is tolerated: RFC 9112, section 2.2 */
        g->state = AT_START_LF;
        return true;
    }
    if (!is_token(c))
        return bad(g, "The request does not begin with a method.");
    g->state = IN_METHOD;
    g->matched = 1;
    return true;
}

static bool on_method(struct guard *g, unsigned char c)
{
    if (c == ' ') {
        g->state = IN_TARGET;
        g->matched = 0;
        return true;
    }
    if (!is_token(c) || ++g->matched > GUARD_METHOD_MAX)
        return bad(g, "The request's method is not valid.");
    return true;
}

static bool on_target(struct guard *g, unsigned char c)
{
    if (c == ' ' && g->matched) {
        g->state = IN_VERSION;
        g->matched = 0;
        return true;
    }
    if (c <= ' ' || c >= 0x7f || c == '#')
        return bad(g, "The request's target is not valid.");
    if (!g->matched && c != '/')
        return bad(g, "The request's target must be a path that begins with '/'.");
    g->matched = 1;
    return true;
}

static bool on_version(struct guard *g, unsigned char c)
{
    if (g->matched == VERSION_N) {
        if (c != '\r')
            return bad(g, "The request line does not end after the version.");
        g->state = AT_LINE_LF;
        return true;
    }
    if (g->matched == VERSION_N - 3 || g->matched == VERSION_N - 1) { /* the two digits */
        if (g->matched == VERSION_N - 3 ? c != '1' : c != '0' && c != '1')
            return bad(g, "This version of HTTP is not supported; use HTTP/1.1.");
        g->old = g->matched == VERSION_N - 1 && c == '0';
    } else if (c != (unsigned char)version_text[g->matched]) {
        return bad(g, "The request's version is not valid.");
    }
    g->matched++;
    return true;
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

static bool on_field(struct guard *g, unsigned char c)
{
    if (c == '\r') {
        g->state = AT_BLOCK_LF;
        return true;
    }
    if (c == ' ' || c == '\t')
        return bad(g, "A header line is folded or begins with white space.");
    if (!is_token(c))
        return bad(g, "A header's name is not valid.");
    if (++g->headers > GUARD_HEADERS_MAX)
        return refuse(g, GUARD_LARGE, "The request has too many headers.");
    g->kept = 0;
    keep(g, c);
    g->state = IN_NAME;
    return true;
}

static bool end_name(struct guard *g)
{
    g->field = FIELD_OTHER;
    if (kept_is(g, "content-length")) {
        if (g->has_length)
            return bad(g, "The request has more than one Content-Length.");
        g->has_length = true;
        g->field = FIELD_LENGTH;
    } else if (kept_is(g, "transfer-encoding")) {
        if (g->has_chunked)
            return bad(g, "The request has more than one Transfer-Encoding.");
        g->has_chunked = true;
        g->field = FIELD_CODING;
    } else if (kept_is(g, "host")) {
        if (g->has_host)
            return bad(g, "The request has more than one Host.");
        g->has_host = true;
        g->field = FIELD_HOST;
    }
    g->kept = 0;
    g->state = BEFORE_VALUE;
    return true;
}

static bool on_name(struct guard *g, unsigned char c)
{
    if (c == ':')
        return end_name(g);
    if (c == ' ' || c == '\t')
        return bad(g, "There is white space between a header's name and its colon.");
    if (!is_token(c))
        return bad(g, "A header's name is not valid.");
    keep(g, c);
    return true;
}

static bool end_value(struct guard *g)
{
    size_t i;

    while (g->kept && g->kept <= GUARD_VALUE_KEEP && (g->keep[g->kept - 1] == ' ' || g->keep[g->kept - 1] == '\t'))
        g->kept--;
    if (g->field == FIELD_LENGTH) {
        if (g->kept == 0 || g->kept > LENGTH_DIGITS)
            return bad(g, "The Content-Length is not valid.");
        g->left = 0;
        for (i = 0; i < g->kept; i++) {
            if (!is_digit((unsigned char)g->keep[i]))
                return bad(g, "The Content-Length is not valid.");
            g->left = g->left * 10 + (uint64_t)(g->keep[i] - '0');
        }
    }
    if (g->field == FIELD_CODING && !kept_is(g, "chunked"))
        return bad(g, "The only Transfer-Encoding that is supported is 'chunked'.");
    g->state = AT_FIELD_LF;
    return true;
}

/* White space at the end of a Host is OWS, inside it is a second host. */
static bool on_host(struct guard *g, unsigned char c)
{
    if (c == ' ' || c == '\t') {
        g->kept = 1;
        return true;
    }
    if (g->kept || !is_host_char(c))
        return bad(g, "The Host is not valid.");
    return true;
}

static bool on_value(struct guard *g, unsigned char c)
{
    if (c == '\r')
        return end_value(g);
    if ((c < ' ' && c != '\t') || c == 0x7f)
        return bad(g, "A header's value holds a control character.");
    if (g->state == BEFORE_VALUE && (c == ' ' || c == '\t'))
        return true;
    g->state = IN_VALUE;
    if (g->field == FIELD_HOST)
        return on_host(g, c);
    if (g->field != FIELD_OTHER)
        keep(g, c);
    return true;
}

static bool end_block(struct guard *g)
{
    if (g->has_length && g->has_chunked)
        return bad(g, "The request has both Content-Length and Transfer-Encoding.");
    if (g->has_chunked && g->old)
        return bad(g, "HTTP/1.0 has no Transfer-Encoding.");
    if (!g->has_host && !g->old)
        return bad(g, "The request has no Host.");
    if (g->has_chunked) {
        g->kept = 0;
        g->left = 0;
        g->state = IN_CHUNK_SIZE;
    } else if (g->left) {
        g->state = IN_BODY;
    } else {
        begin_message(g);
    }
    return true;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

static int hex_value(unsigned char c)
{
    unsigned char l = lower(c);

    if (is_digit(c))
        return c - '0';
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* No chunk extensions: nobody needs them, and they are where chunk parsers differ. */
static bool on_chunk_size(struct guard *g, unsigned char c)
{
    int digit = hex_value(c);

    if (digit >= 0 && g->kept < CHUNK_DIGITS) {
        g->left = g->left * 16 + (uint64_t)digit;
        g->kept++;
        return true;
    }
    if (c != '\r' || g->kept == 0)
        return bad(g, "The size of a chunk is not valid.");
    g->state = AT_CHUNK_SIZE_LF;
    return true;
}

static bool on_chunk_edge(struct guard *g, unsigned char c)
{
    bool cr = g->state == AT_CHUNK_CR || g->state == AT_LAST_CR;

    if (c != (cr ? '\r' : '\n'))
        return bad(g, g->state == AT_LAST_CR ? "Trailers are not supported." : "The framing of a chunk is not valid.");
    switch (g->state) {
    case AT_CHUNK_SIZE_LF: g->state = g->left ? IN_CHUNK : AT_LAST_CR; break;
    case AT_CHUNK_CR: g->state = AT_CHUNK_LF; break;
    case AT_CHUNK_LF:
        g->kept = 0;
        g->state = IN_CHUNK_SIZE;
        break;
    case AT_LAST_CR: g->state = AT_LAST_LF; break;
    default: begin_message(g);
    }
    return true;
}

/* ---- the machine ------------------------------------------------------------------------------------------------- */

static bool on_lf(struct guard *g, unsigned char c)
{
    if (c != '\n')
        return bad(g, "A carriage return stands alone.");
    if (g->state == AT_BLOCK_LF)
        return end_block(g);
    g->state = g->state == AT_START_LF ? AT_START : AT_FIELD;
    return true;
}

static bool step(struct guard *g, unsigned char c)
{
    switch (g->state) {
    case AT_START: return on_start(g, c);
    case IN_METHOD: return on_method(g, c);
    case IN_TARGET: return on_target(g, c);
    case IN_VERSION: return on_version(g, c);
    case AT_FIELD: return on_field(g, c);
    case IN_NAME: return on_name(g, c);
    case BEFORE_VALUE:
    case IN_VALUE: return on_value(g, c);
    case IN_CHUNK_SIZE: return on_chunk_size(g, c);
    case AT_START_LF:
    case AT_LINE_LF:
    case AT_FIELD_LF:
    case AT_BLOCK_LF: return on_lf(g, c);
    default: return on_chunk_edge(g, c);
    }
}

static bool in_header(const struct guard *g)
{
    return g->state <= AT_BLOCK_LF;
}

size_t guard_feed(struct guard *g, char *bytes, size_t n)
{
    size_t i = 0, whole = 0;

    if (g->verdict != GUARD_OK)
        return 0;
    while (i < n) {
        if (g->state == IN_BODY || g->state == IN_CHUNK) {
            size_t skip = n - i < g->left ? n - i : (size_t)g->left;

            i += skip;
            g->left -= skip;
            if (!g->left && g->state == IN_BODY)
                begin_message(g);
            else if (!g->left)
                g->state = AT_CHUNK_CR;
        } else {
            if (in_header(g) && ++g->block > GUARD_BLOCK_MAX) {
                refuse(g, GUARD_LARGE, "The request's header is too large.");
                return whole;
            }
            if (!step(g, (unsigned char)bytes[i]))
                return whole;
            if (bytes[i] == '\t') /* no other state lets one pass */
                bytes[i] = ' ';
            i++;
        }
        if (g->state == AT_START && !g->block)
            whole = i;
    }
    return n;
}
