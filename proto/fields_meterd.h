/* Messages that meterd answers. Rules and numbers: proto/messages.h. */
#ifndef PROTO_FIELDS_METERD_H
#define PROTO_FIELDS_METERD_H

/* clang-format off */

/* ---- meterd: state and accounts --------------------------------------------------------------------------------- */

#define STATE_CHANGE(F, L, m)                                                                                          \
    F(m, 1, U64, revision, REQ, LIMIT_ID,    "its place in the order of all changes")                                  \
    F(m, 2, U64, kind,     REQ, 0xffff,      "type number of the record: user, key_state, plan, price, provider, catalog_model, provider_state, settled, ack") \
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
    F(m, 7, NANO,   credit_nano,   OPT, MONEY_NANO_MAX, "granted at sign-up")                                          \
    F(m, 8, SECRET, code,          OPT, LIMIT_NAME,     "redeemed by the new user: no code, no user")

#define USER_REP(F, L, m)                                                                                              \
    L(m, 1, user, user, 1,              "the user as it is now")                                                       \
    F(m, 2, U64, revision, OPT, LIMIT_ID, "of the state, when the call changed it")

#define USER_AUTH_REQ(F, L, m)                                                                                         \
    F(m, 1, STR, email, REQ, LIMIT_EMAIL, "lower case")

#define USER_AUTH_REP(F, L, m)                                                                                         \
    L(m, 1, user, user, 1,                         "who it is")                                                        \
    F(m, 2, SECRET, password_hash, REQ, LIMIT_TITLE, "argon2id")

#define USER_PASSWORD_REQ(F, L, m)                                                                                     \
    F(m, 1, STR,    actor_id,      REQ, LIMIT_ID_TEXT, "who did it: the user, or an administrator")                    \
    F(m, 2, STR,    id,            REQ, LIMIT_ID_TEXT, "usr_…: whose password")                                        \
    F(m, 3, SECRET, password_hash, REQ, LIMIT_TITLE,   "argon2id, as libsodium writes it")                             \
    F(m, 4, STR,    session_id,    OPT, LIMIT_ID_TEXT, "goes on; all others of the user end")

#define USER_PASSWORD_REP(F, L, m)                                                                                     \
    F(m, 1, STRS, sessions, OPT, LIMIT_LIST, "which have ended, newest first; where there are more, session_ended names those, too")

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
    L(m, 2, user, user, 1,                       "whose")                                                            \
    F(m, 3, BOOL, reused, OPT, 1,                "the token was exchanged before: somebody has copied it, the session is over")

#define SESSION_END_REQ(F, L, m)                                                                                       \
    F(m, 1, STR, session_id, REQ, LIMIT_ID_TEXT, "which session")

#define KEY_PUT_REQ(F, L, m)                                                                                           \
    F(m, 1, BIN, digest, REQ, LIMIT_DIGEST, "SHA-256 of the secret")                                                   \
    L(m, 2, api_key, key, 1,                "id, owner, name, prefix, limits; status and created are meterd's")

