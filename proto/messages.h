/*
 * Every message of the house, declared once. The row of a field: F(m, tag, kind, name, need, limit, doc); of a list of
 * messages: L(m, tag, item, name, limit, doc). Rules: a tag or a type number is never used again for something else, a
 * kind never changes, a new field is OPT. tests/golden holds the wire format against accidents.
 *
 * Where a message is also an object of the HTTP API, its JSON is its declaration: the field's name is the member's name
 * (…_nano appears as …_usd, a decimal string), so the API's shape and the bus' cannot drift apart.
 *
 * Numbers: 0x00xx any service, 0x01xx authsvc, 0x02xx providersvc, 0x03xx meterd, 0x04xx feed records, 0x05xx parts of
 * others.
 */
#ifndef PROTO_MESSAGES_H
#define PROTO_MESSAGES_H

#include "proto/limits.h"
#include "proto/wire.h"

/* clang-format off */

/* ---- parts of other messages ---------------------------------------------------------------------------------- */

#define RATE_LIMITS(F, L, m)                                                                                           \
    F(m, 1, U64, limit_requests,     REQ, LIMIT_COUNT, "requests per minute allowed; 0 = unlimited")                   \
    F(m, 2, U64, remaining_requests, REQ, LIMIT_COUNT, "requests left now")                                            \
    F(m, 3, U64, reset_requests_ms,  REQ, LIMIT_MS,    "until the whole request limit is free again")                  \
    F(m, 4, U64, limit_tokens,       REQ, LIMIT_COUNT, "tokens per minute allowed; 0 = unlimited")                     \
    F(m, 5, U64, remaining_tokens,   REQ, LIMIT_COUNT, "tokens left now")                                              \
    F(m, 6, U64, reset_tokens_ms,    REQ, LIMIT_MS,    "until the whole token limit is free again")

#define FAULT(F, L, m)                                                                                                 \
    F(m, 1, STR, code,           OPT, ERR_CODE_MAX - 1,  "OpenAI error.code; empty = the status' default")             \
    F(m, 2, STR, param,          OPT, ERR_PARAM_MAX - 1, "the field at fault")                                         \
    F(m, 3, STR, text,           OPT, ERR_TEXT_MAX - 1,  "for a human")                                                \
    F(m, 4, U64, retry_after_ms, OPT, LIMIT_MS,          "when to try again; 0 = not said")                            \
    L(m, 5, rate_limits, limits, 1,                      "the caller's limits, when admission refused")

#define PRICE(F, L, m)                                                                                                 \
    F(m, 1, U64,  id,                    OPT, LIMIT_ID,        "version of this price; each change makes another")     \
    F(m, 2, STR,  model,                 REQ, LIMIT_MODEL,     "model name as clients say it")                         \
    F(m, 3, STR,  provider,              OPT, LIMIT_NAME,      "provider that serves it")                              \
    F(m, 4, PICO, input_pico,            REQ, MONEY_PICO_MAX,  "per input token")                                      \
    F(m, 5, PICO, cached_input_pico,     OPT, MONEY_PICO_MAX,  "per input token read from a cache; absent = as input") \
    F(m, 6, PICO, cache_write_pico,      OPT, MONEY_PICO_MAX,  "per token written to a short-lived cache; absent = as input") \
    F(m, 7, PICO, cache_write_long_pico, OPT, MONEY_PICO_MAX,  "per token written to a long-lived cache; absent = as input") \
    F(m, 8, PICO, output_pico,           REQ, MONEY_PICO_MAX,  "per output token, reasoning included")                 \
    F(m, 9, U64,  context_window,        OPT, LIMIT_TOKENS,    "tokens of prompt and answer together; 0 = not known")  \
    F(m, 10, U64, max_output,            OPT, LIMIT_TOKENS,    "tokens of an answer at most; 0 = not known")           \
    F(m, 11, U64, created,               OPT, LIMIT_TIME,      "Unix seconds from which this version holds")           \
    F(m, 12, BOOL, builtin,              OPT, 1,               "from the built-in table, not set by an administrator") \
    F(m, 13, U64,  tier_above_tokens,         OPT, LIMIT_TOKENS,   "with more input than this the tier's prices hold for the whole request") \
    F(m, 14, PICO, tier_input_pico,           OPT, MONEY_PICO_MAX, "as input, in the tier")                           \
    F(m, 15, PICO, tier_cached_input_pico,    OPT, MONEY_PICO_MAX, "as cached_input, in the tier")                    \
    F(m, 16, PICO, tier_cache_write_pico,     OPT, MONEY_PICO_MAX, "as cache_write, in the tier")                     \
    F(m, 17, PICO, tier_cache_write_long_pico, OPT, MONEY_PICO_MAX, "as cache_write_long, in the tier")               \
    F(m, 18, PICO, tier_output_pico,          OPT, MONEY_PICO_MAX, "as output, in the tier")                          \
    F(m, 19, STR,  mode,                      OPT, LIMIT_NAME,     "chat, embedding, image, audio …")

#define USER(F, L, m)                                                                                                  \
    F(m, 1, STR,  id,           REQ, LIMIT_ID_TEXT, "usr_…")                                                           \
    F(m, 2, STR,  email,        REQ, LIMIT_EMAIL,   "unique, lower case")                                              \
    F(m, 3, STR,  name,         OPT, LIMIT_TITLE,   "for people")                                                      \
    F(m, 4, STR,  role,         REQ, LIMIT_NAME,    "user or admin")                                                   \
    F(m, 5, STR,  plan,         REQ, LIMIT_NAME,    "name of the plan")                                                \
    F(m, 6, STR,  status,       REQ, LIMIT_NAME,    "active or disabled")                                              \
    F(m, 7, NANO, balance_nano, REQ, MONEY_NANO_MAX, "settled credit; what is held is still in it")                    \
    F(m, 8, U64,  created,      REQ, LIMIT_TIME,    "Unix seconds")

#define API_KEY(F, L, m)                                                                                               \
    F(m, 1, STR,  id,          REQ, LIMIT_ID_TEXT, "key_…")                                                            \
    F(m, 2, STR,  user_id,     REQ, LIMIT_ID_TEXT, "who owns it")                                                      \
    F(m, 3, STR,  name,        REQ, LIMIT_TITLE,   "for people")                                                       \
    F(m, 4, STR,  prefix,      REQ, LIMIT_NAME,    "the beginning of the secret, to tell keys apart")                  \
    F(m, 5, U64,  rpm,         OPT, LIMIT_COUNT,   "requests per minute; 0 = the plan's")                              \
    F(m, 6, U64,  tpm,         OPT, LIMIT_COUNT,   "tokens per minute; 0 = the plan's")                                \
    F(m, 7, U64,  concurrency, OPT, LIMIT_COUNT,   "requests at once; 0 = the plan's")                                 \
    F(m, 8, STRS, models,      OPT, LIMIT_MODELS,  "models allowed, * at the end matches any rest; none = the plan's") \
    F(m, 9, U64,  expires_at,  OPT, LIMIT_TIME,    "Unix seconds; 0 = never")                                          \
    F(m, 10, STR, status,      REQ, LIMIT_NAME,    "active or revoked")                                                \
    F(m, 11, U64, created,     REQ, LIMIT_TIME,    "Unix seconds")

