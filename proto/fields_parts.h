/* Parts of other messages, and messages that any service answers. Rules and numbers: proto/messages.h. */
#ifndef PROTO_FIELDS_PARTS_H
#define PROTO_FIELDS_PARTS_H

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
    F(m, 19, STR,  mode,                      OPT, LIMIT_NAME,     "chat, embedding, image, audio …")                  \
    F(m, 20, PICO, audio_input_pico,         OPT, MONEY_PICO_MAX, "per audio input token; absent = as input")          \
    F(m, 21, PICO, audio_output_pico,        OPT, MONEY_PICO_MAX, "per audio output token; absent = as output")        \
    F(m, 22, PICO, image_input_pico,         OPT, MONEY_PICO_MAX, "per image input token; absent = as input")          \
    F(m, 23, PICO, image_output_pico,        OPT, MONEY_PICO_MAX, "per image output token; absent = as output")        \
    F(m, 24, PICO, reasoning_pico,           OPT, MONEY_PICO_MAX, "per reasoning token; absent = as output")           \
    F(m, 25, U64,  ended,                    OPT, LIMIT_TIME,     "Unix seconds from which a later version holds; 0 = none does")

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
    F(m, 11, U64, created,     REQ, LIMIT_TIME,    "Unix seconds")                                                     \
    F(m, 12, NANO, budget_nano,       OPT, MONEY_NANO_MAX, "most that the key may spend in a period; 0 = no budget")   \
    F(m, 13, STR, budget_period,      OPT, LIMIT_NAME, "day, week, month (UTC) or total")                              \
    F(m, 14, NANO, budget_spent_nano, OPT, MONEY_NANO_MAX, "of the budget, spent in the period that runs")             \
    F(m, 15, STRS, ip_allow,       OPT, LIMIT_IP_ALLOW, "addresses and ranges that it may be used from; none = any")   \
    F(m, 16, U64, previous_until,  OPT, LIMIT_TIME, "after a rotation: Unix seconds until which the secret before this one goes on; 0 = there is none")

#define PLAN(F, L, m)                                                                                                  \
    F(m, 1, STR,  name,        REQ, LIMIT_NAME,   "free, pro, unlimited or your own")                                  \
    F(m, 2, U64,  rpm,         OPT, LIMIT_COUNT,  "requests per minute and key; 0 = unlimited")                        \
    F(m, 3, U64,  tpm,         OPT, LIMIT_COUNT,  "tokens per minute and key; 0 = unlimited")                          \
    F(m, 4, U64,  concurrency, OPT, LIMIT_COUNT,  "requests of a key at once; 0 = unlimited")                          \
    F(m, 5, U64,  max_keys,    OPT, LIMIT_COUNT,  "active keys of a user; 0 = unlimited")                              \
    F(m, 6, STRS, models,      OPT, LIMIT_MODELS, "models allowed, * at the end matches any rest; none = all")         \
    F(m, 7, NANO, monthly_credit_nano, OPT, MONEY_NANO_MAX, "granted to each of its users once a calendar month (UTC); 0 = none")

#define PROVIDER(F, L, m)                                                                                              \
    F(m, 1, STR,  name, REQ, LIMIT_NAME, "as in provider/model")                                                       \
    F(m, 2, STR,  kind, REQ, LIMIT_NAME, "openai, echo …: the adapter")