#define KEY_LIST_REQ(F, L, m)                                                                                          \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "whose keys")                                                           \
    F(m, 2, U64, limit,    OPT, LIMIT_PAGE,    "page size; 0 = 100")                                                   \
    F(m, 3, STR, cursor,   OPT, LIMIT_TOKEN,   "from the last page")                                                   \
    F(m, 4, STR, id,       OPT, LIMIT_ID_TEXT, "only this one")

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
    F(m, 4, STR, group_by, OPT, LIMIT_TITLE,   "any of model,key,day,hour, and for administrators user, with commas; empty = totals only") \
    F(m, 5, STR, user,     OPT, LIMIT_ID_TEXT, "administrators: only this user's")

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
    F(m, 12, U64, latency_ms_avg,     REQ, LIMIT_MS, "mean time of a call")                                            \
    F(m, 13, STR, user_id, OPT, LIMIT_ID_TEXT, "when grouped by user")                                                 \
    F(m, 14, STR, email,   OPT, LIMIT_EMAIL,   "when grouped by user; empty for one who is not known here")

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
    F(m, 8, STR, status,   OPT, LIMIT_NAME,    "only this status: ok, error, cancelled, truncated, expired, void")     \
    F(m, 9, STR, request_id, OPT, LIMIT_ID_TEXT, "only this call")                                                     \
    F(m, 10, STR, user,    OPT, LIMIT_ID_TEXT, "administrators: only this user's")

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
    F(m, 10, STR, status,             REQ, LIMIT_NAME,     "ok, error, cancelled, truncated, void; expired: billed as far as it was heard of") \
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
    F(m, 24, BOOL, estimated,         REQ, 1,              "tokens counted here because upstream gave none")           \
    F(m, 25, U64, audio_input_tokens,  OPT, LIMIT_TOKENS,   "of the input audio")                                      \
    F(m, 26, U64, audio_output_tokens, OPT, LIMIT_TOKENS,   "of the output audio")                                     \
    F(m, 27, U64, image_input_tokens,  OPT, LIMIT_TOKENS,   "of the input images")                                     \
    F(m, 28, U64, image_output_tokens, OPT, LIMIT_TOKENS,   "of the output images")                                    \
    F(m, 29, NANO, hold_nano,          OPT, MONEY_NANO_MAX, "credit that was held for it")                             \
    L(m, 30, price, price, 1,                               "receipt of one call: the price version used")             \
    L(m, 31, usage_attempt, attempt_log, 16,                "receipt of one call: every call upstream and its cost")   \
    L(m, 32, ledger_row, entries, 64,                       "receipt of one call: its ledger entries")                 \
    F(m, 33, U64, price_percent,       OPT, LIMIT_PERCENT,  "of the price: what a batch or the tier that served it costs; 0 = all of it")

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
    F(m, 5, STR,  idempotency_key, OPT, LIMIT_TITLE, "the same key grants once; with another amount CONFLICT")         \
    F(m, 6, STR,  kind,       OPT, LIMIT_NAME,     "grant (default), topup, refund or adjustment")                     \
    F(m, 7, STR,  request_id, OPT, LIMIT_ID_TEXT,  "refund: the call that is paid back, all refunds of it together at most what it cost")

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
    F(m, 7, STRS, models,      OPT, LIMIT_MODELS,  "absent = as it is")                                                \
    F(m, 8, NANO, monthly_credit_nano, OPT, MONEY_NANO_MAX, "absent = as it is")

#define PLAN_REP(F, L, m)                                                                                              \
    L(m, 1, plan, plan, 1,                "the plan as it is now")                                                     \
    F(m, 2, U64, revision, OPT, LIMIT_ID, "of the state with it")