#define PLAN(F, L, m)                                                                                                  \
    F(m, 1, STR,  name,        REQ, LIMIT_NAME,   "free, pro, unlimited or your own")                                  \
    F(m, 2, U64,  rpm,         OPT, LIMIT_COUNT,  "requests per minute and key; 0 = unlimited")                        \
    F(m, 3, U64,  tpm,         OPT, LIMIT_COUNT,  "tokens per minute and key; 0 = unlimited")                          \
    F(m, 4, U64,  concurrency, OPT, LIMIT_COUNT,  "requests of a key at once; 0 = unlimited")                          \
    F(m, 5, U64,  max_keys,    OPT, LIMIT_COUNT,  "active keys of a user; 0 = unlimited")                              \
    F(m, 6, STRS, models,      OPT, LIMIT_MODELS, "models allowed, * at the end matches any rest; none = all")

#define PROVIDER(F, L, m)                                                                                              \
    F(m, 1, STR,  name, REQ, LIMIT_NAME, "as in provider/model")                                                       \
    F(m, 2, STR,  kind, REQ, LIMIT_NAME, "openai, echo …: the adapter")

#define MODEL_INFO(F, L, m)                                                                                            \
    F(m, 1, STR, id,       REQ, LIMIT_MODEL, "model name")                                                             \
    F(m, 2, STR, object,   REQ, LIMIT_NAME,  "always model")                                                           \
    F(m, 3, U64, created,  REQ, LIMIT_TIME,  "Unix seconds")                                                           \
    F(m, 4, STR, owned_by, REQ, LIMIT_NAME,  "provider")

#define HEALTH_CHECK(F, L, m)                                                                                          \
    F(m, 1, STR,  name,   REQ, LIMIT_NAME,  "what was checked: a dependency or a resource")                            \
    F(m, 2, BOOL, ok,     REQ, 1,           "is it well?")                                                             \
    F(m, 3, STR,  detail, OPT, LIMIT_TITLE, "what is wrong, or a figure")

/* ---- any service ------------------------------------------------------------------------------------------------ */

#define EMPTY(F, L, m)                                                                                                 \
    F(m, 1, U64, revision, OPT, LIMIT_ID, "of the state after a change; 0 = nothing changed")

#define HEALTH_REQ(F, L, m)                                                                                            \
    F(m, 1, BOOL, ready_only, OPT, 1, "skip what is slow to look at")

#define HEALTH_REP(F, L, m)                                                                                            \
    F(m, 1, STR,  service,   REQ, LIMIT_NAME, "gateway, authsvc, providersvc or meterd")                               \
    F(m, 2, STR,  instance,  REQ, LIMIT_NAME, "instance id")                                                           \
    F(m, 3, STR,  version,   REQ, LIMIT_NAME, "of the program")                                                        \
    F(m, 4, BOOL, ready,     REQ, 1,          "takes work")                                                            \
    F(m, 5, BOOL, draining,  OPT, 1,          "is shutting down")                                                      \
    F(m, 6, U64,  uptime_ms, REQ, LIMIT_ID,   "since start")                                                           \
    F(m, 7, U64,  rss_bytes, REQ, LIMIT_ID,   "resident memory of the process")                                        \
    L(m, 8, health_check, checks, 32,         "what the service looked at")

#define METRICS_REQ(F, L, m)                                                                                           \
    F(m, 1, BOOL, unused, OPT, 1, "no arguments")

#define METRICS_REP(F, L, m)                                                                                           \
    F(m, 1, BIN, text, REQ, LIMIT_METRICS, "Prometheus text format 0.0.4")

/* ---- authsvc ---------------------------------------------------------------------------------------------------- */

#define ADMIT_REQ(F, L, m)                                                                                             \
    F(m, 1, STR,  request_id,        REQ, LIMIT_ID_TEXT, "req_…: made by the gateway, unique for ever")                \
    F(m, 2, BIN,  key_digest,        REQ, LIMIT_DIGEST,  "SHA-256 of the API key; the key itself stays in the gateway") \
    F(m, 3, STR,  model,             REQ, LIMIT_MODEL,   "as the client said it")                                      \
    F(m, 4, STR,  endpoint,          REQ, LIMIT_NAME,    "chat.completions …")                                         \
    F(m, 5, U64,  prompt_tokens_estimate, REQ, LIMIT_TOKENS, "upper estimate of the prompt")                           \
    F(m, 6, U64,  max_output_tokens, OPT, LIMIT_TOKENS,  "output limit in the request; 0 = none")                      \
    F(m, 7, U64,  choices,           OPT, 128,           "n; 0 = 1")                                                   \
    F(m, 8, U64,  deadline_ms,       REQ, LIMIT_MS,      "how long the call may run: the hold lives so long and a grace") \
    F(m, 9, STR,  client_ip,         OPT, LIMIT_NAME,    "for the security log")

#define ADMIT_REP(F, L, m)                                                                                             \
    F(m, 1, STR,  user_id,      REQ, LIMIT_ID_TEXT,  "who pays")                                                       \
    F(m, 2, STR,  key_id,       REQ, LIMIT_ID_TEXT,  "which key")                                                      \
    F(m, 3, STR,  provider,     REQ, LIMIT_NAME,     "who serves the model")                                           \
    F(m, 4, STR,  upstream_model, REQ, LIMIT_MODEL,  "the model's name there")                                         \
    F(m, 5, NANO, hold_nano,    REQ, MONEY_NANO_MAX, "credit held for this call")                                      \
    F(m, 6, U64,  output_limit, OPT, LIMIT_TOKENS,   "output limit to send upstream; 0 = leave the request untouched") \
    L(m, 7, price, price, 1,                         "price in force, pinned for this call; none = free of charge")    \
    L(m, 8, rate_limits, limits, 1,                  "for the x-ratelimit-* headers")

#define ADMIT_DONE_REQ(F, L, m)                                                                                        \
    F(m, 1, STR, request_id, REQ, LIMIT_ID_TEXT, "the call has ended: its place among the concurrent ones is free")

#define MODELS_REQ(F, L, m)                                                                                            \
    F(m, 1, BIN, key_digest, REQ, LIMIT_DIGEST, "SHA-256 of the API key")                                              \
    F(m, 2, STR, model,      OPT, LIMIT_MODEL,  "only this one; NOT_FOUND when the caller may not use it")

#define MODELS_REP(F, L, m)                                                                                            \
    L(m, 1, model_info, data, LIMIT_LIST, "models that this key may use and that a provider serves")

#define REGISTER_REQ(F, L, m)                                                                                          \
    F(m, 1, STR,    email,     REQ, LIMIT_EMAIL,    "any case; stored in lower case")                                  \
    F(m, 2, SECRET, password,  REQ, LIMIT_PASSWORD, "8 bytes or more")                                                 \
    F(m, 3, STR,    name,      OPT, LIMIT_TITLE,    "for people")                                                      \
    F(m, 4, STR,    client_ip, OPT, LIMIT_NAME,     "set by the gateway")

#define LOGIN_REQ(F, L, m)                                                                                             \
    F(m, 1, STR,    email,     REQ, LIMIT_EMAIL,    "any case")                                                        \
    F(m, 2, SECRET, password,  REQ, LIMIT_PASSWORD, "as registered")                                                   \
    F(m, 3, STR,    client_ip, OPT, LIMIT_NAME,     "set by the gateway")

