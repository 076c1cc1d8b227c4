/* Messages that authsvc answers. Rules and numbers: proto/messages.h. */
#ifndef PROTO_FIELDS_AUTHSVC_H
#define PROTO_FIELDS_AUTHSVC_H

/* clang-format off */

/* ---- authsvc ---------------------------------------------------------------------------------------------------- */

#define ADMIT_REQ(F, L, m)                                                                                             \
    F(m, 1, STR,  request_id,        REQ, LIMIT_ID_TEXT, "req_…: made by the gateway, unique for ever")                \
    F(m, 2, BIN,  key_digest,        REQ, LIMIT_DIGEST,  "SHA-256 of the API key; the key itself stays in the gateway") \
    F(m, 3, STR,  model,             REQ, LIMIT_MODEL,   "as the client said it")                                      \
    F(m, 4, STR,  endpoint,          REQ, LIMIT_NAME,    "chat.completions …")                                         \
    F(m, 5, U64,  prompt_tokens_estimate, REQ, LIMIT_TOKENS, "upper estimate of the prompt")                           \
    F(m, 6, U64,  max_output_tokens, OPT, LIMIT_TOKENS,  "output limit in the request; 0 = none")                      \
    F(m, 7, U64,  choices,           OPT, LIMIT_CHOICES, "answers, to all prompts; 0 = 1")                                                   \
    F(m, 8, U64,  deadline_ms,       REQ, LIMIT_MS,      "how long the call may run: the hold lives so long and a grace") \
    F(m, 9, STR,  client_ip,         OPT, LIMIT_NAME,    "who asks, for a key with ip_allow; empty = nobody knows")    \
    F(m, 10, PICO, max_input_pico,   OPT, MONEY_PICO_MAX, "no route dearer than this per input token; absent = any")   \
    F(m, 11, PICO, max_output_pico,  OPT, MONEY_PICO_MAX, "nor than this per output token; absent = any")              \
    F(m, 12, STR,  provider,         OPT, LIMIT_NAME,    "only this one: it keeps the object that the call is about")  \
    F(m, 13, BOOL, free,             OPT, 1,             "the endpoint costs nothing: no price, no hold; keys and limits apply") \
    L(m, 14, batch_worth, batch, 1,                      "a batch of this file is to be made: its model and its estimates hold, no others") \
    F(m, 15, U64,  price_percent,    OPT, LIMIT_PERCENT, "of the prices: what the tier that the request asks for costs; 0 = all")\
    F(m, 16, STR, context,           OPT, LIMIT_NAME,    "the field that names input which upstream keeps; empty = none") \
    F(m, 17, U64, context_tokens,    OPT, LIMIT_TOKENS,  "of prompt_tokens_estimate what that is; 0 = nobody knows: it may fill the model's window")

#define ADMIT_REP(F, L, m)                                                                                             \
    F(m, 1, STR,  user_id,      REQ, LIMIT_ID_TEXT,  "who pays")                                                       \
    F(m, 2, STR,  key_id,       REQ, LIMIT_ID_TEXT,  "which key")                                                      \
    F(m, 5, NANO, hold_nano,    REQ, MONEY_NANO_MAX, "credit held for this call")                                      \
    F(m, 6, U64,  output_limit, OPT, LIMIT_TOKENS,   "output limit to send upstream; 0 = leave the request untouched") \
    L(m, 8, rate_limits, limits, 1,                  "for the x-ratelimit-* headers")                                  \
    F(m, 9, BOOL, credit_limited, OPT, 1,           "output_limit is what the credit (or the key's budget) bears, not what was asked for") \
    L(m, 10, call_route, routes, LIMIT_ROUTES,        "who may serve it, at the prices in force, pinned for this call") \
    F(m, 11, BOOL, by_latency,   OPT, 1,              "among routes of a tier the fastest, not by weight")             \
    F(m, 12, U64,  price_percent, OPT, LIMIT_PERCENT, "of the prices: what a batch costs; 0 = all")                    \
    F(m, 13, U64,  batch_output, OPT, LIMIT_TOKENS,   "of a batch: all its answers at most")                            \
    F(m, 14, U64,  prompt_tokens_held, OPT, LIMIT_TOKENS, "input that the hold bears, where that is more than the estimate; 0 = it is not")