#define PRICE_LIST_REQ(F, L, m)                                                                                        \
    F(m, 1, U64, limit,  OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                       \
    F(m, 2, STR, cursor, OPT, LIMIT_TOKEN, "from the last page")                                                       \
    F(m, 3, STR, model,  OPT, LIMIT_MODEL, "only this model")                                                          \
    F(m, 4, BOOL, history, OPT, 1,            "every version of `model`, newest first, those of the future too")

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
    F(m, 10, U64, max_output,            OPT, LIMIT_TOKENS,   "absent = as it is")                                     \
    F(m, 11, PICO, audio_input_pico,    OPT, MONEY_PICO_MAX, "absent = as input")                                      \
    F(m, 12, PICO, audio_output_pico,   OPT, MONEY_PICO_MAX, "absent = as output")                                     \
    F(m, 13, PICO, image_input_pico,    OPT, MONEY_PICO_MAX, "absent = as input")                                      \
    F(m, 14, PICO, image_output_pico,   OPT, MONEY_PICO_MAX, "absent = as output")                                     \
    F(m, 15, PICO, reasoning_pico,      OPT, MONEY_PICO_MAX, "absent = as output")                                     \
    F(m, 16, U64,  tier_above_tokens,   OPT, LIMIT_TOKENS,   "with more input than this the tier's prices hold; absent = no tier")\
    F(m, 17, PICO, tier_input_pico,     OPT, MONEY_PICO_MAX, "due with a tier")                                        \
    F(m, 18, PICO, tier_cached_input_pico, OPT, MONEY_PICO_MAX, "absent = as the tier's input")                        \
    F(m, 19, PICO, tier_cache_write_pico, OPT, MONEY_PICO_MAX, "absent = as the tier's input")                         \
    F(m, 20, PICO, tier_cache_write_long_pico, OPT, MONEY_PICO_MAX, "absent = as the tier's input")                    \
    F(m, 21, PICO, tier_output_pico,    OPT, MONEY_PICO_MAX, "due with a tier")                                        \
    F(m, 22, STR,  mode,                OPT, LIMIT_NAME,     "chat, embedding, image, audio …; absent = as it is, chat for a new model")\
    F(m, 23, U64,  valid_from,          OPT, LIMIT_TIME,     "Unix seconds, not in the past; absent = now")

#define PRICE_REP(F, L, m)                                                                                             \
    L(m, 1, price, price, 1,              "the price as it is now")                                                    \
    F(m, 2, U64, revision, OPT, LIMIT_ID, "of the state with it")

#define PROVIDER_ANNOUNCE_REQ(F, L, m)                                                                                 \
    F(m, 1, STR, instance, REQ, LIMIT_NAME, "providersvc instance")                                                    \
    L(m, 2, provider, providers, LIMIT_SERVED, "providers that this instance can serve")

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
    L(m, 6, ledger_problem, problems, 100, "the first differences")                                                    \
    F(m, 7, U64,  holds_open, OPT, LIMIT_ID,   "holds that are open in the ledger (of calls that run longer than a second)")\
    F(m, 8, STR,  chain_head, OPT, LIMIT_NAME, "hash of the newest entry, hexadecimal: keep it, and no entry before it can be changed unseen")\
    F(m, 9, U64,  positions,  OPT, LIMIT_ID,   "sources of usage events")

#define LEDGER_LIST_REQ(F, L, m)                                                                                       \
    F(m, 1, STR, actor_id, OPT, LIMIT_ID_TEXT, "whose; empty = everybody's and the operator's (administrators)")       \
    F(m, 2, U64, limit,    OPT, LIMIT_PAGE,    "page size; 0 = 100")                                                   \
    F(m, 3, STR, cursor,   OPT, LIMIT_TOKEN,   "from the last page")                                                   \
    F(m, 4, STR, user,     OPT, LIMIT_ID_TEXT, "administrators: only this user's")

#define LEDGER_LIST_REP(F, L, m)                                                                                       \
    L(m, 1, ledger_row, data, LIMIT_PAGE,    "newest first")                                                           \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN,     "cursor of the next page")

#define CODE_CREATE_REQ(F, L, m)                                                                                       \
    F(m, 1, STR,  actor_id,    REQ, LIMIT_ID_TEXT,  "set by the gateway: the administrator")                           \
    F(m, 2, NANO, amount_nano, REQ, MONEY_NANO_MAX, "what each is worth")                                              \
    F(m, 3, U64,  count,       OPT, LIMIT_PAGE,     "how many; absent = 1")                                            \
    F(m, 4, U64,  expires_at,  OPT, LIMIT_TIME,     "Unix seconds; absent = never")                                    \
    F(m, 5, STR,  note,        OPT, LIMIT_TITLE,    "why")

#define CODE_LIST_REQ(F, L, m)                                                                                         \
    F(m, 1, U64, limit,  OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                       \
    F(m, 2, STR, cursor, OPT, LIMIT_TOKEN, "from the last page")

#define CODE_LIST_REP(F, L, m)                                                                                         \
    L(m, 1, credit_code, data, LIMIT_PAGE, "newest first")                                                             \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN,   "cursor of the next page")

#define CODE_REVOKE_REQ(F, L, m)                                                                                       \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                                \
    F(m, 2, STR, id,       REQ, LIMIT_ID_TEXT, "cod_…; CONFLICT when it was redeemed")

#define CODE_REDEEM_REQ(F, L, m)                                                                                       \
    F(m, 1, STR,    actor_id, REQ, LIMIT_ID_TEXT, "set by the gateway: who gets the credit")                           \
    F(m, 2, SECRET, code,     REQ, LIMIT_NAME,    "works once")

#define BACKUP_REQ(F, L, m)                                                                                            \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                                \
    F(m, 2, STR, name,     OPT, LIMIT_NAME,    "file name in the folder backups/ beside the database; absent = made of the time")