#define REFRESH_REQ(F, L, m)                                                                                           \
    F(m, 1, SECRET, refresh_token, REQ, LIMIT_TOKEN, "used once; a second use ends the session")

#define SESSION_REP(F, L, m)                                                                                           \
    L(m, 1, user, user, 1,                          "who logged in")                                                   \
    F(m, 2, SECRET, access_token,  REQ, LIMIT_TOKEN, "JWT")                                                            \
    F(m, 3, SECRET, refresh_token, REQ, LIMIT_TOKEN, "opaque")                                                         \
    F(m, 4, STR,    token_type,    REQ, LIMIT_NAME,  "Bearer")                                                         \
    F(m, 5, U64,    expires_in,    REQ, LIMIT_TIME,  "seconds the access token is good for")                           \
    F(m, 6, U64,    revision,      OPT, LIMIT_ID,    "of the state, when the call changed it")

#define SESSION_CHECK_REQ(F, L, m)                                                                                     \
    F(m, 1, SECRET, access_token, REQ, LIMIT_TOKEN, "JWT from the Authorization header")

#define SESSION_CHECK_REP(F, L, m)                                                                                     \
    F(m, 1, STR, user_id,    REQ, LIMIT_ID_TEXT, "who it is")                                                          \
    F(m, 2, STR, role,       REQ, LIMIT_NAME,    "user or admin, as of now, not as of the token")                      \
    F(m, 3, STR, session_id, REQ, LIMIT_ID_TEXT, "which session")

#define LOGOUT_REQ(F, L, m)                                                                                            \
    F(m, 1, STR, actor_id,   REQ, LIMIT_ID_TEXT, "set by the gateway")                                                 \
    F(m, 2, STR, session_id, REQ, LIMIT_ID_TEXT, "set by the gateway")

#define KEY_CREATE_REQ(F, L, m)                                                                                        \
    F(m, 1, STR,  actor_id,    REQ, LIMIT_ID_TEXT, "set by the gateway: owner of the new key")                         \
    F(m, 2, STR,  name,        REQ, LIMIT_TITLE,   "for people")                                                       \
    F(m, 3, U64,  rpm,         OPT, LIMIT_COUNT,   "requests per minute; absent = the plan's")                         \
    F(m, 4, U64,  tpm,         OPT, LIMIT_COUNT,   "tokens per minute; absent = the plan's")                           \
    F(m, 5, U64,  concurrency, OPT, LIMIT_COUNT,   "requests at once; absent = the plan's")                            \
    F(m, 6, STRS, models,      OPT, LIMIT_MODELS,  "models allowed; absent = the plan's")                              \
    F(m, 7, U64,  expires_at,  OPT, LIMIT_TIME,    "Unix seconds; absent = never")

#define KEY_CREATED_REP(F, L, m)                                                                                       \
    F(m, 1, STR,    id,          REQ, LIMIT_ID_TEXT, "key_…")                                                          \
    F(m, 2, SECRET, key,         REQ, LIMIT_NAME,    "the secret: shown this once")                                    \
    F(m, 3, STR,    name,        REQ, LIMIT_TITLE,   "for people")                                                     \
    F(m, 4, STR,    prefix,      REQ, LIMIT_NAME,    "how lists show it")                                              \
    F(m, 5, U64,    rpm,         OPT, LIMIT_COUNT,   "0 = the plan's")                                                 \
    F(m, 6, U64,    tpm,         OPT, LIMIT_COUNT,   "0 = the plan's")                                                 \
    F(m, 7, U64,    concurrency, OPT, LIMIT_COUNT,   "0 = the plan's")                                                 \
    F(m, 8, STRS,   models,      OPT, LIMIT_MODELS,  "none = the plan's")                                              \
    F(m, 9, U64,    expires_at,  OPT, LIMIT_TIME,    "0 = never")                                                      \
    F(m, 10, U64,   created,     REQ, LIMIT_TIME,    "Unix seconds")                                                   \
    F(m, 11, U64,   revision,    OPT, LIMIT_ID,      "of the state with this key")

#define ADMIN_USER_CREATE_REQ(F, L, m)                                                                                 \
    F(m, 1, STR,    actor_id, REQ, LIMIT_ID_TEXT,  "set by the gateway: the administrator")                            \
    F(m, 2, STR,    email,    REQ, LIMIT_EMAIL,    "unique")                                                           \
    F(m, 3, SECRET, password, REQ, LIMIT_PASSWORD, "first password")                                                   \
    F(m, 4, STR,    name,     OPT, LIMIT_TITLE,    "for people")                                                       \
    F(m, 5, STR,    role,     OPT, LIMIT_NAME,     "user (default) or admin")                                          \
    F(m, 6, STR,    plan,     OPT, LIMIT_NAME,     "absent = SIGNUP_PLAN")

#define STATE_SYNC_REQ(F, L, m)                                                                                        \
    F(m, 1, U64, revision, REQ, LIMIT_ID, "answer when the projection has come this far: a write that was answered is in force")

/* ---- providersvc ------------------------------------------------------------------------------------------------ */

/* Streamed answer: DATA of type response_head first, then DATA of type 0 (bytes of the body), then END with completion_rep. */
#define COMPLETION_REQ(F, L, m)                                                                                        \
    F(m, 1, STR,  request_id,     REQ, LIMIT_ID_TEXT,  "req_…")                                                        \
    F(m, 2, STR,  user_id,        REQ, LIMIT_ID_TEXT,  "who pays")                                                     \
    F(m, 3, STR,  key_id,         REQ, LIMIT_ID_TEXT,  "which key")                                                    \
    F(m, 4, STR,  model,          REQ, LIMIT_MODEL,    "as the client said it")                                        \
    F(m, 5, STR,  provider,       REQ, LIMIT_NAME,     "who serves it")                                                \
    F(m, 6, STR,  upstream_model, REQ, LIMIT_MODEL,    "its name there")                                               \
    F(m, 7, STR,  endpoint,       REQ, LIMIT_NAME,     "chat.completions …")                                           \
    F(m, 8, BOOL, stream,         OPT, 1,              "the client asked for SSE")                                     \
    F(m, 9, BOOL, usage_asked,    OPT, 1,              "the client asked for the usage chunk")                         \
    F(m, 10, U64, price_id,       OPT, LIMIT_ID,       "price pinned at admission; 0 = free of charge")                \
    F(m, 11, NANO, hold_nano,     OPT, MONEY_NANO_MAX, "credit held")                                                  \
    F(m, 12, U64, output_limit,   OPT, LIMIT_TOKENS,   "put this output limit into the request; 0 = leave it untouched") \
    F(m, 13, U64, prompt_tokens_estimate, OPT, LIMIT_TOKENS, "billed when upstream gives no usage")                    \
    F(m, 14, BIN, body,           REQ, LIMIT_BODY,     "the client's bytes: valid JSON, an object, checked by the gateway")

#define HTTP_HEADER(F, L, m)                                                                                           \
    F(m, 1, STR, name,  REQ, LIMIT_NAME,   "lower case")                                                               \
    F(m, 2, STR, value, REQ, LIMIT_HEADER, "no CR, LF or NUL")

