#include "meterd/webhook.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "services/address.h"
#include "services/clock.h"

#define HEADER_MAX 256

struct webhook {
    char *url, *secret;
    enum address_reach reach;
    bool forbidden; /* of the post that runs: its name led where it may not */
    size_t answer_bytes;
    atomic_bool aborted;
};

void webhook_sign(const char *secret, uint64_t now_s, struct slice body, char to[WEBHOOK_SIGNATURE])
{
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    char hex[2 * sizeof(mac) + 1], stamp[32];
    crypto_auth_hmacsha256_state state;

    snprintf(stamp, sizeof(stamp), "%" PRIu64 ".", now_s);
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret, strlen(secret));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)stamp, strlen(stamp));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)body.p, body.n);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_bin2hex(hex, sizeof(hex), mac, sizeof(mac));
    snprintf(to, WEBHOOK_SIGNATURE, "t=%" PRIu64 ",v1=%s", now_s, hex);
}

uint64_t webhook_backoff_s(uint64_t tries)
{
    uint64_t s = 1;

    while (tries-- > 1 && s < WEBHOOK_AGAIN_MAX_S)
        s *= 2;
    return s < WEBHOOK_AGAIN_MAX_S ? s : WEBHOOK_AGAIN_MAX_S;
}

/* ---- where it goes -------------------------------------------------------------------------------------------------
 */

static enum status check_url(struct webhook *h, struct err *err)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    bool good = url && curl_url_set(url, CURLUPART_URL, h->url, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_OK;
    bool https = good && !strcmp(scheme, "https");

    if (good)
        h->reach = address_host_reach(slice_of(host));
    good = good && (https || (!strcmp(scheme, "http") && h->reach != ADDRESS_PUBLIC));
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(url);
    if (good)
        return ST_OK;
    return err_set(err, ST_BAD_REQUEST,
                   "ALERT_WEBHOOK_URL: expected an https:// URL without a user, or http:// to a place of one's own");
}

enum status webhook_new(const char *url, const char *secret, struct webhook **ret, struct err *err)
{
    struct webhook *h = calloc(1, sizeof(*h));
    enum status st = ST_NO_MEMORY;

    if (h) {
        h->url = strdup(url);
        h->secret = secret ? strdup(secret) : NULL;
    }
    if (h && h->url && (h->secret || !secret))
        st = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? check_url(h, err) : ST_INTERNAL;
    if (st == ST_OK)
        *ret = h;
    else
        webhook_free(h);
    return st;
}

void webhook_free(struct webhook *h)
{
    if (!h)
        return;
    if (h->secret)
        sodium_memzero(h->secret, strlen(h->secret));
    free(h->secret);
    free(h->url);
    free(h);
}

/* ---- a post --------------------------------------------------------------------------------------------------------
 */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct webhook *h = ctx;

    if (purpose == CURLSOCKTYPE_IPCXN && address_reach(&address->addr) <= h->reach)
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    h->forbidden = true;
    return CURL_SOCKET_BAD;
}

/* The answer's body is of no use: read away, and no more of it than this. */
static size_t on_data(char *bytes, size_t size, size_t n, void *ctx)
{
    struct webhook *h = ctx;

    (void)bytes;
    h->answer_bytes += size * n;
    return h->answer_bytes > WEBHOOK_ANSWER_MAX ? 0 : size * n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct webhook *h = ctx;

    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&h->aborted);
}

void webhook_abort(struct webhook *h)
{
    atomic_store(&h->aborted, true);
}

static bool prepare(struct webhook *h, CURL *e, struct slice body, struct curl_slist *lines)
{
    CURLcode r = curl_easy_setopt(e, CURLOPT_URL, h->url);

    r |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    r |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    r |= curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    r |= curl_easy_setopt(e, CURLOPT_PROXY, "");
    r |= curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    r |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    r |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    r |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    r |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)WEBHOOK_CONNECT_MS);
    r |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)WEBHOOK_MS);
    r |= curl_easy_setopt(e, CURLOPT_USERAGENT, "openai-router");
    r |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, lines);
    r |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    r |= curl_easy_setopt(e, CURLOPT_POSTFIELDS, body.p);
    r |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    r |= curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
    r |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    r |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, h);
    r |= curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    r |= curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    r |= curl_easy_setopt(e, CURLOPT_XFERINFODATA, h);
    return r == CURLE_OK;
}

static bool add_line(struct curl_slist **lines, const char *name, const char *value)
{
    char line[HEADER_MAX];
    struct curl_slist *longer;

    snprintf(line, sizeof(line), "%s: %s", name, value);
    longer = curl_slist_append(*lines, line);
    *lines = longer ? longer : *lines;
    return longer != NULL;
}

static bool make_lines(const struct webhook *h, uint64_t delivery, struct slice body, struct curl_slist **ret)
{
    char signature[WEBHOOK_SIGNATURE], id[32];

    snprintf(id, sizeof(id), "%" PRIu64, delivery);
    if (!add_line(ret, "content-type", "application/json") || !add_line(ret, "x-router-delivery", id))
        return false;
    if (!h->secret)
        return true;
    webhook_sign(h->secret, clock_wall_ms() / 1000, body, signature);
    return add_line(ret, "x-router-signature", signature);
}

enum status webhook_post(struct webhook *h, uint64_t delivery, struct slice body, struct err *err)
{
    CURL *e = curl_easy_init();
    struct curl_slist *lines = NULL;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    long status = 0;

    h->forbidden = false;
    h->answer_bytes = 0;
    if (e && make_lines(h, delivery, body, &lines) && prepare(h, e, body, lines))
        code = curl_easy_perform(e);
    if (code == CURLE_OK)
        curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(e);
    curl_slist_free_all(lines);
    if (code == CURLE_OK && status >= 200 && status < 300)
        return ST_OK;
    if (code == CURLE_OK)
        return err_set(err, ST_UPSTREAM, "it answered %ld", status);
    return err_set(err, ST_UPSTREAM_CONNECT, "%s",
                   h->forbidden ? "its name leads to an address that it may not lead to" : curl_easy_strerror(code));
}
