/* Messages that providersvc answers. Rules and numbers: proto/messages.h. */
#ifndef PROTO_FIELDS_PROVIDERSVC_H
#define PROTO_FIELDS_PROVIDERSVC_H

/* clang-format off */

/* ---- providersvc ------------------------------------------------------------------------------------------------ */

/* Streamed answer: DATA of type response_head first, then DATA of type 0 (bytes of the body), then END with completion_rep. */
#define COMPLETION_REQ(F, L, m)                                                                                        \
    F(m, 1, STR,  request_id,     REQ, LIMIT_ID_TEXT,  "req_…")                                                        \
    F(m, 2, STR,  user_id,        REQ, LIMIT_ID_TEXT,  "who pays")                                                     \
    F(m, 3, STR,  key_id,         REQ, LIMIT_ID_TEXT,  "which key")                                                    \
    F(m, 4, STR,  model,          OPT, LIMIT_MODEL,    "as the client said it; empty = the endpoint has none")         \
    F(m, 7, STR,  endpoint,       REQ, LIMIT_NAME,     "chat.completions, messages …: proto/endpoints.h")              \
    F(m, 8, BOOL, stream,         OPT, 1,              "the client asked for SSE")                                     \
    F(m, 9, BOOL, usage_asked,    OPT, 1,              "the client asked for the usage chunk")                         \
    F(m, 11, NANO, hold_nano,     OPT, MONEY_NANO_MAX, "credit held")                                                  \
    F(m, 12, U64, output_limit,   OPT, LIMIT_TOKENS,   "put this output limit into the request; 0 = leave it untouched") \
    F(m, 13, U64, prompt_tokens_estimate, OPT, LIMIT_TOKENS, "billed when upstream gives no usage")                    \
    F(m, 14, BIN, body,           OPT, LIMIT_BODY,     "the client's bytes; of a JSON endpoint an object, checked by the gateway")\
    F(m, 15, BOOL, credit_limited, OPT, 1,             "output_limit is what the credit bears: the answer says so when it ends there")\
    F(m, 17, BIN, key_digest,     OPT, LIMIT_DIGEST,   "SHA-256 of the key, to assert the hold")                       \
    F(m, 18, STR, method,         OPT, LIMIT_NAME,     "of the HTTP request; empty = POST")                            \
    F(m, 19, STR, path,           OPT, LIMIT_URL,      "below /v1 with its query, percent-encoded as the client did; empty = the endpoint's own") \
    F(m, 20, STR, content_type,   OPT, LIMIT_TITLE,    "of the body; empty = application/json")                        \
    L(m, 21, http_header, headers, 16,                 "the client's, those that upstream may see")                    \
    F(m, 22, U64, upload_bytes,   OPT, LIMIT_UPLOAD,   "the body is so long and comes in pieces, as upload_want asks for them; body is empty") \
    F(m, 23, U64, model_at,       OPT, LIMIT_UPLOAD,   "of an upload: where the model's name stands, to be replaced by the upstream's …") \
    F(m, 24, U64, model_bytes,    OPT, LIMIT_MODEL,    "… and how long it is; 0 = it is not in there")                \
    L(m, 25, call_route, routes,  LIMIT_ROUTES,        "who may serve it; one at least")                              \
    F(m, 26, BOOL, by_latency,    OPT, 1,              "among routes of a tier the fastest, not by weight")            \
    L(m, 27, batch_worth, batch, 1,                    "of the file that is sent or that a batch is made of; its output is then what the hold bears, nothing of it unlimited") \
    F(m, 28, U64, price_percent, OPT, LIMIT_PERCENT,   "of the prices: what a batch costs; 0 = all")                   \
    F(m, 29, U64, prompt_tokens_held, OPT, LIMIT_TOKENS, "input that the hold bears, where that is more than the estimate; 0 = it is not") \
    F(m, 30, BOOL, background,    OPT, 1,              "of responses: upstream is asked to go on with it whoever listens")

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
    L(m, 7, http_header, headers, 32,           "upstream's, those on the allow-list")                                 \
    F(m, 8, U64, route,        OPT, LIMIT_ROUTES, "index of the route that answered")                                  \
    F(m, 9, STR, dropped,      OPT, LIMIT_TITLE,  "names of the request's fields that were left out for this upstream")