#define RESPONSE_HEAD(F, L, m)                                                                                         \
    F(m, 1, U64, http_status,  REQ, 599,        "for the client")                                                      \
    F(m, 2, STR, content_type, REQ, LIMIT_NAME, "application/json or text/event-stream")                               \
    F(m, 3, STR, provider,     OPT, LIMIT_NAME, "who answered")                                                        \
    F(m, 4, STR, instance,     OPT, LIMIT_NAME, "which providersvc")                                                   \
    F(m, 5, U64, attempts,     OPT, 100,        "upstream calls made so far")                                          \
    F(m, 6, U64, retry_after_ms, OPT, LIMIT_MS, "from upstream, on errors")                                            \
    L(m, 7, http_header, headers, 32,           "upstream's, those on the allow-list")

#define COMPLETION_REP(F, L, m)                                                                                        \
    F(m, 1, U64,  prompt_tokens,      OPT, LIMIT_TOKENS, "all input")                                                  \
    F(m, 2, U64,  cached_tokens,      OPT, LIMIT_TOKENS, "of them read from a cache")                                  \
    F(m, 3, U64,  cache_write_tokens, OPT, LIMIT_TOKENS, "of them written to a short-lived cache")                     \
    F(m, 4, U64,  cache_write_long_tokens, OPT, LIMIT_TOKENS, "of them written to a long-lived cache")                 \
    F(m, 5, U64,  completion_tokens,  OPT, LIMIT_TOKENS, "all output")                                                 \
    F(m, 6, U64,  reasoning_tokens,   OPT, LIMIT_TOKENS, "of them reasoning")                                          \
    F(m, 7, BOOL, estimated,          OPT, 1,            "upstream gave no usage: counted here")                       \
    F(m, 8, U64,  attempts,           OPT, 100,          "upstream calls made")                                        \
    F(m, 9, STR,  outcome,            REQ, LIMIT_NAME,   "ok, error, cancelled, truncated")

/* ---- meterd: state and accounts --------------------------------------------------------------------------------- */

#define STATE_CHANGE(F, L, m)                                                                                          \
    F(m, 1, U64, revision, REQ, LIMIT_ID,    "its place in the order of all changes")                                  \
    F(m, 2, U64, kind,     REQ, 0xffff,      "type number of the record: user, key_state, plan, price, provider, settled, ack") \
    F(m, 3, BIN, record,   REQ, LIMIT_RECORD, "the record, encoded: the new state of that object")

#define STATE_READ_REQ(F, L, m)                                                                                        \
    F(m, 1, U64, after_revision, REQ, LIMIT_ID,   "what I have; 0 = nothing: send a snapshot")                         \
    F(m, 2, STR, cursor,         OPT, LIMIT_TOKEN, "from the last page; empty = first page")

#define STATE_READ_REP(F, L, m)                                                                                        \
    F(m, 1, U64,  revision, REQ, LIMIT_ID,    "of the state that these pages show")                                    \
    F(m, 2, BOOL, snapshot, OPT, 1,           "everything from nothing: forget what you had")                          \
    F(m, 3, STR,  cursor,   OPT, LIMIT_TOKEN, "ask again with it; empty = that was all")                               \
    L(m, 4, state_change, changes, LIMIT_LIST, "in order of revision")

#define USER_PUT_REQ(F, L, m)                                                                                          \
    F(m, 1, STR,    actor_id,      OPT, LIMIT_ID_TEXT,  "who did it; empty = sign-up")                                 \
    F(m, 2, STR,    email,         REQ, LIMIT_EMAIL,    "lower case")                                                  \
    F(m, 3, SECRET, password_hash, REQ, LIMIT_TITLE,    "argon2id, as libsodium writes it")                            \
    F(m, 4, STR,    name,          OPT, LIMIT_TITLE,    "for people")                                                  \
    F(m, 5, STR,    role,          REQ, LIMIT_NAME,     "user or admin")                                               \
    F(m, 6, STR,    plan,          REQ, LIMIT_NAME,     "must exist")                                                  \
    F(m, 7, NANO,   credit_nano,   OPT, MONEY_NANO_MAX, "granted at sign-up")

#define USER_REP(F, L, m)                                                                                              \
    L(m, 1, user, user, 1,              "the user as it is now")                                                       \
    F(m, 2, U64, revision, OPT, LIMIT_ID, "of the state, when the call changed it")

#define USER_AUTH_REQ(F, L, m)                                                                                         \
    F(m, 1, STR, email, REQ, LIMIT_EMAIL, "lower case")

#define USER_AUTH_REP(F, L, m)                                                                                         \
    L(m, 1, user, user, 1,                         "who it is")                                                        \
    F(m, 2, SECRET, password_hash, REQ, LIMIT_TITLE, "argon2id")

#define SESSION_PUT_REQ(F, L, m)                                                                                       \
    F(m, 1, STR, session_id,     REQ, LIMIT_ID_TEXT, "ses_…: the family of refresh tokens")                            \
    F(m, 2, STR, user_id,        REQ, LIMIT_ID_TEXT, "whose")                                                          \
    F(m, 3, BIN, refresh_digest, REQ, LIMIT_DIGEST,  "SHA-256 of the refresh token now in force")                      \
    F(m, 4, U64, expires_at,     REQ, LIMIT_TIME,    "Unix seconds")

#define SESSION_ROTATE_REQ(F, L, m)                                                                                    \
    F(m, 1, BIN, refresh_digest, REQ, LIMIT_DIGEST, "presented")                                                       \
    F(m, 2, BIN, new_digest,     REQ, LIMIT_DIGEST, "to be in force from now")                                         \
    F(m, 3, U64, expires_at,     REQ, LIMIT_TIME,   "Unix seconds")

#define SESSION_ROTATE_REP(F, L, m)                                                                                    \
    F(m, 1, STR, session_id, REQ, LIMIT_ID_TEXT, "which session")                                                      \
    L(m, 2, user, user, 1,                       "whose")

#define SESSION_END_REQ(F, L, m)                                                                                       \
    F(m, 1, STR, session_id, REQ, LIMIT_ID_TEXT, "which session")

#define KEY_PUT_REQ(F, L, m)                                                                                           \
    F(m, 1, BIN, digest, REQ, LIMIT_DIGEST, "SHA-256 of the secret")                                                   \
    L(m, 2, api_key, key, 1,                "id, owner, name, prefix, limits; status and created are meterd's")

#define KEY_LIST_REQ(F, L, m)                                                                                          \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "whose keys")                                                           \
    F(m, 2, U64, limit,    OPT, LIMIT_PAGE,    "page size; 0 = 100")                                                   \
    F(m, 3, STR, cursor,   OPT, LIMIT_TOKEN,   "from the last page")

#define KEY_LIST_REP(F, L, m)                                                                                          \
    L(m, 1, api_key, data, LIMIT_PAGE,    "newest first")                                                              \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN,  "cursor of the next page")

#define KEY_REVOKE_REQ(F, L, m)                                                                                        \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "owner")                                                                \
    F(m, 2, STR, id,       REQ, LIMIT_ID_TEXT, "key_…; NOT_FOUND when it is not the owner's")

#define CREDITS_REQ(F, L, m)                                                                                           \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "whose")

