/*
 * ops: every operation that meterd answers, declared once: O(lane, name, request, reply). op_NAME decides within a
 * transaction on the store it is given; it knows neither threads nor the bus. The lane says where it runs: WRITE   the
 * writer's thread, inside a savepoint of its own INGEST  the writer's thread, without savepoint: it fails only when the
 * whole transaction does QUICK   a reader's thread, for what others wait for SLOW    another reader's thread, for what
 * may take long. COPY   a third reader's thread, for a backup. An operation that a reader of QUICK or COPY runs and
 * that finds that it must write returns ST_PENDING: the writer then runs it from its beginning, as WRITE, with the
 * reply as it was left.
 */
#ifndef METERD_OPS_H
#define METERD_OPS_H

#include "meterd/store.h"

/* clang-format off */
#define METERD_OPS(O)                                                   \
    O(WRITE,  user_put,          user_put_req,          user_rep)           \
    O(WRITE,  user_update,       user_update_req,       user_rep)           \
    O(WRITE,  user_password,     user_password_req,     user_password_rep)  \
    O(QUICK,  user_auth,         user_auth_req,         user_auth_rep)      \
    O(QUICK,  user_get,          user_get_req,          user_rep)           \
    O(QUICK,  user_list,         user_list_req,         user_list_rep)      \
    O(WRITE,  session_put,       session_put_req,       empty)              \
    O(WRITE,  session_rotate,    session_rotate_req,    session_rotate_rep) \
    O(WRITE,  session_end,       session_end_req,       empty)              \
    O(WRITE,  key_put,           key_put_req,           empty)              \
    O(WRITE,  key_revoke,        key_revoke_req,        empty)              \
    O(WRITE,  key_update,        key_update_req,        key_rep)            \
    O(WRITE,  key_secret,        key_secret_req,        key_rep)            \
    O(QUICK,  key_list,          key_list_req,          key_list_rep)       \
    O(QUICK,  credits,           credits_req,           credits_rep)        \
    O(WRITE,  credit_grant,      credit_grant_req,      credit_grant_rep)   \
    O(SLOW,   ledger_list,       ledger_list_req,       ledger_list_rep)    \
    O(WRITE,  code_create,       code_create_req,       code_list_rep)      \
    O(QUICK,  code_list,         code_list_req,         code_list_rep)      \
    O(WRITE,  code_revoke,       code_revoke_req,       empty)              \
    O(WRITE,  code_redeem,       code_redeem_req,       credit_grant_rep)   \
    O(QUICK,  plan_list,         plan_list_req,         plan_list_rep)      \
    O(WRITE,  plan_update,       plan_update_req,       plan_rep)           \
    O(QUICK,  price_list,        price_list_req,        price_list_rep)     \
    O(WRITE,  price_put,         price_put_req,         price_rep)          \
    O(WRITE,  provider_announce, provider_announce_req, empty)              \
    O(WRITE,  provider_put,      provider_put_req,      provider_rep)       \
    O(QUICK,  provider_list,     provider_list_req,     provider_list_rep)  \
    O(WRITE,  model_put,         model_put_req,         model_rep)          \
    O(QUICK,  model_list,        model_list_req,        model_list_rep)     \
    O(WRITE,  provider_drop,     provider_drop_req,     empty)              \
    O(WRITE,  model_drop,        model_drop_req,        empty)              \
    O(WRITE,  config_apply,      config_apply_req,      config_apply_rep)   \
    O(SLOW,   config_export,     config_export_req,     config_export_rep)  \
    O(QUICK,  audit_list,        audit_list_req,        audit_list_rep)     \
    O(WRITE,  security_report,   security_report_req,   empty)              \
    O(SLOW,   security_list,     security_list_req,     security_list_rep)  \
    O(QUICK,  alert_list,        alert_list_req,        alert_list_rep)     \
    O(WRITE,  alert_ack,         alert_ack_req,         alert_rep)          \
    O(QUICK,  state_read,        state_read_req,        state_read_rep)     \
    O(SLOW,   usage_summary,     usage_summary_req,     usage_summary_rep)  \
    O(SLOW,   usage_list,        usage_list_req,        usage_list_rep)     \
    O(SLOW,   ledger_verify,     ledger_verify_req,     ledger_verify_rep)  \
    O(COPY,   backup,            backup_req,            backup_rep)         \
    O(INGEST, usage_deliver,     usage_deliver_req,     usage_deliver_rep)  \
    O(WRITE,  usage_void,        usage_void_req,        empty)              \
    O(QUICK,  answer_begin,      answer_begin_req,      answer_begin_rep)   \
    O(WRITE,  answer_put,        answer_put_req,        empty)              \
    O(QUICK,  object_find,       object_find_req,       object_find_rep)
/* clang-format on */

/* in: the request's struct; out: the reply's, zeroed. On failure w->err says why. */
typedef enum status meterd_op(struct work *w, const void *in, void *out);

#define METERD_OP_DECLARE(lane, name, req, rep) meterd_op op_##name;
METERD_OPS(METERD_OP_DECLARE)

#endif