#define USAGE_ATTEMPT(F, L, m)                                                                                         \
    F(m, 1, U64,  number,             REQ, 100,            "1, 2 … in the order made")                                 \
    F(m, 2, STR,  provider,           REQ, LIMIT_NAME,     "who was asked")                                            \
    F(m, 3, STR,  upstream_model,     REQ, LIMIT_MODEL,    "for which model")                                          \
    F(m, 4, STR,  outcome,            REQ, LIMIT_NAME,     "ok, error, connect, timeout, broken or cancelled")         \
    F(m, 5, U64,  http_status,        OPT, 999,            "what upstream said; 0 = nothing")                          \
    F(m, 6, BOOL, answered,           OPT, 1,              "its answer went to the client: the caller pays for this one, the operator for the others")\
    F(m, 7, U64,  prompt_tokens,      OPT, LIMIT_TOKENS,   "all input")                                                \
    F(m, 8, U64,  cached_tokens,      OPT, LIMIT_TOKENS,   "of it from a cache")                                       \
    F(m, 9, U64,  cache_write_tokens, OPT, LIMIT_TOKENS,   "of it written to a short-lived cache")                     \
    F(m, 10, U64, cache_write_long_tokens, OPT, LIMIT_TOKENS, "of it written to a long-lived cache")                   \
    F(m, 11, U64, completion_tokens,  OPT, LIMIT_TOKENS,   "all output")                                               \
    F(m, 12, U64, reasoning_tokens,   OPT, LIMIT_TOKENS,   "of it reasoning")                                          \
    F(m, 13, BOOL, estimated,         OPT, 1,              "counted here, because upstream gave none")                 \
    F(m, 14, U64, price_id,           OPT, LIMIT_ID,       "price that it is charged at; 0 = free of charge")          \
    F(m, 15, NANO, cost_nano,         OPT, MONEY_NANO_MAX, "what it cost; set by meterd")                              \
    F(m, 16, U64, latency_ms,         OPT, LIMIT_MS,       "from its start to its end")                                \
    F(m, 17, U64, audio_input_tokens,  OPT, LIMIT_TOKENS,  "of the input audio")                                       \
    F(m, 18, U64, audio_output_tokens, OPT, LIMIT_TOKENS,  "of the output audio")                                      \
    F(m, 19, U64, image_input_tokens,  OPT, LIMIT_TOKENS,  "of the input images")                                      \
    F(m, 20, U64, image_output_tokens, OPT, LIMIT_TOKENS,  "of the output images")

#define HOLD_STATE(F, L, m)                                                                                            \
    F(m, 1, STR,  request_id,  REQ, LIMIT_ID_TEXT,  "req_…: of the call that it is for")                               \
    F(m, 2, STR,  user_id,     REQ, LIMIT_ID_TEXT,  "whose credit")                                                    \
    F(m, 3, STR,  key_id,      REQ, LIMIT_ID_TEXT,  "by which key")                                                    \
    F(m, 4, BIN,  key_digest,  OPT, LIMIT_DIGEST,   "SHA-256 of the key")                                              \
    F(m, 5, NANO, amount_nano, REQ, MONEY_NANO_MAX, "credit held")                                                     \
    F(m, 6, U64,  lease_ms,    REQ, LIMIT_MS,       "it ends by itself when nobody asserts it for so long")            \
    F(m, 7, BOOL, running,     OPT, 1,              "the call has not ended: it takes a place among the concurrent ones")

/* What the lines of a batch's input file can use, all together. */
#define BATCH_WORTH(F, L, m)                                                                                           \
    F(m, 1, STR, model,         REQ, LIMIT_MODEL,  "of every line")                                                    \
    F(m, 2, U64, requests,      REQ, LIMIT_COUNT,  "lines")                                                            \
    F(m, 3, U64, prompt_tokens, OPT, LIMIT_TOKENS, "upper estimate")                                                   \
    F(m, 4, U64, output_tokens, OPT, LIMIT_TOKENS, "limits of the answers that have one")                              \
    F(m, 5, U64, unlimited,     OPT, LIMIT_COUNT,  "answers without a limit: each as long as the model allows")        \
    F(m, 6, U64, contexts,      OPT, LIMIT_COUNT,  "lines with input that upstream keeps: each as long as the model's window")