#define CREDITS_REP(F, L, m)                                                                                           \
    F(m, 1, NANO, balance_nano, REQ, MONEY_NANO_MAX, "settled credit")                                                 \
    F(m, 2, NANO, held_nano,    REQ, MONEY_NANO_MAX, "of it held for calls that run; known to authsvc, which asks meterd for the rest")                                  \
    F(m, 3, NANO, spent_nano,   REQ, MONEY_NANO_MAX, "billed so far")

#define USAGE_SUMMARY_REQ(F, L, m)                                                                                     \
    F(m, 1, STR, actor_id, OPT, LIMIT_ID_TEXT, "whose; empty = everybody's (administrators)")                          \
    F(m, 2, U64, from,     OPT, LIMIT_TIME,    "Unix seconds, inclusive")                                              \
    F(m, 3, U64, to,       OPT, LIMIT_TIME,    "Unix seconds, exclusive; 0 = now")                                     \
    F(m, 4, STR, group_by, OPT, LIMIT_TITLE,   "any of model,key,day,hour with commas; empty = totals only")

#define USAGE_GROUP(F, L, m)                                                                                           \
    F(m, 1, STR,  model,  OPT, LIMIT_MODEL,   "when grouped by model")                                                 \
    F(m, 2, STR,  key_id, OPT, LIMIT_ID_TEXT, "when grouped by key")                                                   \
    F(m, 3, STR,  time,   OPT, LIMIT_NAME,    "when grouped by day or hour: its beginning in UTC, RFC 3339")           \
    F(m, 4, U64,  requests,           REQ, LIMIT_ID, "admitted calls")                                                 \
    F(m, 5, U64,  errors,             REQ, LIMIT_ID, "of them not ok")                                                 \
    F(m, 6, U64,  prompt_tokens,      REQ, LIMIT_ID, "all input")                                                      \
    F(m, 7, U64,  cached_tokens,      REQ, LIMIT_ID, "of it from a cache")                                             \
    F(m, 8, U64,  cache_write_tokens, REQ, LIMIT_ID, "of it written to a cache")                                       \
    F(m, 9, U64,  completion_tokens,  REQ, LIMIT_ID, "all output")                                                     \
    F(m, 10, U64, reasoning_tokens,   REQ, LIMIT_ID, "of it reasoning")                                                \
    F(m, 11, NANO, cost_nano,         REQ, MONEY_NANO_MAX, "billed")                                                   \
    F(m, 12, U64, latency_ms_avg,     REQ, LIMIT_MS, "mean time of a call")

#define USAGE_SUMMARY_REP(F, L, m)                                                                                     \
    L(m, 1, usage_group, total, 1,           "over all")                                                               \
    L(m, 2, usage_group, data,  LIMIT_LIST,  "the groups")

#define USAGE_LIST_REQ(F, L, m)                                                                                        \
    F(m, 1, STR, actor_id, OPT, LIMIT_ID_TEXT, "whose; empty = everybody's (administrators)")                          \
    F(m, 2, U64, limit,    OPT, LIMIT_PAGE,    "page size; 0 = 20")                                                    \
    F(m, 3, STR, cursor,   OPT, LIMIT_TOKEN,   "from the last page")                                                   \
    F(m, 4, U64, from,     OPT, LIMIT_TIME,    "Unix seconds, inclusive")                                              \
    F(m, 5, U64, to,       OPT, LIMIT_TIME,    "Unix seconds, exclusive")                                              \
    F(m, 6, STR, model,    OPT, LIMIT_MODEL,   "only this model")                                                      \
    F(m, 7, STR, key,      OPT, LIMIT_ID_TEXT, "only this key id")                                                     \
    F(m, 8, STR, status,   OPT, LIMIT_NAME,    "only this status: ok, error, cancelled, truncated, void")              \
    F(m, 9, STR, request_id, OPT, LIMIT_ID_TEXT, "only this call")

#define USAGE_ROW(F, L, m)                                                                                             \
    F(m, 1, STR,  request_id,         REQ, LIMIT_ID_TEXT,  "req_…")                                                    \
    F(m, 2, U64,  created,            REQ, LIMIT_TIME,     "Unix seconds")                                             \
    F(m, 3, STR,  user_id,            OPT, LIMIT_ID_TEXT,  "who paid")                                                 \
    F(m, 4, STR,  key_id,             REQ, LIMIT_ID_TEXT,  "which key")                                                \
    F(m, 5, STR,  model,              REQ, LIMIT_MODEL,    "as the client said it")                                    \
    F(m, 6, STR,  provider,           REQ, LIMIT_NAME,     "who served it")                                            \
    F(m, 7, STR,  upstream_model,     REQ, LIMIT_MODEL,    "its name there")                                           \
    F(m, 8, STR,  endpoint,           REQ, LIMIT_NAME,     "chat.completions …")                                       \
    F(m, 9, BOOL, stream,             REQ, 1,              "SSE")                                                      \
    F(m, 10, STR, status,             REQ, LIMIT_NAME,     "ok, error, cancelled, truncated, void")                    \
    F(m, 11, U64, http_status,        REQ, 599,            "what the client saw")                                      \
    F(m, 12, U64, prompt_tokens,      REQ, LIMIT_TOKENS,   "all input")                                                \
    F(m, 13, U64, cached_tokens,      REQ, LIMIT_TOKENS,   "of it from a cache")                                       \
    F(m, 14, U64, cache_write_tokens, REQ, LIMIT_TOKENS,   "of it written to a short-lived cache")                     \
    F(m, 15, U64, cache_write_long_tokens, REQ, LIMIT_TOKENS, "of it written to a long-lived cache")                   \
    F(m, 16, U64, completion_tokens,  REQ, LIMIT_TOKENS,   "all output")                                               \
    F(m, 17, U64, reasoning_tokens,   REQ, LIMIT_TOKENS,   "of it reasoning")                                          \
    F(m, 18, NANO, cost_nano,         REQ, MONEY_NANO_MAX, "billed to the user")                                       \
    F(m, 19, NANO, overage_nano,      REQ, MONEY_NANO_MAX, "cost beyond the user's credit, borne by the operator")     \
    F(m, 20, U64, price_id,           REQ, LIMIT_ID,       "version of the price used")                                \
    F(m, 21, U64, latency_ms,         REQ, LIMIT_MS,       "whole call")                                               \
    F(m, 22, U64, ttft_ms,            REQ, LIMIT_MS,       "to the first byte from upstream")                          \
    F(m, 23, U64, attempts,           REQ, 100,            "upstream calls")                                           \
    F(m, 24, BOOL, estimated,         REQ, 1,              "tokens counted here because upstream gave none")

#define USAGE_LIST_REP(F, L, m)                                                                                        \
    L(m, 1, usage_row, data, LIMIT_PAGE, "newest first")                                                               \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN, "cursor of the next page")

#define USER_LIST_REQ(F, L, m)                                                                                         \
    F(m, 1, U64, limit,  OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                       \
    F(m, 2, STR, cursor, OPT, LIMIT_TOKEN, "from the last page")                                                       \
    F(m, 3, STR, email,  OPT, LIMIT_EMAIL, "only this one")

#define USER_LIST_REP(F, L, m)                                                                                         \
    L(m, 1, user, data, LIMIT_PAGE,      "oldest first")                                                               \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN, "cursor of the next page")