#define BACKUP_REP(F, L, m)                                                                                            \
    F(m, 1, STR, path,     REQ, LIMIT_TITLE, "where meterd wrote it")                                                  \
    F(m, 2, U64, bytes,    REQ, LIMIT_ID,    "its size")                                                               \
    F(m, 3, U64, revision, REQ, LIMIT_ID,    "of the state in it")                                                     \
    F(m, 4, U64, ms,       REQ, LIMIT_MS,    "how long it took; calls went on meanwhile")

#define KEY_UPDATE_REQ(F, L, m)                                                                                        \
    F(m, 1, STR,  actor_id,    REQ, LIMIT_ID_TEXT, "set by the gateway: owner")                                        \
    F(m, 2, STR,  id,          REQ, LIMIT_ID_TEXT, "key_…; NOT_FOUND when it is not the owner's")                      \
    F(m, 3, STR,  name,        OPT, LIMIT_TITLE,   "absent = as it is; so with all that follow")                       \
    F(m, 4, U64,  rpm,         OPT, LIMIT_COUNT,   "requests per minute; 0 = the plan's")                              \
    F(m, 5, U64,  tpm,         OPT, LIMIT_COUNT,   "tokens per minute; 0 = the plan's")                                \
    F(m, 6, U64,  concurrency, OPT, LIMIT_COUNT,   "requests at once; 0 = the plan's")                                 \
    F(m, 7, STRS, models,      OPT, LIMIT_MODELS,  "models allowed")                                                   \
    F(m, 8, U64,  expires_at,  OPT, LIMIT_TIME,    "Unix seconds; 0 = never")                                          \
    F(m, 9, NANO, budget_nano, OPT, MONEY_NANO_MAX, "0 = no budget")                                                   \
    F(m, 10, STR, budget_period, OPT, LIMIT_NAME,  "day, week, month or total")                                        \
    F(m, 11, STRS, ip_allow,   OPT, LIMIT_IP_ALLOW, "addresses and ranges that it may be used from; [] = any")

#define KEY_SECRET_REQ(F, L, m)                                                                                        \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "owner")                                                                \
    F(m, 2, STR, id,       REQ, LIMIT_ID_TEXT, "key_…; NOT_FOUND when it is not the owner's")                          \
    F(m, 3, BIN, digest,   REQ, LIMIT_DIGEST,  "SHA-256 of the new secret")                                            \
    F(m, 4, STR, prefix,   REQ, LIMIT_NAME,    "its beginning, to tell keys apart")                                    \
    F(m, 5, U64, grace_s,  OPT, LIMIT_GRACE_S, "so many seconds the secret in force until now goes on; the one before it ends at once")

#define KEY_REP(F, L, m)                                                                                               \
    L(m, 1, api_key, key, 1,             "the key as it is now")                                                       \
    F(m, 2, U64, revision, OPT, LIMIT_ID, "of the state with it")

/* ---- meterd: answers kept for an Idempotency-Key ----------------------------------------------------------------- */

#define ANSWER_BEGIN_REQ(F, L, m)                                                                                      \
    F(m, 1, BIN, key_digest,      REQ, LIMIT_DIGEST,  "SHA-256 of the API key: the caller is its user")                \
    F(m, 2, STR, idempotency_key, REQ, LIMIT_TITLE,   "as the client said it")                                         \
    F(m, 3, BIN, body_digest,     REQ, LIMIT_DIGEST,  "SHA-256 of endpoint and body; another than at the first time = CONFLICT")\
    F(m, 4, STR, request_id,      REQ, LIMIT_ID_TEXT, "of this call: what begins now is bound to it")                  \
    F(m, 5, U64, lease_ms,        REQ, LIMIT_MS,      "the call ends within this time; later nobody waits for it")     \
    F(m, 6, STR, client_ip,       OPT, LIMIT_NAME,    "who asks, for a key with ip_allow; empty = nobody knows")

#define ANSWER_BEGIN_REP(F, L, m)                                                                                      \
    F(m, 1, STR, state,        REQ, LIMIT_NAME,    "begun: make the call. running: another one does, ask again. stored: here it is. interrupted: the first was billed but its answer is lost")\
    F(m, 2, STR, request_id,   OPT, LIMIT_ID_TEXT, "of the first call")                                                \
    F(m, 3, U64, http_status,  OPT, 599,           "stored: of the answer")                                            \
    F(m, 4, STR, content_type, OPT, LIMIT_NAME,    "stored: of the answer")                                            \
    F(m, 5, BIN, body,         OPT, LIMIT_BODY,    "stored: the answer")