/* What an answer says of a batch or a response whose call is parked. */
#define OBJECT_END(F, L, m)                                                                                             \
    F(m, 1, STR,  object_id,         REQ, LIMIT_OBJECT_ID, "batch_…, resp_…")                                          \
    F(m, 2, STR,  status,            REQ, LIMIT_NAME,      "completed, failed, expired, cancelled, incomplete, deleted; in_progress = not over, but the client has seen completion_tokens of it") \
    F(m, 3, BOOL, known,             OPT, 1,               "upstream says what it used: the tokens below")             \
    F(m, 4, U64,  requests,          OPT, LIMIT_COUNT,     "of a batch's file")                                        \
    F(m, 5, U64,  completed,         OPT, LIMIT_COUNT,     "of them")                                                  \
    F(m, 6, U64,  prompt_tokens,     OPT, LIMIT_TOKENS,    "all input")                                                \
    F(m, 7, U64,  cached_tokens,     OPT, LIMIT_TOKENS,    "of it from a cache")                                       \
    F(m, 8, U64,  completion_tokens, OPT, LIMIT_TOKENS,    "all output; of a response that is not known what the answer shows of it, counted here") \
    F(m, 9, U64,  reasoning_tokens,  OPT, LIMIT_TOKENS,    "of it reasoning")                                          \
    F(m, 10, U64, cache_write_tokens, OPT, LIMIT_TOKENS,   "of the input written to a short-lived cache")              \
    F(m, 11, U64, cache_write_long_tokens, OPT, LIMIT_TOKENS, "of the input written to a long-lived cache")            \
    F(m, 12, U64, audio_input_tokens,  OPT, LIMIT_TOKENS,  "of the input audio")                                       \
    F(m, 13, U64, audio_output_tokens, OPT, LIMIT_TOKENS,  "of the output audio")                                      \
    F(m, 14, U64, image_input_tokens,  OPT, LIMIT_TOKENS,  "of the input images")                                      \
    F(m, 15, U64, image_output_tokens, OPT, LIMIT_TOKENS,  "of the output images")                                     \
    F(m, 16, U64, price_percent,       OPT, LIMIT_PERCENT, "of the price, by the tier that served it; 0 = what the call was told")

#define LEDGER_ROW(F, L, m)                                                                                            \
    F(m, 1, U64,  id,           REQ, LIMIT_ID,       "ledger entry")                                                   \
    F(m, 2, U64,  created,      REQ, LIMIT_TIME,     "Unix seconds")                                                   \
    F(m, 3, STR,  kind,         REQ, LIMIT_NAME,     "usage, hold, settle, start, signup, grant, topup, refund, adjustment, code, monthly …")\
    F(m, 4, NANO, amount_nano,  REQ, MONEY_NANO_MAX, "below zero: taken")                                              \
    F(m, 5, NANO, balance_nano, REQ, MONEY_NANO_MAX, "of the account, after it")                                       \
    F(m, 6, STR,  request_id,   OPT, LIMIT_ID_TEXT,  "the call that it is for")                                        \
    F(m, 7, STR,  note,         OPT, LIMIT_TITLE,    "why")                                                            \
    F(m, 8, STR,  account,      OPT, LIMIT_NAME,     "available, held, revenue, overage or grants")

#define CREDIT_CODE(F, L, m)                                                                                           \
    F(m, 1, STR,  id,          REQ, LIMIT_ID_TEXT,  "cod_…")                                                           \
    F(m, 2, STR,  code,        OPT, LIMIT_NAME,     "what is redeemed: shown once, when it is made")                   \
    F(m, 3, STR,  prefix,      REQ, LIMIT_NAME,     "its beginning, to tell codes apart")                              \
    F(m, 4, NANO, amount_nano, REQ, MONEY_NANO_MAX, "what it is worth")                                                \
    F(m, 5, STR,  note,        OPT, LIMIT_TITLE,    "why")                                                             \
    F(m, 6, U64,  expires_at,  OPT, LIMIT_TIME,     "Unix seconds; 0 = never")                                         \
    F(m, 7, STR,  status,      REQ, LIMIT_NAME,     "open, redeemed or revoked")                                       \
    F(m, 8, STR,  user_id,     OPT, LIMIT_ID_TEXT,  "who redeemed it")                                                 \
    F(m, 9, U64,  created,     REQ, LIMIT_TIME,     "Unix seconds")                                                    \
    F(m, 10, U64, redeemed_at, OPT, LIMIT_TIME,     "Unix seconds")