#define PROVIDER_TEST_REQ(F, L, m)                                                                                     \
    F(m, 1, STR, name,  REQ, LIMIT_NAME,  "which provider")                                                            \
    F(m, 2, STR, model, OPT, LIMIT_MODEL, "its name there: a call of one token is made, too; empty = its list of models only")

#define PROVIDER_TEST_REP(F, L, m)                                                                                     \
    F(m, 1, BOOL, ok,         OPT, 1,            "it answered as it should")                                           \
    F(m, 2, U64, http_status, OPT, 999,          "what it said; 0 = nothing")                                          \
    F(m, 3, U64, latency_ms,  OPT, LIMIT_MS,     "to its whole answer")                                                \
    F(m, 4, STR, text,        OPT, LIMIT_TITLE,  "for a human: what is wrong, or what it answered")                    \
    F(m, 5, STRS, models,     OPT, LIMIT_MODELS, "the first of its models")

#define COMPLETION_REP(F, L, m)                                                                                        \
    F(m, 1, U64,  prompt_tokens,      OPT, LIMIT_TOKENS, "all input")                                                  \
    F(m, 2, U64,  cached_tokens,      OPT, LIMIT_TOKENS, "of them read from a cache")                                  \
    F(m, 3, U64,  cache_write_tokens, OPT, LIMIT_TOKENS, "of them written to a short-lived cache")                     \
    F(m, 4, U64,  cache_write_long_tokens, OPT, LIMIT_TOKENS, "of them written to a long-lived cache")                 \
    F(m, 5, U64,  completion_tokens,  OPT, LIMIT_TOKENS, "all output")                                                 \
    F(m, 6, U64,  reasoning_tokens,   OPT, LIMIT_TOKENS, "of them reasoning")                                          \
    F(m, 7, BOOL, estimated,          OPT, 1,            "upstream gave no usage: counted here")                       \
    F(m, 8, U64,  attempts,           OPT, 100,          "upstream calls made")                                        \
    F(m, 9, STR,  outcome,            REQ, LIMIT_NAME,   "ok, error, cancelled, truncated")                            \
    F(m, 10, U64, audio_input_tokens,  OPT, LIMIT_TOKENS, "of the input audio")                                        \
    F(m, 11, U64, audio_output_tokens, OPT, LIMIT_TOKENS, "of the output audio")                                       \
    F(m, 12, U64, image_input_tokens,  OPT, LIMIT_TOKENS, "of the input images")                                       \
    F(m, 13, U64, image_output_tokens, OPT, LIMIT_TOKENS, "of the output images")                                      \
    F(m, 14, U64, route,               OPT, LIMIT_ROUTES, "index of the route that the tokens are of")                \
    F(m, 15, BOOL, parked,             OPT, 1,            "the tokens are not known yet")                              \
    F(m, 16, U64, price_percent,       OPT, LIMIT_PERCENT, "of the prices: what the tier that served it costs; 0 = all")

/* A stretch of the body that providersvc is ready to send. It travels to the gateway as DATA, and the gateway answers
 * with DATA of type 0 (exchange: xchg_push), in order, exactly those bytes. May ask for the beginning again: another
 * attempt. */
#define UPLOAD_WANT(F, L, m)                                                                                           \
    F(m, 1, U64, from,  OPT, LIMIT_UPLOAD, "first byte")                                                               \
    F(m, 2, U64, bytes, REQ, LIMIT_UPLOAD, "how many")

/* clang-format on */

#endif