#define ANSWER_PUT_REQ(F, L, m)                                                                                        \
    F(m, 1, BIN, key_digest,      REQ, LIMIT_DIGEST,  "as begun")                                                      \
    F(m, 2, STR, idempotency_key, REQ, LIMIT_TITLE,   "as begun")                                                      \
    F(m, 3, STR, request_id,      REQ, LIMIT_ID_TEXT, "as begun; another one owns it = CONFLICT")                      \
    F(m, 4, U64, http_status,     OPT, 599,           "of the answer; 0 = forget it: nothing was billed, the next one with this key makes the call")\
    F(m, 5, STR, content_type,    OPT, LIMIT_NAME,    "of the answer")                                                 \
    F(m, 6, BIN, body,            OPT, LIMIT_BODY,    "the answer")

/* ---- meterd: the catalog and the audit ----------------------------------------------------------------------------- */

/* The whole of a provider or model is kept as it is where a member is absent; a new one has the defaults. */
#define PROVIDER_PUT_REQ(F, L, m)                                                                                      \
    F(m, 1, STR,  actor_id,      REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                          \
    F(m, 2, BOOL, create,        OPT, 1,             "set by the gateway: CONFLICT when there is one already; else NOT_FOUND when there is none")\
    F(m, 3, STR,  name,          REQ, LIMIT_NAME,    "as in provider/model: no spaces, control characters or slashes") \
    F(m, 4, STR,  kind,          OPT, LIMIT_NAME,    "openai, azure, anthropic, gemini or echo; due for a new one")    \
    F(m, 5, STR,  base_url,      OPT, LIMIT_URL,     "http or https; empty = the kind's own")                          \
    F(m, 6, BOOL, internal,      OPT, 1,             "private addresses are allowed")                                  \
    F(m, 7, STR,  disconnect,    OPT, LIMIT_NAME,    "cancel or drain; empty = DISCONNECT")                            \
    F(m, 8, U64,  connect_ms,    OPT, LIMIT_MS,      "0 = UPSTREAM_CONNECT_MS")                                        \
    F(m, 9, U64,  first_byte_ms, OPT, LIMIT_MS,      "0 = UPSTREAM_FIRST_BYTE_MS, not streamed: UPSTREAM_ANSWER_MS")   \
    F(m, 10, U64, idle_ms,       OPT, LIMIT_MS,      "0 = UPSTREAM_IDLE_MS")                                           \
    F(m, 11, U64, total_ms,      OPT, LIMIT_MS,      "of one attempt; 0 = the call's own deadline")                    \
    F(m, 12, STR, api_version,   OPT, LIMIT_NAME,    "azure: api-version; empty = its v1 API")                         \
    F(m, 13, BOOL, disabled,     OPT, 1,             "no calls go there")                                              \
    F(m, 14, STRS, drop_params,  OPT, LIMIT_MODELS,  "members that this provider refuses: left out of every request")  \
    F(m, 15, SECRETS, api_keys,  OPT, LIMIT_UPSTREAM_KEYS, "all its keys, or ${NAME}: read from providersvc's environment")\
    F(m, 16, BOOL, chat_only,    OPT, 1,             "openai: it has no Responses API; calls to that are made as chats, with max_tokens")

#define PROVIDER_REP(F, L, m)                                                                                          \
    L(m, 1, catalog_provider, provider, 1, "the provider as it is now")                                                \
    F(m, 2, U64, revision, OPT, LIMIT_ID,  "of the state with it; 0 = nothing changed")

#define PROVIDER_LIST_REQ(F, L, m)                                                                                     \
    F(m, 1, U64, limit,  OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                       \
    F(m, 2, STR, cursor, OPT, LIMIT_TOKEN, "from the last page")                                                       \
    F(m, 3, STR, name,   OPT, LIMIT_NAME,  "only this one")

#define PROVIDER_LIST_REP(F, L, m)                                                                                     \
    L(m, 1, catalog_provider, data, LIMIT_PAGE, "by name")                                                             \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN,        "cursor of the next page")

#define MODEL_PUT_REQ(F, L, m)                                                                                         \
    F(m, 1, STR,  actor_id,       REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                         \
    F(m, 2, BOOL, create,         OPT, 1,             "set by the gateway: CONFLICT when there is one already; else NOT_FOUND when there is none")\
    F(m, 3, STR,  name,           REQ, LIMIT_MODEL,   "as clients say it: no spaces or control characters")            \
    F(m, 4, STRS, aliases,        OPT, LIMIT_MODELS,  "other names for it")                                            \
    L(m, 5, catalog_route, routes, LIMIT_ROUTES,      "who serves it; due for a new one")                              \
    F(m, 6, U64,  max_output,     OPT, LIMIT_TOKENS,  "tokens of an answer at most; 0 = as its price says")            \
    F(m, 7, U64,  context_window, OPT, LIMIT_TOKENS,  "tokens of prompt and answer together; 0 = as its price says")   \
    F(m, 8, STR,  routing,        OPT, LIMIT_NAME,    "among routes of a tier: weighted or latency")                   \
    F(m, 9, BOOL, own_price,      OPT, 1,             "false: billed by the price of the route's model again; true needs a price")\
    L(m, 10, model_price, price, 1,                   "its own price")

#define MODEL_REP(F, L, m)                                                                                             \
    L(m, 1, catalog_model, model, 1,      "the model as it is now")                                                    \
    F(m, 2, U64, revision, OPT, LIMIT_ID, "of the state with it; 0 = nothing changed")

#define MODEL_LIST_REQ(F, L, m)                                                                                        \
    F(m, 1, U64, limit,  OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                       \
    F(m, 2, STR, cursor, OPT, LIMIT_TOKEN, "from the last page")                                                       \
    F(m, 3, STR, name,   OPT, LIMIT_MODEL, "only this one, by its name or an alias; its price is shown")

#define MODEL_LIST_REP(F, L, m)                                                                                        \
    L(m, 1, catalog_model, data, LIMIT_PAGE, "by name")                                                                \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN,     "cursor of the next page")

#define PROVIDER_DROP_REQ(F, L, m)                                                                                     \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                                \
    F(m, 2, STR, name,     REQ, LIMIT_NAME,    "which; CONFLICT while a model has a route to it")

#define MODEL_DROP_REQ(F, L, m)                                                                                        \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                                \
    F(m, 2, STR, name,     REQ, LIMIT_MODEL,   "which; its price stays, for the calls that it was billed by")

#define CONFIG_APPLY_REQ(F, L, m)                                                                                      \
    F(m, 1, STR,    actor_id, REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                             \
    F(m, 2, SECRET, text,     REQ, LIMIT_CONFIG,  "the file, YAML: it may hold keys")                                  \
    F(m, 3, BOOL,   dry_run,  OPT, 1,             "only say what would change")                                        \
    F(m, 4, BOOL,   prune,    OPT, 1,             "remove what came from a file and is not in this one")

#define CONFIG_APPLY_REP(F, L, m)                                                                                      \
    L(m, 1, config_change, data, LIMIT_LIST, "one row for each object")                                                \
    F(m, 2, BOOL, dry_run, OPT, 1,           "nothing was changed")                                                    \
    F(m, 3, U64, revision, OPT, LIMIT_ID,    "of the state with it; 0 = nothing changed")

#define CONFIG_EXPORT_REQ(F, L, m)                                                                                     \
    F(m, 1, BOOL, unused, OPT, 1, "no arguments")

#define CONFIG_EXPORT_REP(F, L, m)                                                                                     \
    F(m, 1, STR, text, REQ, LIMIT_BODY, "the catalog as a CONFIG file; keys that are no reference are left out")

#define AUDIT_LIST_REQ(F, L, m)                                                                                        \
    F(m, 1, U64, limit,  OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                       \
    F(m, 2, STR, cursor, OPT, LIMIT_TOKEN, "from the last page")

#define AUDIT_LIST_REP(F, L, m)                                                                                        \
    L(m, 1, audit_entry, data, LIMIT_PAGE, "newest first")                                                             \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN,   "cursor of the next page")

/* ---- meterd: security events -------------------------------------------------------------------------------------- */

/* Each number of a source counts once, however often it comes. */
#define SECURITY_REPORT_REQ(F, L, m)                                                                                   \
    F(m, 1, STR, source, REQ, LIMIT_ID_TEXT, "who tells: a service's run")                                             \
    F(m, 2, U64, seq,    REQ, LIMIT_ID,      "of this batch, from 1, rising")                                          \
    L(m, 3, security_event, events, LIMIT_LIST, "what was seen since the batch before")

#define SECURITY_LIST_REQ(F, L, m)                                                                                     \
    F(m, 1, U64, limit,   OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                      \
    F(m, 2, STR, cursor,  OPT, LIMIT_TOKEN, "from the last page")                                                      \
    F(m, 3, STR, kind,    OPT, LIMIT_NAME,  "only this kind")                                                          \
    F(m, 4, STR, subject, OPT, LIMIT_TITLE, "only of this one")                                                        \
    F(m, 5, STR, address, OPT, LIMIT_NAME,  "only from there")                                                         \
    F(m, 6, U64, from,    OPT, LIMIT_TIME,  "seen then or later, Unix seconds")                                        \
    F(m, 7, U64, to,      OPT, LIMIT_TIME,  "seen before then; 0 = up to now")

#define SECURITY_LIST_REP(F, L, m)                                                                                     \
    L(m, 1, security_event, data, LIMIT_PAGE, "newest first")                                                          \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN,      "cursor of the next page")

#define ALERT_LIST_REQ(F, L, m)                                                                                        \
    F(m, 1, U64, limit,  OPT, LIMIT_PAGE,  "page size; 0 = 100")                                                       \
    F(m, 2, STR, cursor, OPT, LIMIT_TOKEN, "from the last page")                                                       \
    F(m, 3, STR, state,  OPT, LIMIT_NAME,  "only these: firing or resolved")                                           \
    F(m, 4, STR, rule,   OPT, LIMIT_NAME,  "only of this rule")

#define ALERT_LIST_REP(F, L, m)                                                                                        \
    L(m, 1, alert, data, LIMIT_PAGE,     "newest first")                                                               \
    F(m, 2, STR, next, OPT, LIMIT_TOKEN, "cursor of the next page")

#define ALERT_ACK_REQ(F, L, m)                                                                                         \
    F(m, 1, STR, actor_id, REQ, LIMIT_ID_TEXT, "set by the gateway: the administrator")                                \
    F(m, 2, STR, id,       REQ, LIMIT_ID_TEXT, "which")

#define ALERT_REP(F, L, m)                                                                                             \
    L(m, 1, alert, alert, 1, "as it is now")

/* Who asks is the user of the API key: another's object is not found. */
#define OBJECT_FIND_REQ(F, L, m)                                                                                       \
    F(m, 1, STR, object_id,  REQ, LIMIT_OBJECT_ID, "resp_…, file-…, batch_…: as upstream called it")                   \
    F(m, 2, BIN, key_digest, REQ, LIMIT_DIGEST,    "SHA-256 of the API key: the caller is its user")

#define OBJECT_FIND_REP(F, L, m)                                                                                       \
    F(m, 1, STR, provider, REQ, LIMIT_NAME, "who keeps it")                                                            \
    L(m, 2, batch_worth, worth, 1,          "of a file for a batch: what that can use")                                \
    F(m, 3, U64, tokens,   OPT, LIMIT_TOKENS, "of a response: input and output of its call, which one that names it goes on from; 0 = not known")

/* ---- meterd: usage ---------------------------------------------------------------------------------------------- */

#define USAGE_DELIVER_REQ(F, L, m)                                                                                     \
    F(m, 1, STR, source,    REQ, LIMIT_NAME,   "outbox id")                                                            \
    F(m, 2, U64, first_seq, REQ, LIMIT_ID,     "number of the first record; the others follow without a gap")          \
    L(m, 3, usage_event, events, LIMIT_EVENTS, "records not acknowledged in time")                                     \
    F(m, 4, U64, oldest_seq, OPT, LIMIT_ID,    "the source has no older record any more: what is missing before it will never come")

#define USAGE_DELIVER_REP(F, L, m)                                                                                     \
    F(m, 1, U64, acked_seq, REQ, LIMIT_ID, "everything up to here is committed")

#define USAGE_VOID_REQ(F, L, m)                                                                                        \
    L(m, 1, usage_event, event, 1, "an admitted call that no providersvc took: its row, at no cost")

/* clang-format on */

#endif