#define CALL_ROUTE(F, L, m)                                                                                            \
    F(m, 1, STR, provider,       REQ, LIMIT_NAME,   "who may serve the call")                                          \
    F(m, 2, STR, upstream_model, REQ, LIMIT_MODEL,  "the model's name there")                                          \
    F(m, 3, U64, tier,           OPT, LIMIT_TIER,   "lower first")                                                     \
    F(m, 4, U64, weight,         OPT, LIMIT_WEIGHT, "share among routes of its tier; 0 = 1")                           \
    L(m, 5, price, price, 1,                        "price pinned at admission; none = free of charge")

#define CATALOG_ROUTE(F, L, m)                                                                                         \
    F(m, 1, STR, provider, REQ, LIMIT_NAME,   "name of a provider")                                                    \
    F(m, 2, STR, model,    REQ, LIMIT_MODEL,  "the model's name there")                                                \
    F(m, 3, U64, tier,     OPT, LIMIT_TIER,   "lower first; absent = 1")                                               \
    F(m, 4, U64, weight,   OPT, LIMIT_WEIGHT, "share among routes of its tier; absent = 1")

#define CATALOG_MODEL(F, L, m)                                                                                         \
    F(m, 1, STR,  name,           REQ, LIMIT_MODEL,  "as clients say it")                                              \
    F(m, 2, STRS, aliases,        OPT, LIMIT_MODELS, "other names for it")                                             \
    L(m, 3, catalog_route, routes, LIMIT_ROUTES,     "who serves it; none = the model is gone (state record)")         \
    F(m, 4, U64,  max_output,     OPT, LIMIT_TOKENS, "tokens of an answer at most; 0 = as its price says")             \
    F(m, 5, U64,  context_window, OPT, LIMIT_TOKENS, "tokens of prompt and answer together; 0 = as its price says")    \
    F(m, 6, STR,  routing,        OPT, LIMIT_NAME,   "among routes of a tier: weighted (default) or latency")          \
    F(m, 7, BOOL, own_price,      OPT, 1,            "its price is the one of its own name; else of the route's model")\
    F(m, 8, U64,  created,        OPT, LIMIT_TIME,   "Unix seconds")                                                   \
    F(m, 9, STR,  source,         OPT, LIMIT_NAME,   "config or api")                                                   \
    L(m, 10, price, price, 1,                        "its own price in force, when one model is looked at")

#define MODEL_PRICE(F, L, m)                                                                                           \
    F(m, 1, PICO, input_pico,            OPT, MONEY_PICO_MAX, "per input token; due")                                  \
    F(m, 2, PICO, cached_input_pico,     OPT, MONEY_PICO_MAX, "absent = as input")                                     \
    F(m, 3, PICO, cache_write_pico,      OPT, MONEY_PICO_MAX, "absent = as input")                                     \
    F(m, 4, PICO, cache_write_long_pico, OPT, MONEY_PICO_MAX, "absent = as input")                                     \
    F(m, 5, PICO, output_pico,           OPT, MONEY_PICO_MAX, "per output token; due")                                 \
    F(m, 6, PICO, audio_input_pico,      OPT, MONEY_PICO_MAX, "absent = as input")                                     \
    F(m, 7, PICO, audio_output_pico,     OPT, MONEY_PICO_MAX, "absent = as output")                                    \
    F(m, 8, PICO, image_input_pico,      OPT, MONEY_PICO_MAX, "absent = as input")                                     \
    F(m, 9, PICO, image_output_pico,     OPT, MONEY_PICO_MAX, "absent = as output")                                    \
    F(m, 10, PICO, reasoning_pico,       OPT, MONEY_PICO_MAX, "absent = as output")                                    \
    F(m, 11, U64,  tier_above_tokens,    OPT, LIMIT_TOKENS,   "with more input than this the tier's prices hold; absent = no tier")\
    F(m, 12, PICO, tier_input_pico,      OPT, MONEY_PICO_MAX, "due with a tier")                                       \
    F(m, 13, PICO, tier_cached_input_pico, OPT, MONEY_PICO_MAX, "absent = as the tier's input")                        \
    F(m, 14, PICO, tier_cache_write_pico, OPT, MONEY_PICO_MAX, "absent = as the tier's input")                         \
    F(m, 15, PICO, tier_cache_write_long_pico, OPT, MONEY_PICO_MAX, "absent = as the tier's input")                    \
    F(m, 16, PICO, tier_output_pico,     OPT, MONEY_PICO_MAX, "due with a tier")                                       \
    F(m, 17, STR,  mode,                 OPT, LIMIT_NAME,     "chat, embedding, image, audio …; absent = as it is, chat for a new model")