#define USER_GET_REQ(F, L, m)                                                                                          \
    F(m, 1, STR, id, REQ, LIMIT_ID_TEXT, "usr_…")

#define USER_UPDATE_REQ(F, L, m)                                                                                       \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                                \
    F(m, 2, STR, id,       REQ, LIMIT_ID_TEXT, "usr_…")                                                                \
    F(m, 3, STR, name,     OPT, LIMIT_TITLE,   "absent = as it is")                                                    \
    F(m, 4, STR, role,     OPT, LIMIT_NAME,    "user or admin; absent = as it is")                                     \
    F(m, 5, STR, plan,     OPT, LIMIT_NAME,    "absent = as it is")                                                    \
    F(m, 6, STR, status,   OPT, LIMIT_NAME,    "active or disabled; absent = as it is")

#define CREDIT_GRANT_REQ(F, L, m)                                                                                      \
    F(m, 1, STR,  actor_id,    REQ, LIMIT_ID_TEXT,  "set by the gateway: the administrator")                           \
    F(m, 2, STR,  id,          REQ, LIMIT_ID_TEXT,  "usr_…: who gets it")                                              \
    F(m, 3, NANO, amount_nano, REQ, MONEY_NANO_MAX, "more than zero, or less to take back what is still there")        \
    F(m, 4, STR,  note,        OPT, LIMIT_TITLE,    "why")                                                             \
    F(m, 5, STR,  idempotency_key, OPT, LIMIT_TITLE, "the same key grants once; with another amount CONFLICT")

#define CREDIT_GRANT_REP(F, L, m)                                                                                      \
    F(m, 1, STR,  user_id,      REQ, LIMIT_ID_TEXT,  "who got it")                                                     \
    F(m, 2, NANO, amount_nano,  REQ, MONEY_NANO_MAX, "how much")                                                       \
    F(m, 3, NANO, balance_nano, REQ, MONEY_NANO_MAX, "credit after it")                                                \
    F(m, 4, U64,  entry_id,     REQ, LIMIT_ID,       "ledger entry")                                                   \
    F(m, 5, U64,  revision,     OPT, LIMIT_ID,       "of the state with it")

#define PLAN_LIST_REQ(F, L, m)                                                                                         \
    F(m, 1, BOOL, unused, OPT, 1, "no arguments")

#define PLAN_LIST_REP(F, L, m)                                                                                         \
    L(m, 1, plan, data, LIMIT_PAGE, "all plans")