#define ADMIT_DONE_REQ(F, L, m)                                                                                        \
    F(m, 1, STR, request_id, REQ, LIMIT_ID_TEXT, "the call has ended: its place among the concurrent ones is free")

#define MODELS_REQ(F, L, m)                                                                                            \
    F(m, 1, BIN, key_digest, REQ, LIMIT_DIGEST, "SHA-256 of the API key")                                              \
    F(m, 2, STR, model,      OPT, LIMIT_MODEL,  "only this one; NOT_FOUND when the caller may not use it")                 \
    F(m, 3, BOOL, key_only,  OPT, 1,            "none of them: is the key good?")                                      \
    F(m, 4, STR, client_ip,  OPT, LIMIT_NAME,   "who asks, for a key with ip_allow; empty = nobody knows")

#define MODELS_REP(F, L, m)                                                                                            \
    L(m, 1, model_info, data, LIMIT_LIST, "models that this key may use and that a provider serves")

#define REGISTER_REQ(F, L, m)                                                                                          \
    F(m, 1, STR,    email,     REQ, LIMIT_EMAIL,    "any case; stored in lower case")                                  \
    F(m, 2, SECRET, password,  REQ, LIMIT_PASSWORD, "8 bytes or more")                                                 \
    F(m, 3, STR,    name,      OPT, LIMIT_TITLE,    "for people")                                                      \
    F(m, 4, STR,    client_ip, OPT, LIMIT_NAME,     "set by the gateway")                                              \
    F(m, 5, SECRET, code,      OPT, LIMIT_NAME,     "a redemption code, redeemed with it; required where SIGNUP is invite")

#define LOGIN_REQ(F, L, m)                                                                                             \
    F(m, 1, STR,    email,     REQ, LIMIT_EMAIL,    "any case")                                                        \
    F(m, 2, SECRET, password,  REQ, LIMIT_PASSWORD, "as registered")                                                   \
    F(m, 3, STR,    client_ip, OPT, LIMIT_NAME,     "set by the gateway")

#define REFRESH_REQ(F, L, m)                                                                                           \
    F(m, 1, SECRET, refresh_token, REQ, LIMIT_TOKEN, "used once; a second use ends the session")                       \
    F(m, 2, STR,    client_ip,     OPT, LIMIT_NAME,  "set by the gateway")

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
    F(m, 7, U64,  expires_at,  OPT, LIMIT_TIME,    "Unix seconds; absent = never")                                     \
    F(m, 8, NANO, budget_nano,   OPT, MONEY_NANO_MAX, "most that the key may spend in a period; absent = no budget")   \
    F(m, 9, STR,  budget_period, OPT, LIMIT_NAME, "day, week, month (UTC) or total (default)")                         \
    F(m, 10, STRS, ip_allow,   OPT, LIMIT_IP_ALLOW, "addresses and ranges (192.0.2.0/24, 2001:db8::/32) that it may be used from; absent = any")

#define KEY_ROTATE_REQ(F, L, m)                                                                                        \
    F(m, 1, STR,  actor_id,    REQ, LIMIT_ID_TEXT, "set by the gateway: owner")                                        \
    F(m, 2, STR,  id,          REQ, LIMIT_ID_TEXT, "key_…; NOT_FOUND when it is not the owner's")                      \
    F(m, 3, U64,  grace_s,     OPT, LIMIT_GRACE_S, "so many seconds the secret in force until now goes on; absent = 86400, 0 = not at all")

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
    F(m, 11, U64,   revision,    OPT, LIMIT_ID,      "of the state with this key")                                     \
    F(m, 12, NANO, budget_nano,  OPT, MONEY_NANO_MAX, "0 = no budget")                                                 \
    F(m, 13, STR, budget_period, OPT, LIMIT_NAME, "day, week, month or total")                                         \
    F(m, 14, STRS, ip_allow,     OPT, LIMIT_IP_ALLOW, "none = from any address")                                       \
    F(m, 15, U64, previous_until, OPT, LIMIT_TIME, "Unix seconds until which the secret before this one goes on; 0 = there is none")