#define UPSTREAM_KEY(F, L, m)                                                                                          \
    F(m, 1, STR, id,   REQ, LIMIT_ID_TEXT, "ukey_…")                                                                   \
    F(m, 2, STR, hint, REQ, LIMIT_NAME,    "its last four characters, or ${NAME}: read from providersvc's environment")

#define CATALOG_PROVIDER(F, L, m)                                                                                      \
    F(m, 1, STR,  name,          REQ, LIMIT_NAME,   "as in provider/model")                                            \
    F(m, 2, STR,  kind,          REQ, LIMIT_NAME,   "openai, azure, anthropic, gemini or echo; empty = it is gone (state record)") \
    F(m, 3, STR,  base_url,      OPT, LIMIT_URL,    "absent = the kind's own")                                         \
    F(m, 4, BOOL, internal,      OPT, 1,            "private addresses are allowed")                                   \
    F(m, 5, STR,  disconnect,    OPT, LIMIT_NAME,   "cancel or drain; absent = DISCONNECT")                            \
    F(m, 6, U64,  connect_ms,    OPT, LIMIT_MS,     "0 = UPSTREAM_CONNECT_MS")                                         \
    F(m, 7, U64,  first_byte_ms, OPT, LIMIT_MS,     "0 = UPSTREAM_FIRST_BYTE_MS, not streamed: UPSTREAM_ANSWER_MS")    \
    F(m, 8, U64,  idle_ms,       OPT, LIMIT_MS,     "0 = UPSTREAM_IDLE_MS")                                            \
    F(m, 9, U64,  total_ms,      OPT, LIMIT_MS,     "of one attempt; 0 = the call's own deadline")                     \
    F(m, 10, STR, api_version,   OPT, LIMIT_NAME,   "azure: api-version; absent = its v1 API")                         \
    F(m, 11, BOOL, disabled,     OPT, 1,            "no calls go there")                                               \
    F(m, 12, STRS, drop_params,  OPT, LIMIT_MODELS, "members that this provider refuses: left out of every request")   \
    L(m, 13, upstream_key, keys, LIMIT_UPSTREAM_KEYS, "without their secrets")                                         \
    F(m, 14, U64, created,       OPT, LIMIT_TIME,   "Unix seconds")                                                    \
    F(m, 15, STR, source,        OPT, LIMIT_NAME,   "config or api")                                                   \
    F(m, 16, BOOL, chat_only,    OPT, 1,            "openai: it has no Responses API; calls to that are made as chats, with max_tokens")

#define SEALED_KEY(F, L, m)                                                                                            \
    F(m, 1, STR, id,     REQ, LIMIT_ID_TEXT,  "ukey_…")                                                                \
    F(m, 2, BIN, sealed, OPT, LIMIT_SEALED,   "the secret, sealed with MASTER_KEY (services/seal.h)")                  \
    F(m, 3, STR, env,    OPT, LIMIT_NAME,     "or the name of the environment variable that holds it")

#define CONFIG_CHANGE(F, L, m)                                                                                         \
    F(m, 1, STR, object, REQ, LIMIT_NAME,  "provider or model")                                                        \
    F(m, 2, STR, name,   REQ, LIMIT_MODEL, "which")                                                                    \
    F(m, 3, STR, action, REQ, LIMIT_NAME,  "added, changed, unchanged, removed, or kept: changed by the API since")    \
    F(m, 4, STR, detail, OPT, LIMIT_TITLE, "what of it changed")