#define PLAN_UPDATE_REQ(F, L, m)                                                                                       \
    F(m, 1, STR,  actor_id,    REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                            \
    F(m, 2, STR,  name,        REQ, LIMIT_NAME,    "which plan; an unknown name makes a new plan")                     \
    F(m, 3, U64,  rpm,         OPT, LIMIT_COUNT,   "absent = as it is")                                                \
    F(m, 4, U64,  tpm,         OPT, LIMIT_COUNT,   "absent = as it is")                                                \
    F(m, 5, U64,  concurrency, OPT, LIMIT_COUNT,   "absent = as it is")                                                \
    F(m, 6, U64,  max_keys,    OPT, LIMIT_COUNT,   "absent = as it is")                                                \
    F(m, 7, STRS, models,      OPT, LIMIT_MODELS,  "absent = as it is")

#define PLAN_REP(F, L, m)                                                                                              \
    L(m, 1, plan, plan, 1,                "the plan as it is now")                                                     \
    F(m, 2, U64, revision, OPT, LIMIT_ID, "of the state with it")

#define PRICE_LIST_REQ(F, L, m)                                                                                        \
    F(m, 1, U64, limit,  OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                       \
    F(m, 2, STR, cursor, OPT, LIMIT_TOKEN, "from the last page")                                                       \
    F(m, 3, STR, model,  OPT, LIMIT_MODEL, "only this model")

#define PRICE_LIST_REP(F, L, m)                                                                                        \
    L(m, 1, price, data, LIMIT_PAGE,     "in force now, by model")                                                     \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN, "cursor of the next page")

#define PRICE_PUT_REQ(F, L, m)                                                                                         \
    F(m, 1, STR,  actor_id,              REQ, LIMIT_ID_TEXT,  "set by the gateway: the administrator")                 \
    F(m, 2, STR,  model,                 REQ, LIMIT_MODEL,    "model name as clients say it")                          \
    F(m, 3, STR,  provider,              OPT, LIMIT_NAME,     "absent = as it is, openai for a new model")             \
    F(m, 4, PICO, input_pico,            REQ, MONEY_PICO_MAX, "per input token")                                       \
    F(m, 5, PICO, cached_input_pico,     OPT, MONEY_PICO_MAX, "absent = as input")                                     \
    F(m, 6, PICO, cache_write_pico,      OPT, MONEY_PICO_MAX, "absent = as input")                                     \
    F(m, 7, PICO, cache_write_long_pico, OPT, MONEY_PICO_MAX, "absent = as input")                                     \
    F(m, 8, PICO, output_pico,           REQ, MONEY_PICO_MAX, "per output token")                                      \
    F(m, 9, U64,  context_window,        OPT, LIMIT_TOKENS,   "absent = as it is")                                     \
    F(m, 10, U64, max_output,            OPT, LIMIT_TOKENS,   "absent = as it is")

#define PRICE_REP(F, L, m)                                                                                             \
    L(m, 1, price, price, 1,              "the price as it is now")                                                    \
    F(m, 2, U64, revision, OPT, LIMIT_ID, "of the state with it")

#define PROVIDER_ANNOUNCE_REQ(F, L, m)                                                                                 \
    F(m, 1, STR, instance, REQ, LIMIT_NAME, "providersvc instance")                                                    \
    L(m, 2, provider, providers, 64,        "providers that this instance can serve")

#define LEDGER_VERIFY_REQ(F, L, m)                                                                                     \
    F(m, 1, BOOL, unused, OPT, 1, "no arguments")

#define LEDGER_PROBLEM(F, L, m)                                                                                        \
    F(m, 1, STR, account, REQ, LIMIT_TITLE, "which account or call")                                                   \
    F(m, 2, STR, problem, REQ, LIMIT_TITLE, "what does not agree")

#define LEDGER_VERIFY_REP(F, L, m)                                                                                     \
    F(m, 1, BOOL, ok,       REQ, 1,        "no difference found")                                                      \
    F(m, 2, U64,  accounts, REQ, LIMIT_ID, "accounts recomputed")                                                      \
    F(m, 3, U64,  entries,  REQ, LIMIT_ID, "entries read")                                                             \
    F(m, 4, U64,  requests, REQ, LIMIT_ID, "usage rows matched with their entries")                                    \
    F(m, 5, NANO, sum_nano, REQ, MONEY_NANO_MAX, "of all accounts: must be zero")                                      \
    L(m, 6, ledger_problem, problems, 100, "the first differences")

/* ---- meterd: usage ---------------------------------------------------------------------------------------------- */

#define USAGE_DELIVER_REQ(F, L, m)                                                                                     \
    F(m, 1, STR, source,    REQ, LIMIT_NAME,   "outbox id")                                                            \
    F(m, 2, U64, first_seq, REQ, LIMIT_ID,     "number of the first record; the others follow without a gap")          \
    L(m, 3, usage_event, events, LIMIT_EVENTS, "records not acknowledged in time")

#define USAGE_DELIVER_REP(F, L, m)                                                                                     \
    F(m, 1, U64, acked_seq, REQ, LIMIT_ID, "everything up to here is committed")

#define USAGE_VOID_REQ(F, L, m)                                                                                        \
    L(m, 1, usage_event, event, 1, "an admitted call that no providersvc took: its row, at no cost")

/* ---- feed records ------------------------------------------------------------------------------------------------ */

#define USAGE_EVENT(F, L, m)                                                                                           \
    F(m, 1, STR,  request_id,         REQ, LIMIT_ID_TEXT,  "req_…: settles once")                                      \
    F(m, 2, STR,  user_id,            REQ, LIMIT_ID_TEXT,  "who pays")                                                 \
    F(m, 3, STR,  key_id,             REQ, LIMIT_ID_TEXT,  "which key")                                                \
    F(m, 4, STR,  model,              REQ, LIMIT_MODEL,    "as the client said it")                                    \
    F(m, 5, STR,  provider,           REQ, LIMIT_NAME,     "who served it")                                            \
    F(m, 6, STR,  upstream_model,     REQ, LIMIT_MODEL,    "its name there")                                           \
    F(m, 7, STR,  endpoint,           REQ, LIMIT_NAME,     "chat.completions …")                                       \
    F(m, 8, BOOL, stream,             OPT, 1,              "SSE")                                                      \
    F(m, 9, STR,  status,             REQ, LIMIT_NAME,     "ok, error, cancelled, truncated, void")                    \
    F(m, 10, U64, http_status,        OPT, 599,            "what the client saw")                                      \
    F(m, 11, U64, prompt_tokens,      OPT, LIMIT_TOKENS,   "all input")                                                \
    F(m, 12, U64, cached_tokens,      OPT, LIMIT_TOKENS,   "of it from a cache")                                       \
    F(m, 13, U64, cache_write_tokens, OPT, LIMIT_TOKENS,   "of it written to a short-lived cache")                     \
    F(m, 14, U64, cache_write_long_tokens, OPT, LIMIT_TOKENS, "of it written to a long-lived cache")                   \
    F(m, 15, U64, completion_tokens,  OPT, LIMIT_TOKENS,   "all output")                                               \
    F(m, 16, U64, reasoning_tokens,   OPT, LIMIT_TOKENS,   "of it reasoning")                                          \
    F(m, 17, BOOL, estimated,         OPT, 1,              "counted here")                                             \
    F(m, 18, U64, price_id,           OPT, LIMIT_ID,       "price pinned at admission; 0 = free of charge")            \
    F(m, 19, NANO, hold_nano,         OPT, MONEY_NANO_MAX, "credit held")                                              \
    F(m, 20, U64, created_ms,         REQ, LIMIT_TIME_MS,  "Unix milliseconds")                                        \
    F(m, 21, U64, latency_ms,         OPT, LIMIT_MS,       "whole call")                                               \
    F(m, 22, U64, ttft_ms,            OPT, LIMIT_MS,       "to the first byte from upstream")                          \
    F(m, 23, U64, attempts,           OPT, 100,            "upstream calls")

/* In the outbox only: a call was sent upstream and may cost something. Lets a restarted providersvc settle what it never finished. */
#define USAGE_STARTED(F, L, m)                                                                                         \
    L(m, 1, usage_event, event, 1, "the event as it would be if nothing more were known")

/* One PUB message of the usage feed. */
#define USAGE_BATCH(F, L, m)                                                                                           \
    F(m, 1, STR, source,    REQ, LIMIT_NAME,   "outbox id")                                                            \
    F(m, 2, U64, first_seq, REQ, LIMIT_ID,     "number of the first event; the others follow without a gap")           \
    L(m, 3, usage_event, events, LIMIT_EVENTS, "in order")

/* One PUB message of the state feed. */
#define STATE_BATCH(F, L, m)                                                                                           \
    F(m, 1, U64, previous_revision, REQ, LIMIT_ID,  "of the batch before: another than yours = a gap")                 \
    F(m, 2, U64, revision,          REQ, LIMIT_ID,  "after this batch")                                                \
    L(m, 3, state_change, changes,  LIMIT_LIST,     "in order; none = a heartbeat")

/* A key as authsvc needs it; gone = status revoked. */
#define KEY_STATE(F, L, m)                                                                                             \
    F(m, 1, BIN, digest, REQ, LIMIT_DIGEST, "SHA-256 of the secret")                                                   \
    L(m, 2, api_key, key, 1,                "the key")

/* A call was billed. Releases its hold and sets the user's balance. */
#define SETTLED(F, L, m)                                                                                               \
    F(m, 1, STR,  request_id,   REQ, LIMIT_ID_TEXT,  "req_…")                                                          \
    F(m, 2, STR,  user_id,      REQ, LIMIT_ID_TEXT,  "who paid")                                                       \
    F(m, 3, NANO, cost_nano,    REQ, MONEY_NANO_MAX, "billed")                                                         \
    F(m, 4, NANO, balance_nano, REQ, MONEY_NANO_MAX, "settled credit after it")                                        \
    F(m, 5, U64,  tokens,       OPT, LIMIT_TOKENS,   "true input and output tokens, to correct TPM")

/* meterd has committed a source's records up to here. */
#define ACK(F, L, m)                                                                                                   \
    F(m, 1, STR, source,    REQ, LIMIT_NAME, "outbox id")                                                              \
    F(m, 2, U64, acked_seq, REQ, LIMIT_ID,   "everything up to here is committed")                                     \
    F(m, 3, BOOL, gap,      OPT, 1,          "something after it did not arrive: deliver it again now")

/* clang-format on */

/* M(LIST, name, number, doc). Parts come before what contains them. */
#define PROTO_MESSAGES(M)                                                                                              \
    M(RATE_LIMITS, rate_limits, 0x0501, "limits of a key, as the x-ratelimit-* headers say them")                      \
    M(PRICE, price, 0x0502, "price of a model, one version; also a state record")                                      \
    M(USER, user, 0x0503, "a user; also a state record")                                                               \
    M(API_KEY, api_key, 0x0504, "an API key without its secret")                                                       \
    M(PLAN, plan, 0x0505, "limits shared by its users; also a state record")                                           \
    M(PROVIDER, provider, 0x0506, "a provider that somebody serves; also a state record")                              \
    M(MODEL_INFO, model_info, 0x0507, "a model as GET /v1/models shows it")                                            \
    M(HEALTH_CHECK, health_check, 0x0508, "one line of a health report")                                               \
    M(HTTP_HEADER, http_header, 0x0509, "a response header")                                                           \
    M(USAGE_GROUP, usage_group, 0x050a, "sums over calls")                                                             \
    M(USAGE_ROW, usage_row, 0x050b, "one call in the log")                                                             \
    M(LEDGER_PROBLEM, ledger_problem, 0x050c, "a difference found by the verifier")                                    \
    M(STATE_CHANGE, state_change, 0x050d, "one change of the state")                                                   \
    M(USAGE_EVENT, usage_event, 0x0401, "the outcome of an admitted call")                                             \
    M(USAGE_STARTED, usage_started, 0x0402, "outbox: a call was sent upstream")                                        \
    M(USAGE_BATCH, usage_batch, 0x0403, "usage feed, providersvc to meterd")                                           \
    M(STATE_BATCH, state_batch, 0x0404, "state feed, meterd to all")                                                   \
    M(KEY_STATE, key_state, 0x0405, "state record of a key")                                                           \
    M(SETTLED, settled, 0x0406, "state record of a billed call")                                                       \
    M(ACK, ack, 0x0407, "state record of a committed position")                                                        \
    M(FAULT, fault, 0x0001, "why a call failed")                                                                       \
    M(EMPTY, empty, 0x0002, "nothing to say")                                                                          \
    M(HEALTH_REQ, health_req, 0x0003, "how are you?")                                                                  \
    M(HEALTH_REP, health_rep, 0x0004, "health of a service")                                                           \
    M(METRICS_REQ, metrics_req, 0x0005, "your metrics?")                                                               \
    M(METRICS_REP, metrics_rep, 0x0006, "metrics of a service")                                                        \
    M(ADMIT_REQ, admit_req, 0x0101, "may this call be made, and who pays?")                                            \
    M(ADMIT_REP, admit_rep, 0x0102, "yes: with this hold")                                                             \
    M(ADMIT_DONE_REQ, admit_done_req, 0x0103, "a call has ended (one way)")                                            \
    M(MODELS_REQ, models_req, 0x0105, "which models may this key use?")                                                \
    M(MODELS_REP, models_rep, 0x0106, "these")                                                                         \
    M(REGISTER_REQ, register_req, 0x0107, "sign up")                                                                   \
    M(LOGIN_REQ, login_req, 0x0109, "log in")                                                                          \
    M(REFRESH_REQ, refresh_req, 0x010b, "new tokens for a refresh token")                                              \
    M(SESSION_REP, session_rep, 0x010c, "tokens")                                                                      \
    M(SESSION_CHECK_REQ, session_check_req, 0x010d, "whose access token is this?")                                     \
    M(SESSION_CHECK_REP, session_check_rep, 0x010e, "this user's")                                                     \
    M(LOGOUT_REQ, logout_req, 0x010f, "end a session")                                                                 \
    M(KEY_CREATE_REQ, key_create_req, 0x0111, "make an API key")                                                       \
    M(KEY_CREATED_REP, key_created_rep, 0x0112, "the key, its secret shown once")                                      \
    M(ADMIN_USER_CREATE_REQ, admin_user_create_req, 0x0113, "an administrator makes a user")                           \
    M(STATE_SYNC_REQ, state_sync_req, 0x0115, "wait until a change is in force")                                       \
    M(COMPLETION_REQ, completion_req, 0x0201, "make this call upstream")                                               \
    M(COMPLETION_REP, completion_rep, 0x0202, "it is over: what it used")                                              \
    M(RESPONSE_HEAD, response_head, 0x0203, "head of the answer, before its bytes")                                    \
    M(STATE_READ_REQ, state_read_req, 0x0301, "snapshot of the state, or what I missed")                               \
    M(STATE_READ_REP, state_read_rep, 0x0302, "a page of it")                                                          \
    M(USER_PUT_REQ, user_put_req, 0x0303, "make a user")                                                               \
    M(USER_REP, user_rep, 0x0304, "a user")                                                                            \
    M(USER_AUTH_REQ, user_auth_req, 0x0305, "a user's password hash (only authsvc asks)")                              \
    M(USER_AUTH_REP, user_auth_rep, 0x0306, "the hash")                                                                \
    M(SESSION_PUT_REQ, session_put_req, 0x0307, "a session begins")                                                    \
    M(SESSION_ROTATE_REQ, session_rotate_req, 0x0309, "a refresh token is exchanged")                                  \
    M(SESSION_ROTATE_REP, session_rotate_rep, 0x030a, "whose session it was")                                          \
    M(SESSION_END_REQ, session_end_req, 0x030b, "a session ends")                                                      \
    M(KEY_PUT_REQ, key_put_req, 0x030d, "store a key")                                                                 \
    M(KEY_LIST_REQ, key_list_req, 0x030f, "a user's keys")                                                             \
    M(KEY_LIST_REP, key_list_rep, 0x0310, "a page of them")                                                            \
    M(KEY_REVOKE_REQ, key_revoke_req, 0x0311, "revoke a key")                                                          \
    M(CREDITS_REQ, credits_req, 0x0313, "a user's credit")                                                             \
    M(CREDITS_REP, credits_rep, 0x0314, "the credit")                                                                  \
    M(USAGE_SUMMARY_REQ, usage_summary_req, 0x0315, "usage in sums")                                                   \
    M(USAGE_SUMMARY_REP, usage_summary_rep, 0x0316, "the sums")                                                        \
    M(USAGE_LIST_REQ, usage_list_req, 0x0317, "the log of calls")                                                      \
    M(USAGE_LIST_REP, usage_list_rep, 0x0318, "a page of it")                                                          \
    M(USER_LIST_REQ, user_list_req, 0x0319, "all users")                                                               \
    M(USER_LIST_REP, user_list_rep, 0x031a, "a page of them")                                                          \
    M(USER_GET_REQ, user_get_req, 0x031b, "one user")                                                                  \
    M(USER_UPDATE_REQ, user_update_req, 0x031d, "change a user")                                                       \
    M(CREDIT_GRANT_REQ, credit_grant_req, 0x031f, "grant credit")                                                      \
    M(CREDIT_GRANT_REP, credit_grant_rep, 0x0320, "granted")                                                           \
    M(PLAN_LIST_REQ, plan_list_req, 0x0321, "all plans")                                                               \
    M(PLAN_LIST_REP, plan_list_rep, 0x0322, "the plans")                                                               \
    M(PLAN_UPDATE_REQ, plan_update_req, 0x0323, "change or make a plan")                                               \
    M(PLAN_REP, plan_rep, 0x0324, "the plan")                                                                          \
    M(PRICE_LIST_REQ, price_list_req, 0x0325, "prices in force")                                                       \
    M(PRICE_LIST_REP, price_list_rep, 0x0326, "a page of them")                                                        \
    M(PRICE_PUT_REQ, price_put_req, 0x0327, "set a price")                                                             \
    M(PRICE_REP, price_rep, 0x0328, "the price")                                                                       \
    M(PROVIDER_ANNOUNCE_REQ, provider_announce_req, 0x0329, "these providers are served")                              \
    M(LEDGER_VERIFY_REQ, ledger_verify_req, 0x032b, "recompute every balance")                                         \
    M(LEDGER_VERIFY_REP, ledger_verify_rep, 0x032c, "what was found")                                                  \
    M(USAGE_DELIVER_REQ, usage_deliver_req, 0x032d, "usage that was not acknowledged in time")                         \
    M(USAGE_DELIVER_REP, usage_deliver_rep, 0x032e, "the position now")                                                \
    M(USAGE_VOID_REQ, usage_void_req, 0x032f, "an admitted call that never started")

PROTO_MESSAGES(WIRE_STRUCT)

/* All declared messages, for the tests, the documentation and the log. Ends with NULL. */
extern const struct wire_desc *const proto_messages[];
const struct wire_desc *proto_message_by_type(uint16_t type); /* NULL = not declared */

#endif
