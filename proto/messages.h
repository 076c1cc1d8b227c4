/*
 * Every message of the house, declared once: its fields in proto/fields_*.h, its name and number below. The row of a
 * field: F(m, tag, kind, name, need, limit, doc); of a list of messages: L(m, tag, item, name, limit, doc). Rules: a
 * tag or a type number is never used again for something else, a kind never changes, a new field is OPT. tests/golden
 * holds the wire format against accidents.
 *
 * Where a message is also an object of the HTTP API, its JSON is its declaration: the field's name is the member's name
 * (…_nano appears as …_usd, a decimal string), so the API's shape and the bus' cannot drift apart.
 *
 * Numbers: 0x00xx any service, 0x01xx authsvc, 0x02xx providersvc, 0x03xx meterd, 0x04xx feed records, 0x05xx parts of
 * others.
 */
#ifndef PROTO_MESSAGES_H
#define PROTO_MESSAGES_H

#include "proto/fields_authsvc.h"
#include "proto/fields_feed.h"
#include "proto/fields_meterd.h"
#include "proto/fields_parts.h"
#include "proto/fields_providersvc.h"
#include "proto/limits.h"
#include "proto/wire.h"

/* clang-format off */

/* M(LIST, name, number, doc). Parts come before what contains them. */
#define PROTO_MESSAGES(M)                                                                                              \
    M(RATE_LIMITS, rate_limits, 0x0501, "limits of a key, as the x-ratelimit-* headers say them")                      \
    M(PRICE, price, 0x0502, "price of a model, one version; also a state record")                                      \
    M(USER, user, 0x0503, "a user; also a state record")                                                               \
    M(API_KEY, api_key, 0x0504, "an API key without its secret")                                                       \
    M(PLAN, plan, 0x0505, "limits shared by its users; also a state record")                                           \
    M(PROVIDER, provider, 0x0506, "a provider that somebody serves; also a state record")                              \
    M(MODEL_INFO, model_info, 0x0507, "a model as GET /v1/models shows it")                                            \
    M(USAGE_ATTEMPT, usage_attempt, 0x050e, "one call upstream")                                                       \
    M(HOLD_STATE, hold_state, 0x050f, "an open hold; also a state record")                                             \
    M(BATCH_WORTH, batch_worth, 0x051b, "what a batch of a file can use")                                              \
    M(OBJECT_END, object_end, 0x051c, "what an answer says of a batch or a response")                                                            \
    M(LEDGER_ROW, ledger_row, 0x0510, "a ledger entry")                                                                \
    M(CREDIT_CODE, credit_code, 0x0511, "a redemption code")                                                           \
    M(CALL_ROUTE, call_route, 0x0512, "who may serve a call, at which price")                                          \
    M(CATALOG_ROUTE, catalog_route, 0x0513, "one way to a model")                                                      \
    M(CATALOG_MODEL, catalog_model, 0x0514, "a model of the catalog; also a state record")                             \
    M(UPSTREAM_KEY, upstream_key, 0x0515, "a key for a provider, without its secret")                                  \
    M(CATALOG_PROVIDER, catalog_provider, 0x0516, "a provider of the catalog")                                         \
    M(SEALED_KEY, sealed_key, 0x0517, "a key for a provider, sealed")                                                  \
    M(MODEL_PRICE, model_price, 0x0518, "a model's own price, as an administrator says it")                            \
    M(CONFIG_CHANGE, config_change, 0x0519, "what a CONFIG file does to one object")                                   \
    M(AUDIT_ENTRY, audit_entry, 0x051a, "who changed what")                                                            \
    M(SECURITY_EVENT, security_event, 0x0563, "what was seen of an attack")                                            \
    M(ALERT, alert, 0x0564, "something that an administrator should know")                                             \
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
    M(PROVIDER_STATE, provider_state, 0x0408, "state record of a provider of the catalog")                             \
    M(SETTLED, settled, 0x0406, "state record of a billed call")                                                       \
    M(ACK, ack, 0x0407, "state record of a committed position")                                                        \
    M(SESSION_ENDED, session_ended, 0x0409, "state record of a session that is over")                                  \
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
    M(PASSWORD_CHANGE_REQ, password_change_req, 0x011d, "a user changes the own password")                             \
    M(ADMIN_PASSWORD_REQ, admin_password_req, 0x011f, "an administrator sets a user's password")                       \
    M(STATE_SYNC_REQ, state_sync_req, 0x0115, "wait until a change is in force")                                       \
    M(HOLDS_ASSERT_REQ, holds_assert_req, 0x0117, "these holds are open (one way)")                                    \
    M(HOLD_EXTEND_REQ, hold_extend_req, 0x0119, "hold more for a call that runs")                                      \
    M(HOLD_EXTEND_REP, hold_extend_rep, 0x011a, "what is held now")                                                    \
    M(HOLDS_LIST_REQ, holds_list_req, 0x011b, "what is held?")                                                         \
    M(HOLDS_LIST_REP, holds_list_rep, 0x011c, "these")                                                                 \
    M(KEY_ROTATE_REQ, key_rotate_req, 0x0121, "give a key a new secret")                                               \
    M(UPLOAD_WANT, upload_want, 0x0204, "the body of a call is wanted from here to there")                             \
    M(COMPLETION_REQ, completion_req, 0x0201, "make this call upstream")                                               \
    M(COMPLETION_REP, completion_rep, 0x0202, "it is over: what it used")                                              \
    M(RESPONSE_HEAD, response_head, 0x0203, "head of the answer, before its bytes")                                    \
    M(PROVIDER_TEST_REQ, provider_test_req, 0x0205, "ask a provider whether it works")                                 \
    M(PROVIDER_TEST_REP, provider_test_rep, 0x0206, "what it said")                                                    \
    M(STATE_READ_REQ, state_read_req, 0x0301, "snapshot of the state, or what I missed")                               \
    M(STATE_READ_REP, state_read_rep, 0x0302, "a page of it")                                                          \
    M(USER_PUT_REQ, user_put_req, 0x0303, "make a user")                                                               \
    M(USER_REP, user_rep, 0x0304, "a user")                                                                            \
    M(USER_AUTH_REQ, user_auth_req, 0x0305, "a user's password hash (only authsvc asks)")                              \
    M(USER_AUTH_REP, user_auth_rep, 0x0306, "the hash")                                                                \
    M(USER_PASSWORD_REQ, user_password_req, 0x0357, "another password, and the user's sessions end (only authsvc asks)") \
    M(USER_PASSWORD_REP, user_password_rep, 0x0358, "these have ended")                                                \
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
    M(USAGE_VOID_REQ, usage_void_req, 0x032f, "an admitted call that never started")                                   \
    M(LEDGER_LIST_REQ, ledger_list_req, 0x0331, "entries of an account")                                               \
    M(LEDGER_LIST_REP, ledger_list_rep, 0x0332, "a page of them")                                                      \
    M(CODE_CREATE_REQ, code_create_req, 0x0333, "make redemption codes")                                               \
    M(CODE_LIST_REQ, code_list_req, 0x0335, "redemption codes")                                                        \
    M(CODE_LIST_REP, code_list_rep, 0x0336, "a page of them")                                                          \
    M(CODE_REDEEM_REQ, code_redeem_req, 0x0337, "turn a code into credit")                                             \
    M(CODE_REVOKE_REQ, code_revoke_req, 0x0339, "a code is worth nothing any more")                                    \
    M(KEY_UPDATE_REQ, key_update_req, 0x033b, "change a key")                                                          \
    M(KEY_REP, key_rep, 0x033c, "the key")                                                                             \
    M(KEY_SECRET_REQ, key_secret_req, 0x033f, "store a key's new secret")                                              \
    M(BACKUP_REQ, backup_req, 0x033d, "copy the database while it runs")                                               \
    M(BACKUP_REP, backup_rep, 0x033e, "where the copy is")                                                             \
    M(ANSWER_BEGIN_REQ, answer_begin_req, 0x0341, "a call with an Idempotency-Key begins")                             \
    M(ANSWER_BEGIN_REP, answer_begin_rep, 0x0342, "make it, wait, or here is its answer")                              \
    M(ANSWER_PUT_REQ, answer_put_req, 0x0343, "keep this answer")                                                      \
    M(PROVIDER_PUT_REQ, provider_put_req, 0x0345, "make or change a provider of the catalog")                          \
    M(PROVIDER_REP, provider_rep, 0x0346, "the provider")                                                              \
    M(PROVIDER_LIST_REQ, provider_list_req, 0x0347, "providers of the catalog")                                        \
    M(PROVIDER_LIST_REP, provider_list_rep, 0x0348, "a page of them")                                                  \
    M(MODEL_PUT_REQ, model_put_req, 0x0349, "make or change a model of the catalog")                                   \
    M(MODEL_REP, model_rep, 0x034a, "the model")                                                                       \
    M(MODEL_LIST_REQ, model_list_req, 0x034b, "models of the catalog")                                                 \
    M(MODEL_LIST_REP, model_list_rep, 0x034c, "a page of them")                                                        \
    M(PROVIDER_DROP_REQ, provider_drop_req, 0x034d, "remove a provider")                                               \
    M(CONFIG_APPLY_REQ, config_apply_req, 0x034f, "bring the catalog to what a CONFIG file says")                      \
    M(CONFIG_APPLY_REP, config_apply_rep, 0x0350, "what changed")                                                      \
    M(AUDIT_LIST_REQ, audit_list_req, 0x0351, "who changed what")                                                      \
    M(AUDIT_LIST_REP, audit_list_rep, 0x0352, "a page of it")                                                          \
    M(CONFIG_EXPORT_REQ, config_export_req, 0x0353, "the catalog as a CONFIG file")                                    \
    M(CONFIG_EXPORT_REP, config_export_rep, 0x0354, "the file")                                                        \
    M(MODEL_DROP_REQ, model_drop_req, 0x0355, "remove a model")                                                        \
    M(SECURITY_REPORT_REQ, security_report_req, 0x0363, "this was seen of attacks")                                    \
    M(SECURITY_LIST_REQ, security_list_req, 0x0365, "what was seen of attacks?")                                       \
    M(SECURITY_LIST_REP, security_list_rep, 0x0366, "a page of it")                                                    \
    M(ALERT_LIST_REQ, alert_list_req, 0x0367, "what should an administrator know?")                                    \
    M(ALERT_LIST_REP, alert_list_rep, 0x0368, "a page of it")                                                          \
    M(ALERT_ACK_REQ, alert_ack_req, 0x0369, "an administrator has seen an alert")                                      \
    M(ALERT_REP, alert_rep, 0x036a, "the alert")                                                                       \
    M(OBJECT_FIND_REQ, object_find_req, 0x0361, "which provider keeps this object?")                                   \
    M(OBJECT_FIND_REP, object_find_rep, 0x0362, "this one")

/* clang-format on */

PROTO_MESSAGES(WIRE_STRUCT)

/* All declared messages, for the tests, the documentation and the log. Ends with NULL. */
extern const struct wire_desc *const proto_messages[];
const struct wire_desc *proto_message_by_type(uint16_t type); /* NULL = not declared */

#endif