#define AUDIT_ENTRY(F, L, m)                                                                                           \
    F(m, 1, U64, id,       REQ, LIMIT_ID,      "its place in the order of entries")                                    \
    F(m, 2, U64, created,  REQ, LIMIT_TIME,    "Unix seconds")                                                         \
    F(m, 3, STR, actor_id, OPT, LIMIT_ID_TEXT, "who: an administrator, or a user of the own password; empty = the CONFIG file at a start") \
    F(m, 4, STR, action,   REQ, LIMIT_NAME,    "provider.create, provider.update …; docs/openapi.yaml names them all") \
    F(m, 5, STR, object,   REQ, LIMIT_MODEL,   "of what: its name; of a user (credit.grant, too) or a code: its id")   \
    F(m, 6, STR, detail,   OPT, LIMIT_TITLE,   "what changed; secrets masked")

/* Where a sighting is told to meterd it has no id. */
#define SECURITY_EVENT(F, L, m)                                                                                        \
    F(m, 1, U64, id,         OPT, LIMIT_ID,    "its place in the order of events")                                     \
    F(m, 2, STR, kind,       REQ, LIMIT_NAME,  "login_failed, key_guessing …; docs/openapi.yaml names them all")       \
    F(m, 3, STR, subject,    OPT, LIMIT_TITLE, "of what: an e-mail address, the id of a key or user; (others) = there was no room to tell apart")\
    F(m, 4, STR, address,    OPT, LIMIT_NAME,  "of the client, of IPv6 its /64; empty = nobody knows")                 \
    F(m, 5, U64, count,      REQ, LIMIT_ID,    "how often")                                                            \
    F(m, 6, U64, first_seen, REQ, LIMIT_TIME,  "Unix seconds")                                                         \
    F(m, 7, U64, last_seen,  REQ, LIMIT_TIME,  "Unix seconds")                                                         \
    F(m, 8, STR, detail,     OPT, LIMIT_TITLE, "more, for people")

#define ALERT(F, L, m)                                                                                                 \
    F(m, 1, U64, id,       REQ, LIMIT_ID,      "its place in the order of alerts")                                     \
    F(m, 2, STR, rule,     REQ, LIMIT_NAME,    "brute_force, disk_low …; docs/operations.md names them all")           \
    F(m, 3, STR, severity, REQ, LIMIT_NAME,    "warning or critical")                                                  \
    F(m, 4, STR, subject,  OPT, LIMIT_TITLE,   "of what: an address, the id of a key or user, a provider")             \
    F(m, 5, STR, text,     REQ, LIMIT_TITLE,   "what is wrong, as last seen")                                          \
    F(m, 6, STR, state,    REQ, LIMIT_NAME,    "firing or resolved")                                                   \
    F(m, 7, U64, since,    REQ, LIMIT_TIME,    "Unix seconds: first seen")                                             \
    F(m, 8, U64, last,     REQ, LIMIT_TIME,    "Unix seconds: last seen")                                              \
    F(m, 9, U64, count,    REQ, LIMIT_ID,      "how often it was looked at and there")                                 \
    F(m, 10, U64, resolved_at,     OPT, LIMIT_TIME,    "Unix seconds; 0 = it is firing")                               \
    F(m, 11, U64, acknowledged_at, OPT, LIMIT_TIME,    "Unix seconds; 0 = nobody has")                                 \
    F(m, 12, STR, acknowledged_by, OPT, LIMIT_ID_TEXT, "which administrator")

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
    L(m, 8, health_check, checks, LIMIT_CHECKS, "what the service looked at")

#define METRICS_REQ(F, L, m)                                                                                           \
    F(m, 1, BOOL, unused, OPT, 1, "no arguments")

#define METRICS_REP(F, L, m)                                                                                           \
    F(m, 1, BIN, text, REQ, LIMIT_METRICS, "Prometheus text format 0.0.4")

/* clang-format on */

#endif