#define ADMIN_USER_CREATE_REQ(F, L, m)                                                                                 \
    F(m, 1, STR,    actor_id, REQ, LIMIT_ID_TEXT,  "set by the gateway: the administrator")                            \
    F(m, 2, STR,    email,    REQ, LIMIT_EMAIL,    "unique")                                                           \
    F(m, 3, SECRET, password, REQ, LIMIT_PASSWORD, "first password")                                                   \
    F(m, 4, STR,    name,     OPT, LIMIT_TITLE,    "for people")                                                       \
    F(m, 5, STR,    role,     OPT, LIMIT_NAME,     "user (default) or admin")                                          \
    F(m, 6, STR,    plan,     OPT, LIMIT_NAME,     "absent = SIGNUP_PLAN")

#define PASSWORD_CHANGE_REQ(F, L, m)                                                                                   \
    F(m, 1, STR,    actor_id,         REQ, LIMIT_ID_TEXT,  "set by the gateway: whose password")                       \
    F(m, 2, STR,    session_id,       REQ, LIMIT_ID_TEXT,  "set by the gateway: the session that goes on; the user's others end") \
    F(m, 3, STR,    client_ip,        OPT, LIMIT_NAME,     "set by the gateway")                                       \
    F(m, 4, SECRET, current_password, REQ, LIMIT_PASSWORD, "the one in force; wrong ones count as failed sign-ins")    \
    F(m, 5, SECRET, new_password,     REQ, LIMIT_PASSWORD, "8 bytes or more")

#define ADMIN_PASSWORD_REQ(F, L, m)                                                                                    \
    F(m, 1, STR,    actor_id, REQ, LIMIT_ID_TEXT,  "set by the gateway: the administrator")                            \
    F(m, 2, STR,    id,       REQ, LIMIT_ID_TEXT,  "usr_…: whose password; all sessions of the user end")              \
    F(m, 3, SECRET, password, REQ, LIMIT_PASSWORD, "the new one: 8 bytes or more")

#define STATE_SYNC_REQ(F, L, m)                                                                                        \
    F(m, 1, U64, revision, REQ, LIMIT_ID, "answer when the projection has come this far: a write that was answered is in force")

/* What a gateway or a providersvc knows to be held. Sent at once, before any call, to an authsvc that has (re)started, and again before the lease ends. */
#define HOLDS_ASSERT_REQ(F, L, m)                                                                                      \
    F(m, 1, STR, instance, REQ, LIMIT_NAME, "who says so")                                                             \
    L(m, 2, hold_state, holds, LIMIT_EVENTS, "open holds; what is settled already stays settled")                      \
    F(m, 3, BOOL, last,    OPT, 1,          "that was all: this instance has nothing more to assert")

#define HOLD_EXTEND_REQ(F, L, m)                                                                                       \
    F(m, 1, STR,  request_id,  REQ, LIMIT_ID_TEXT,  "of the call")                                                     \
    F(m, 2, NANO, amount_nano, REQ, MONEY_NANO_MAX, "what the hold is to be; never made smaller")

#define HOLD_EXTEND_REP(F, L, m)                                                                                       \
    F(m, 1, NANO, amount_nano, REQ, MONEY_NANO_MAX, "what it is now: as much of it as the credit bears")

#define HOLDS_LIST_REQ(F, L, m)                                                                                        \
    F(m, 1, STR, actor_id, OPT, LIMIT_ID_TEXT, "whose; empty = everybody's (administrators)")                          \
    F(m, 2, U64, limit,    OPT, LIMIT_PAGE,    "how many; 0 = 100")

#define HOLDS_LIST_REP(F, L, m)                                                                                        \
    L(m, 1, hold_state, data, LIMIT_PAGE,       "oldest first")                                                        \
    F(m, 2, U64,  open,      REQ, LIMIT_ID,       "open holds in all")                                                 \
    F(m, 3, NANO, held_nano, REQ, MONEY_NANO_MAX, "credit in them")

/* clang-format on */

#endif
