/* Records of the usage feed and of the state feed. Rules and numbers: proto/messages.h. */
#ifndef PROTO_FIELDS_FEED_H
#define PROTO_FIELDS_FEED_H

/* clang-format off */

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
    F(m, 9, STR,  status,             REQ, LIMIT_NAME,     "ok, error, cancelled, truncated, void; running = not over yet (meterd makes expired of it when nothing more comes)") \
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
    F(m, 23, U64, attempts,           OPT, 100,            "upstream calls")                                           \
    F(m, 24, U64, audio_input_tokens,  OPT, LIMIT_TOKENS,   "of the input audio")                                      \
    F(m, 25, U64, audio_output_tokens, OPT, LIMIT_TOKENS,   "of the output audio")                                     \
    F(m, 26, U64, image_input_tokens,  OPT, LIMIT_TOKENS,   "of the input images")                                     \
    F(m, 27, U64, image_output_tokens, OPT, LIMIT_TOKENS,   "of the output images")                                    \
    L(m, 28, usage_attempt, attempt_log, 16,                "every call upstream; none = one, which is the event itself")\
    F(m, 29, U64, lease_ms,            OPT, LIMIT_MS,       "running: when nothing more is heard of it for so long, what is known is billed")\
    F(m, 30, STRS, object_ids,         OPT, LIMIT_OBJECTS,  "what the call made or told of and upstream keeps for the user: responses, files, batches")\
    F(m, 31, U64, price_percent,       OPT, LIMIT_PERCENT,  "of the price: what a batch or the tier that served it costs; 0 = all of it")\
    F(m, 32, BOOL, parked,             OPT, 1,              "running: the call has ended, what its batch or its response uses is told later by whoever asks about it")\
    L(m, 33, batch_worth, worth, 1,                         "what a batch of the file that the call made can use")     \
    L(m, 34, object_end, object_ends, LIMIT_OBJECTS,          "what the answer says of batches and responses whose calls may be parked") \
    F(m, 35, U64, seen_tokens,         OPT, LIMIT_TOKENS,   "parked: so much of a response's output has the client got already, counted here")

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
    L(m, 2, api_key, key, 1,                "the key")                                                                 \
    F(m, 3, NANO, period_spent_nano, OPT, MONEY_NANO_MAX, "of a budget: spent in the period that runs")                \
    F(m, 4, U64,  period_end,        OPT, LIMIT_TIME,     "Unix seconds from which nothing of the budget is spent; 0 = never") \
    F(m, 5, BIN,  previous_digest,   OPT, LIMIT_DIGEST,   "SHA-256 of the secret before this one; good until key.previous_until")

/* A provider of the catalog as providersvc needs it. */
#define PROVIDER_STATE(F, L, m)                                                                                        \
    L(m, 1, catalog_provider, provider, 1,                "the provider")                                              \
    L(m, 2, sealed_key,       keys, LIMIT_UPSTREAM_KEYS,  "its keys, in the order of provider.keys")

/* A call was billed. Releases its hold and sets the user's balance. */
#define SETTLED(F, L, m)                                                                                               \
    F(m, 1, STR,  request_id,   REQ, LIMIT_ID_TEXT,  "req_…")                                                          \
    F(m, 2, STR,  user_id,      REQ, LIMIT_ID_TEXT,  "who paid")                                                       \
    F(m, 3, NANO, cost_nano,    REQ, MONEY_NANO_MAX, "billed")                                                         \
    F(m, 4, NANO, balance_nano, REQ, MONEY_NANO_MAX, "settled credit after it")                                        \
    F(m, 5, U64,  tokens,       OPT, LIMIT_TOKENS,   "true input and output tokens, to correct TPM")                   \
    F(m, 6, BIN,  key_digest,     OPT, LIMIT_DIGEST,   "of the key, when it has a budget")                             \
    F(m, 7, NANO, key_spent_nano, OPT, MONEY_NANO_MAX, "of the budget, after it")                                      \
    F(m, 8, U64,  key_period_end, OPT, LIMIT_TIME,     "of the period that this is about")

/* A session is over: no access token of it is good any more. */
#define SESSION_ENDED(F, L, m)                                                                                         \
    F(m, 1, STR, session_id, REQ, LIMIT_ID_TEXT, "ses_…")

/* meterd has committed a source's records up to here. */
#define ACK(F, L, m)                                                                                                   \
    F(m, 1, STR, source,    REQ, LIMIT_NAME, "outbox id")                                                              \
    F(m, 2, U64, acked_seq, REQ, LIMIT_ID,   "everything up to here is committed")                                     \
    F(m, 3, BOOL, gap,      OPT, 1,          "something after it did not arrive: deliver it again now")

/* clang-format on */

#endif
