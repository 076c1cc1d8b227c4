/*
 * Every SQL statement that runs after the migrations, by name: S(NAME, text). Prepared once a connection, always with
 * bound values. Grouped as the files that use them. Columns stand in the order that meterd/record.c reads.
 */
#ifndef METERD_SQL_H
#define METERD_SQL_H

/* clang-format off */

#define SQL_USER                                                                                                       \
    "SELECT u.id, u.email, u.name, u.role, u.plan, u.status, a.balance_nano + coalesce(h.balance_nano, 0), u.created, u.num, a.id, u.password_hash, a.balance_nano " \
    "FROM user u JOIN account a ON a.user_num = u.num AND a.kind = 'available' "                                       \
    "LEFT JOIN account h ON h.user_num = u.num AND h.kind = 'held' "
#define SQL_PAYER_ROW                                                                                                  \
    "SELECT u.num, a.id, coalesce(h.id, 0), u.id FROM user u JOIN account a ON a.user_num = u.num AND a.kind = 'available' " \
    "LEFT JOIN account h ON h.user_num = u.num AND h.kind = 'held' "
#define SQL_KEY                                                                                                        \
    "SELECT k.id, u.id, k.name, k.prefix, k.rpm, k.tpm, k.concurrency, k.models, k.expires_at, k.status, k.created, "  \
    "k.digest, k.num, k.budget_nano, k.budget_period, k.budget_spent_nano, k.budget_until, "                           \
    "k.prev_digest, k.prev_until, k.ip_allow FROM api_key k JOIN user u ON u.num = k.user_num "
/* Of the secret with this digest, also of one that a rotation has replaced. */
#define SQL_KEY_OF_SECRET "(SELECT num FROM api_key WHERE digest = ?1 UNION ALL SELECT num FROM api_key WHERE prev_digest = ?1 LIMIT 1) "
#define SQL_PLAN "SELECT name, rpm, tpm, concurrency, max_keys, models, monthly_credit_nano FROM plan "
/* A version is in force, or waits (not in force and not ended), or has ended. The end of one that is in force or waits
   is the begin of the next that waits. */
#define SQL_PRICE                                                                                                      \
    "SELECT p.id, p.model, p.provider, p.mode, p.input, p.cached, p.write_short, p.write_long, p.output, "             \
    "p.tier_above, p.tier_input, p.tier_cached, p.tier_write_short, p.tier_write_long, p.tier_output, "                \
    "p.context_window, p.max_output, p.valid_from, p.builtin, p.audio_in, p.image_in, p.audio_out, p.image_out, "      \
    "p.reasoning, CASE WHEN p.ended > 0 THEN p.ended ELSE coalesce((SELECT min(n.valid_from) FROM price n "            \
    "WHERE n.in_force = 0 AND n.ended = 0 AND n.model = p.model AND n.id <> p.id AND n.valid_from >= p.valid_from), 0) END " \
    "FROM price p "
#define SQL_PROVIDER_DEF                                                                                               \
    "SELECT name, kind, base_url, internal, disconnect, connect_ms, first_byte_ms, idle_ms, total_ms, api_version, "   \
    "disabled, drop_params, created, source, chat_only FROM provider_def "
#define SQL_MODEL_DEF                                                                                                  \
    "SELECT name, max_output, context_window, routing, own_price, created, source FROM model_def "
#define SQL_USAGE                                                                                                      \
    "SELECT c.request_id, c.created_ms, coalesce(u.id, t.user_id), c.key_id, c.model, c.provider, c.upstream_model, "  \
    "c.endpoint, c.stream, c.status, c.http_status, c.prompt_tokens, c.cached_tokens, c.cache_write_tokens, "          \
    "c.cache_write_long_tokens, c.completion_tokens, c.reasoning_tokens, c.cost_nano, c.overage_nano, c.price_id, "    \
    "c.latency_ms, c.ttft_ms, c.attempts, c.estimated, c.balance_nano, c.revision, c.audio_input_tokens, " \
    "c.audio_output_tokens, c.image_input_tokens, c.image_output_tokens, c.hold_nano, c.price_percent "                \
    "FROM usage c LEFT JOIN user u ON u.num = c.user_num LEFT JOIN usage_stray t ON t.revision = c.revision "
#define SQL_ALERT                                                                                                      \
    "SELECT id, rule, severity, subject, text, state, since, last, count, resolved_at, acknowledged_at, "              \
    "acknowledged_by FROM alert "
#define SQL_CODE                                                                                                       \
    "SELECT c.id, c.prefix, c.amount_nano, c.note, c.expires_at, c.status, u.id, c.created, c.redeemed_at, c.num "     \
    "FROM credit_code c LEFT JOIN user u ON u.num = c.user_num "
#define SQL_ENTRY                                                                                                      \
    "SELECT e.id, e.created_ms, e.kind, e.amount_nano, e.balance_nano, "                                               \
    "coalesce(c.request_id, h.request_id, xc.request_id, g.request_id), g.note, a.kind FROM entry e "                 \
    "JOIN account a ON a.id = e.account LEFT JOIN usage c ON c.revision = e.transfer "                                \
    "LEFT JOIN hold h ON h.revision = e.transfer LEFT JOIN correction x ON x.revision = e.transfer "                  \
    "LEFT JOIN usage xc ON xc.revision = x.usage LEFT JOIN credit_grant g ON g.transfer = e.transfer "
/* ?1 user num or NULL, ?2 from ms, ?3 to ms */
#define SQL_SUM                                                                                                        \
    "count(*), sum(status <> 'ok'), sum(prompt_tokens), sum(cached_tokens), "                                          \
    "sum(cache_write_tokens + cache_write_long_tokens), sum(completion_tokens), sum(reasoning_tokens), "               \
    "sum(cost_nano), sum(latency_ms) / max(1, count(*))"
#define SQL_SUM_SINCE " FROM usage WHERE created_ms >= ?2 AND created_ms < ?3 "
#define SQL_SUM_USER " FROM usage WHERE user_num = ?1 AND created_ms >= ?2 AND created_ms < ?3 "
/* Groups by ?4 model, ?5 key, ?8 user (0 or 1) and ?6 ms of time (0 = none), ?7 at most; first whose they are. A call
 * of nobody that meterd knows has no number of a user: usage_stray has the name that came with it. */
#define SQL_GROUP                                                                                                      \
    "SELECT coalesce(u.id, g.stray), u.email, g.* FROM (SELECT CASE WHEN ?4 THEN model END AS g_model, "               \
    "CASE WHEN ?5 THEN key_id END AS g_key, "                                                                          \
    "CASE WHEN ?6 > 0 THEN created_ms - created_ms % ?6 END AS g_time, " SQL_SUM                                       \
    ", CASE WHEN ?8 THEN user_num END AS g_user, CASE WHEN ?8 AND user_num IS NULL THEN "                              \
    "(SELECT t.user_id FROM usage_stray t WHERE t.revision = usage.revision) END AS stray "
#define SQL_GROUP_END                                                                                                  \
    "GROUP BY g_time, g_user, stray, g_model, g_key LIMIT ?7) g LEFT JOIN user u ON u.num = g.g_user "                 \
    "ORDER BY g.g_time, g.g_user, g.stray, g.g_model, g.g_key"
#define SQL_REFUNDED(call) "(SELECT coalesce(sum(amount_nano), 0) FROM credit_grant WHERE request_id = " call ")"
/* Which holds admission hears of: those of somebody (a record names him), and of something. */
#define SQL_HOLD_TOLD "state = 'open' AND amount_nano > 0 AND user_num IS NOT NULL "
/* ?1 before revision, ?2 from ms, ?3 to ms, ?4 model, ?5 key, ?6 status (each NULL = any), ?7 limit */
#define SQL_USAGE_FILTER                                                                                               \
    "c.revision < ?1 AND c.created_ms >= ?2 AND c.created_ms < ?3 AND (?4 IS NULL OR c.model = ?4) "                   \
    "AND (?5 IS NULL OR c.key_id = ?5) AND (?6 IS NULL OR c.status = ?6) ORDER BY c.revision DESC LIMIT ?7"

#define SQL_STATEMENTS(S)                                                                                              \
    /* store.c */                                                                                                      \
    S(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                                                  \
    S(BEGIN_READ, "BEGIN")                                                                                             \
    S(COMMIT, "COMMIT")                                                                                                \
    S(ROLLBACK, "ROLLBACK")                                                                                            \
    S(SAVEPOINT, "SAVEPOINT command")                                                                                  \
    S(RELEASE, "RELEASE command")                                                                                      \
    S(UNDO, "ROLLBACK TO command")                                                                                     \
    S(REVISION, "SELECT max(coalesce((SELECT max(revision) FROM user), 0), coalesce((SELECT max(revision) FROM api_key), 0), " \
      "coalesce((SELECT max(revision) FROM plan), 0), coalesce((SELECT max(revision) FROM price), 0), "                \
      "coalesce((SELECT max(revision) FROM provider), 0), coalesce((SELECT max(revision) FROM position), 0), "         \
      "coalesce((SELECT max(revision) FROM usage), 0), coalesce((SELECT max(transfer) FROM credit_grant), 0), " \
      "coalesce((SELECT max(revision) FROM hold), 0), coalesce((SELECT max(parked) FROM hold), 0), coalesce((SELECT max(revision) FROM correction), 0), "            \
      "coalesce((SELECT max(revision) FROM provider_def), 0), coalesce((SELECT max(revision) FROM model_def), 0), "    \
      "coalesce((SELECT max(revision) FROM session), 0))")                                                             \
    S(CHAIN_HEAD, "SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1")                                               \
    /* restore.c */                                                                                                    \
    S(REVISION_LIFT, "UPDATE plan SET revision = ?1 WHERE name = (SELECT min(name) FROM plan)")                        \
    /* users.c */                                                                                                      \
    S(USER_BY_ID, SQL_USER "WHERE u.id = ?1")                                                                          \
    S(USER_BY_EMAIL, SQL_USER "WHERE u.email = ?1")                                                                    \
    S(USER_BY_NUM, SQL_USER "WHERE u.num = ?1")                                                                        \
    S(USER_BY_REVISION, SQL_USER "WHERE u.revision = ?1")                                                              \
    S(USERS, SQL_USER "WHERE u.num > ?1 ORDER BY u.num LIMIT ?2")                                                      \
    S(USER_COUNT, "SELECT count(*) FROM user")                                                                         \
    S(USER_INSERT, "INSERT INTO user(id, email, name, role, plan, status, password_hash, created, revision) "          \
      "VALUES (?1, ?2, ?3, ?4, ?5, 'active', ?6, ?7, ?8)")                                                             \
    S(USER_UPDATE, "UPDATE user SET name = ?2, role = ?3, plan = ?4, status = ?5, revision = ?6 WHERE num = ?1")       \
    S(USER_PASSWORD, "UPDATE user SET password_hash = ?2 WHERE num = ?1")                                              \
    S(USER_TOUCH, "UPDATE user SET revision = ?2 WHERE num = ?1")                                                      \
    S(USER_OTHER_ADMINS, "SELECT count(*) FROM user WHERE role = 'admin' AND status = 'active' AND num <> ?1")         \
    S(ACCOUNT_INSERT, "INSERT INTO account(user_num, kind) VALUES (?1, ?2)")                                           \
    S(SPENT, "SELECT spent_nano FROM account WHERE id = ?1")                                                           \
    /* sessions.c */                                                                                                   \
    S(SESSION_INSERT, "INSERT INTO session(id, user_num, status, expires_at, created) VALUES (?1, ?2, 'active', ?3, ?4)") \
    S(SESSION_ACTIVE, "SELECT 1 FROM session WHERE id = ?1 AND status = 'active'")                                     \
    S(SESSION_EXISTS, "SELECT 1 FROM session WHERE id = ?1")                                                           \
    S(SESSION_END, "UPDATE session SET status = 'ended', ended = ?2, revision = ?3 WHERE id = ?1 AND status = 'active'") \
    S(SESSION_ENDED_BY_REVISION, "SELECT id FROM session WHERE revision = ?1")                                         \
    S(SESSIONS_OPEN, "SELECT id FROM session WHERE user_num = ?1 AND status = 'active' AND id IS NOT ?2 "                   \
      "ORDER BY expires_at DESC LIMIT ?3")                                                                             \
    S(SESSION_EXTEND, "UPDATE session SET expires_at = ?2 WHERE id = ?1")                                              \
    S(SESSION_OF_TOKEN, "SELECT t.session, t.used, s.status, s.expires_at, s.user_num "                                \
      "FROM refresh_token t JOIN session s ON s.id = t.session WHERE t.digest = ?1")                                   \
    S(TOKEN_INSERT, "INSERT INTO refresh_token(digest, session, used) VALUES (?1, ?2, 0)")                             \
    S(TOKEN_EXISTS, "SELECT 1 FROM refresh_token WHERE digest = ?1")                                                   \
    S(TOKEN_USED, "UPDATE refresh_token SET used = 1 WHERE digest = ?1")                                               \
    /* The newest end stays: a revision that was given is never given again. */                                        \
    S(SESSIONS_FORGET, "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < ?1 AND "            \
      "revision IS NOT (SELECT max(revision) FROM session) LIMIT ?2)")                                                 \
    /* keys.c */                                                                                                       \
    S(KEY_BY_ID, SQL_KEY "WHERE k.id = ?1")                                                                            \
    S(KEY_BY_REVISION, SQL_KEY "WHERE k.revision = ?1")                                                                \
    S(KEYS, SQL_KEY "WHERE k.user_num = ?1 AND k.num < ?2 ORDER BY k.num DESC LIMIT ?3")                               \
    S(KEY_TAKEN, "SELECT 1 FROM api_key WHERE id = ?1 OR digest = ?2 OR prev_digest = ?2")                              \
    S(KEY_COUNT, "SELECT count(*) FROM api_key WHERE user_num = ?1 AND (created > ?3 "                                 \
      "OR (status = 'active' AND (expires_at = 0 OR expires_at > ?2)))")                                               \
    S(KEY_OF_USER, SQL_KEY "WHERE k.user_num = ?1 AND k.id = ?2")                                                      \
    S(KEY_INSERT, "INSERT INTO api_key(id, user_num, digest, name, prefix, rpm, tpm, concurrency, models, expires_at, " \
      "status, created, revision, budget_nano, budget_period, budget_until, ip_allow) "                                \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'active', ?11, ?12, ?13, ?14, ?15, ?16)")                      \
    S(KEY_UPDATE, "UPDATE api_key SET name = ?2, rpm = ?3, tpm = ?4, concurrency = ?5, models = ?6, expires_at = ?7, " \
      "budget_nano = ?8, budget_period = ?9, budget_spent_nano = ?10, revision = ?12, ip_allow = ?13, "                \
      "budget_until = CASE WHEN budget_period = ?9 THEN max(budget_until, ?11) ELSE ?11 END WHERE num = ?1")          \
    /* budgets.c: a count whose period is over (?3 = end of the one that runs) begins anew */                          \
    S(BUDGET_OF_KEY, "SELECT num, budget_period FROM api_key WHERE id = ?1 AND budget_nano > 0")                       \
    S(KEY_TOUCH, "UPDATE api_key SET revision = ?2 WHERE id = ?1")                                                     \
    S(BUDGET_SPEND, "UPDATE api_key SET "                                                                              \
      "budget_spent_nano = max(0, min(?4, ?2 + CASE WHEN budget_until >= ?3 THEN budget_spent_nano ELSE 0 END)), " \
      "budget_until = max(budget_until, ?3) WHERE num = ?1 RETURNING digest, budget_spent_nano, budget_until")         \
    S(KEY_ROTATE, "UPDATE api_key SET prev_digest = digest, prev_until = ?4, digest = ?2, prefix = ?3, revision = ?5 " \
      "WHERE num = ?1")                                                                                                \
    S(KEY_REVOKE, "UPDATE api_key SET status = 'revoked', revision = ?2 WHERE num = ?1")                               \
    /* plans.c */                                                                                                      \
    S(PLAN_BY_NAME, SQL_PLAN "WHERE name = ?1")                                                                        \
    S(PLAN_BY_REVISION, SQL_PLAN "WHERE revision = ?1")                                                                \
    S(PLANS, SQL_PLAN "ORDER BY name LIMIT ?1")                                                                        \
    S(PLAN_COUNT, "SELECT count(*) FROM plan")                                                                         \
    S(PLAN_PUT, "INSERT INTO plan(name, rpm, tpm, concurrency, max_keys, models, revision, monthly_credit_nano) "      \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(name) DO UPDATE SET rpm = ?2, tpm = ?3, concurrency = ?4, " \
      "max_keys = ?5, models = ?6, revision = ?7, monthly_credit_nano = ?8")                                           \
    /* prices.c, pricing.c */                                                                                          \
    S(PRICE_BY_ID, SQL_PRICE "WHERE p.id = ?1")                                                                        \
    S(PRICE_BY_REVISION, SQL_PRICE "WHERE p.revision = ?1 AND p.in_force = 1")                                         \
    S(PRICE_OF_MODEL, SQL_PRICE "WHERE p.model = ?1 AND p.in_force = 1")                                               \
    S(PRICES, SQL_PRICE "WHERE p.in_force = 1 AND p.model > ?1 ORDER BY p.model LIMIT ?2")                             \
    S(PRICE_HISTORY, SQL_PRICE "WHERE p.model = ?1 AND (p.valid_from, p.id) < (?2, ?3) "                               \
      "ORDER BY p.valid_from DESC, p.id DESC LIMIT ?4")                                                                \
    S(PRICE_LAST_WAITING, SQL_PRICE "WHERE p.model = ?1 AND p.in_force = 0 AND p.ended = 0 AND p.valid_from <= ?2 "    \
      "ORDER BY p.valid_from DESC, p.id DESC LIMIT 1")                                                                 \
    S(PRICE_NEXT, "SELECT min(valid_from) FROM price WHERE in_force = 0 AND ended = 0")                                \
    S(PRICE_DUE, "SELECT id, model, valid_from FROM price WHERE in_force = 0 AND ended = 0 AND valid_from <= ?1 "      \
      "ORDER BY valid_from, id LIMIT 1")                                                                               \
    S(PRICE_END, "UPDATE price SET in_force = 0, ended = ?2 WHERE model = ?1 AND in_force = 1")                        \
    S(PRICE_REPLACE, "UPDATE price SET ended = valid_from WHERE model = ?1 AND valid_from = ?2 AND in_force = 0 AND ended = 0") \
    S(PRICE_BEGIN, "UPDATE price SET in_force = 1, revision = ?2 WHERE id = ?1")                                       \
    S(PRICE_INSERT, "INSERT INTO price(model, provider, mode, input, cached, write_short, write_long, output, tier_above, " \
      "tier_input, tier_cached, tier_write_short, tier_write_long, tier_output, context_window, max_output, valid_from, " \
      "builtin, in_force, revision, audio_in, image_in, audio_out, image_out, reasoning) "                             \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, " \
      "?24, ?25)")                                                                                                     \
    /* providers.c */                                                                                                  \
    S(PROVIDER_BY_NAME, "SELECT name, kind FROM provider WHERE name = ?1")                                             \
    S(PROVIDER_BY_REVISION, "SELECT name, kind FROM provider WHERE revision = ?1")                                     \
    S(PROVIDER_PUT, "INSERT INTO provider(name, kind, revision) VALUES (?1, ?2, ?3) "                                  \
      "ON CONFLICT(name) DO UPDATE SET kind = ?2, revision = ?3")                                                      \
    /* ledger.c, credits.c */                                                                                          \
    S(ACCOUNT, "SELECT balance_nano, spent_nano, user_num IS NOT NULL FROM account WHERE id = ?1")                     \
    S(ACCOUNT_SET, "UPDATE account SET balance_nano = ?2, spent_nano = ?3 WHERE id = ?1")                              \
    S(ENTRY_INSERT, "INSERT INTO entry(id, transfer, account, kind, amount_nano, balance_nano, created_ms, hash) "     \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                                                                       \
    S(GRANT_BY_KEY, "SELECT account, amount_nano, balance_nano, entry, transfer, kind, coalesce(request_id, '') "      \
      "FROM credit_grant WHERE actor = ?1 AND idempotency_key = ?2")                                                   \
    S(GRANT_INSERT, "INSERT INTO credit_grant(transfer, account, kind, actor, idempotency_key, note, amount_nano, "    \
      "balance_nano, entry, created_ms, request_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")            \
    S(CALL_COST, "SELECT cost_nano FROM usage WHERE request_id = ?1 AND user_num = ?2")                                \
    S(CALL_REFUNDED, "SELECT " SQL_REFUNDED("?1"))                                                                     \
    /* codes.c */                                                                                                      \
    S(CODES, SQL_CODE "WHERE c.num < ?1 ORDER BY c.num DESC LIMIT ?2")                                                 \
    S(CODE_BY_ID, SQL_CODE "WHERE c.id = ?1")                                                                          \
    S(CODE_BY_DIGEST, SQL_CODE "WHERE c.digest = ?1")                                                                  \
    S(CODE_INSERT, "INSERT INTO credit_code(id, digest, prefix, amount_nano, note, actor, expires_at, status, created) " \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'open', ?8)")                                                               \
    S(CODE_REVOKE, "UPDATE credit_code SET status = 'revoked' WHERE num = ?1 AND status = 'open'")                     \
    S(CODE_REDEEM, "UPDATE credit_code SET status = 'redeemed', user_num = ?2, redeemed_at = ?3, transfer = ?4 "       \
      "WHERE num = ?1 AND status = 'open'")                                                                            \
    S(CODE_FAILURES, "SELECT failures, began FROM code_failure WHERE user_num = ?1 AND began > ?2 AND began <= ?3")    \
    S(CODE_FAILED, "INSERT INTO code_failure(user_num, began, failures) VALUES (?1, ?3, 1) ON CONFLICT(user_num) DO UPDATE " \
      "SET failures = CASE WHEN began > ?2 AND began <= ?3 THEN failures + 1 ELSE 1 END, "                             \
      "began = CASE WHEN began > ?2 AND began <= ?3 THEN began ELSE ?3 END")                                           \
    /* monthly.c: ?1 user num, ?2 month, ?3 the month after it */                                                      \
    S(MONTHLY_DUE, "SELECT u.num, a.id, p.monthly_credit_nano FROM user u JOIN plan p ON p.name = u.plan "             \
      "JOIN account a ON a.user_num = u.num AND a.kind = 'available' "                                                 \
      "WHERE u.num >= ?1 AND u.num <= ?4 AND u.status = 'active' AND p.monthly_credit_nano > 0 AND NOT EXISTS "        \
      "(SELECT 1 FROM monthly_credit m WHERE m.user_num = u.num AND m.month IN (?2, ?3)) ORDER BY u.num LIMIT 1")      \
    S(MONTHLY_INSERT, "INSERT INTO monthly_credit(user_num, month, transfer) VALUES (?1, ?2, ?3)")                     \
    S(MONTHLY_PLANS, "SELECT 1 FROM plan WHERE monthly_credit_nano > 0")                                               \
    S(USER_MAX, "SELECT coalesce(max(num), 0) FROM user")                                                              \
    /* entries.c */                                                                                                    \
    S(ACCOUNT_OF_USER, "SELECT id FROM account WHERE user_num = ?1 AND kind = ?2")                                     \
    S(ENTRIES, SQL_ENTRY "WHERE e.id < ?1 ORDER BY e.id DESC LIMIT ?2")                                                \
    S(ENTRIES_OF_USER, SQL_ENTRY "WHERE e.account = ?3 AND e.account > 3 AND e.id < ?1 UNION ALL "                     \
      SQL_ENTRY "WHERE e.account = ?4 AND e.account > 3 AND e.id < ?1 ORDER BY 1 DESC LIMIT ?2")                       \
    S(ENTRY_TRANSFER, "SELECT transfer FROM entry WHERE id >= ?1 ORDER BY id LIMIT 1") \
    S(TRANSFERS_OF_CALL, "SELECT revision FROM hold WHERE request_id = ?1 UNION ALL SELECT ?2 "                        \
      "UNION ALL SELECT revision FROM correction WHERE usage = ?2 ORDER BY 1")                                         \
    S(ATTEMPTS, "SELECT number, provider, upstream_model, outcome, http_status, answered, prompt_tokens, cached_tokens, " \
      "cache_write_tokens, cache_write_long_tokens, completion_tokens, reasoning_tokens, estimated, price_id, cost_nano, " \
      "latency_ms, audio_input_tokens, audio_output_tokens, image_input_tokens, image_output_tokens "                    \
      "FROM attempt WHERE request_id = ?1 ORDER BY number LIMIT ?2")                                        \
    S(ENTRY_MAX, "SELECT coalesce(max(id), 0) FROM entry")                                                             \
    S(ENTRIES_FROM, SQL_ENTRY "WHERE e.id >= ?1 AND e.id < ?1 + 16 AND e.transfer = ?2 ORDER BY e.id")                 \
    /* ingest.c */                                                                                                     \
    S(POSITION, "SELECT seq FROM position WHERE source = ?1")                                                          \
    S(POSITION_PUT, "INSERT INTO position(source, seq, revision, updated_ms) VALUES (?1, ?2, ?3, ?4) "                 \
      "ON CONFLICT(source) DO UPDATE SET seq = ?2, revision = ?3, updated_ms = ?4")                                    \
    S(POSITION_COUNT, "SELECT count(*) FROM position")                                                                 \
    /* calls.c, payers.c */                                                                                            \
    S(PAYER, SQL_PAYER_ROW "WHERE u.id = ?1")                                                                          \
    S(PAYER_BY_NUM, SQL_PAYER_ROW "WHERE u.num = ?1")                                                                  \
    S(USAGE_INSERT, "INSERT INTO usage(revision, request_id, user_num, key_id, model, provider, upstream_model, endpoint, " \
      "stream, status, http_status, prompt_tokens, cached_tokens, cache_write_tokens, cache_write_long_tokens, "       \
      "completion_tokens, reasoning_tokens, estimated, price_id, cost_nano, overage_nano, balance_nano, hold_nano, "   \
      "created_ms, latency_ms, ttft_ms, attempts, audio_input_tokens, audio_output_tokens, image_input_tokens, image_output_tokens, price_percent) " \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, " \
      "?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32) ON CONFLICT(request_id) DO NOTHING")                                         \
    S(STRAY_INSERT, "INSERT INTO usage_stray(revision, user_id) VALUES (?1, ?2)")                                      \
    /* ?1 request id; a row that was corrected has its true status */                                                  \
    S(CALL_STATE, "SELECT c.revision, c.status, c.user_num, c.cost_nano, c.overage_nano, x.revision IS NOT NULL, "     \
      SQL_REFUNDED("c.request_id") " FROM usage c LEFT JOIN correction x ON x.usage = c.revision WHERE c.request_id = ?1")                           \
    S(USAGE_CORRECT, "UPDATE usage SET provider = ?2, upstream_model = ?3, status = ?4, http_status = ?5, prompt_tokens = ?6, " \
      "cached_tokens = ?7, cache_write_tokens = ?8, cache_write_long_tokens = ?9, completion_tokens = ?10, reasoning_tokens = ?11, " \
      "estimated = ?12, price_id = ?13, cost_nano = ?14, overage_nano = ?15, latency_ms = ?16, ttft_ms = ?17, attempts = ?18, " \
      "audio_input_tokens = ?19, audio_output_tokens = ?20, image_input_tokens = ?21, image_output_tokens = ?22, price_percent = ?23 WHERE revision = ?1") \
    S(CORRECTION_INSERT, "INSERT INTO correction(revision, usage, status, cost_nano, overage_nano, balance_nano, created_ms) " \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                                                           \
    S(ATTEMPT_PUT, "INSERT OR REPLACE INTO attempt(request_id, number, provider, upstream_model, outcome, http_status, answered, " \
      "prompt_tokens, cached_tokens, cache_write_tokens, cache_write_long_tokens, completion_tokens, reasoning_tokens, estimated, " \
      "price_id, cost_nano, latency_ms, audio_input_tokens, audio_output_tokens, image_input_tokens, image_output_tokens) " \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)")       \
    /* hold_rows.c */                                                                                                  \
    S(HOLD, "SELECT revision, user_num, amount_nano, state, cost_nano, tokens, due_ms FROM hold WHERE request_id = ?1") \
    S(HOLD_INSERT, "INSERT INTO hold(revision, request_id, user_num, amount_nano, state, cost_nano, tokens, lease_ms, due_ms, " \
      "opened_ms, event) VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6, ?7, ?8, ?9, ?10)")                                    \
    S(HOLD_RENEW, "UPDATE hold SET cost_nano = ?2, tokens = ?3, lease_ms = ?4, due_ms = ?5, event = ?6 WHERE revision = ?1") \
    S(HOLD_LEASE, "UPDATE hold SET due_ms = ?2 WHERE revision = ?1")                                                   \
    S(HOLD_END, "UPDATE hold SET state = ?2, ended = ?3, ended_ms = ?4, event = NULL WHERE revision = ?1 AND state = 'open'") \
    S(HOLD_STATE_BY_REVISION, "SELECT h.request_id, u.id, h.amount_nano, h.lease_ms, h.event "                          \
      "FROM hold h JOIN user u ON u.num = h.user_num WHERE h.revision = ?1 OR h.parked = ?1")                           \
    S(HOLD_PARK, "UPDATE hold SET parked = ?2 WHERE revision = ?1 AND state = 'open'")                                  \
    S(HOLDS_OPEN, "SELECT request_id FROM hold WHERE state = 'open'")                                                  \
    S(HOLDS_DUE, "SELECT event FROM hold WHERE state = 'open' AND due_ms <= ?1 ORDER BY due_ms LIMIT ?2")              \
    S(HOLDS_RESTART, "UPDATE hold SET due_ms = ?1 + lease_ms WHERE state = 'open'")                                    \
    /* usage.c */                                                                                                      \
    S(USAGE_BY_REQUEST, SQL_USAGE "WHERE c.request_id = ?1")                                                           \
    /* A call stands in the log of changes where it ended, and again where it was corrected. */                        \
    S(SETTLED_BY_REVISION, "SELECT c.request_id, coalesce(u.id, t.user_id), c.prompt_tokens + c.completion_tokens, c.cost_nano, " \
      "coalesce((SELECT balance_nano FROM correction WHERE revision = ?1), c.balance_nano), "                          \
      "k.digest, k.budget_spent_nano, k.budget_until "                                                                 \
      "FROM usage c LEFT JOIN user u ON u.num = c.user_num LEFT JOIN usage_stray t ON t.revision = c.revision "        \
      "LEFT JOIN api_key k ON k.id = c.key_id AND k.budget_nano > 0 "                                                  \
      "WHERE c.revision = coalesce((SELECT usage FROM correction WHERE revision = ?1), ?1)")                           \
    S(USAGE_ALL, SQL_USAGE "WHERE ?8 = 0 AND " SQL_USAGE_FILTER)                                                       \
    S(USAGE_OF_USER, SQL_USAGE "WHERE c.user_num = ?8 AND " SQL_USAGE_FILTER)                                          \
    S(SUM_ALL, "SELECT NULL, NULL, NULL, NULL, NULL, " SQL_SUM SQL_SUM_SINCE)                                                      \
    S(SUM_OF_USER, "SELECT NULL, NULL, NULL, NULL, NULL, " SQL_SUM SQL_SUM_USER)                                                   \
    S(GROUP_ALL, SQL_GROUP SQL_SUM_SINCE SQL_GROUP_END)                                                                \
    S(GROUP_OF_USER, SQL_GROUP SQL_SUM_USER SQL_GROUP_END)                                                             \
    /* state.c: the log of changes after ?1; kinds are the records' type numbers; ?3: keys that expired by then are gone */ \
    S(STATE_SNAPSHOT, "SELECT revision, 1283 FROM user WHERE revision > ?1 "                                           \
      "UNION ALL SELECT revision, 1295 FROM hold INDEXED BY hold_due WHERE revision > ?1 AND " SQL_HOLD_TOLD           \
      "UNION ALL SELECT revision, 1029 FROM api_key WHERE revision > ?1 AND status = 'active' "                        \
      "AND (expires_at = 0 OR expires_at > ?3) "                                                                       \
      "UNION ALL SELECT revision, 1033 FROM session WHERE revision > ?1 AND ended > ?4 "                               \
      "UNION ALL SELECT revision, 1285 FROM plan WHERE revision > ?1 "                                                 \
      "UNION ALL SELECT revision, 1282 FROM price WHERE revision > ?1 AND in_force = 1 "                               \
      "UNION ALL SELECT revision, 1286 FROM provider WHERE revision > ?1 "                                             \
      "UNION ALL SELECT revision, 1032 FROM provider_def WHERE revision > ?1 AND gone = 0 "                            \
      "UNION ALL SELECT revision, 1300 FROM model_def WHERE revision > ?1 AND gone = 0 "                               \
      "UNION ALL SELECT revision, 1031 FROM position WHERE revision > ?1 ORDER BY 1 LIMIT ?2")                         \
    S(STATE_AFTER, "SELECT revision, 1283 FROM user WHERE revision > ?1 "                                              \
      "UNION ALL SELECT revision, 1033 FROM session WHERE revision > ?1 "                                              \
      "UNION ALL SELECT revision, 1029 FROM api_key WHERE revision > ?1 "                                              \
      "UNION ALL SELECT revision, 1285 FROM plan WHERE revision > ?1 "                                                 \
      "UNION ALL SELECT revision, 1282 FROM price WHERE revision > ?1 AND in_force = 1 "                               \
      "UNION ALL SELECT revision, 1286 FROM provider WHERE revision > ?1 "                                             \
      "UNION ALL SELECT revision, 1032 FROM provider_def WHERE revision > ?1 "                                         \
      "UNION ALL SELECT revision, 1300 FROM model_def WHERE revision > ?1 "                                            \
      "UNION ALL SELECT revision, 1031 FROM position WHERE revision > ?1 "                                             \
      "UNION ALL SELECT parked, 1295 FROM hold WHERE parked > ?1 AND " SQL_HOLD_TOLD                                   \
      "UNION ALL SELECT revision, 1030 FROM usage WHERE revision > ?1 "                                                \
      "UNION ALL SELECT revision, 1030 FROM correction WHERE revision > ?1 ORDER BY 1 LIMIT ?2")                       \
    S(ACK_BY_REVISION, "SELECT source, seq FROM position WHERE revision = ?1")                                         \
    /* catalog_rows.c */                                                                                               \
    S(DEF_PROVIDER, SQL_PROVIDER_DEF "WHERE name = ?1 AND gone = 0")                                                   \
    S(DEF_PROVIDER_BY_REVISION, SQL_PROVIDER_DEF "WHERE revision = ?1")                                                \
    S(DEF_PROVIDERS, SQL_PROVIDER_DEF "WHERE gone = 0 AND name > ?1 ORDER BY name LIMIT ?2")                           \
    S(DEF_PROVIDER_COUNT, "SELECT count(*) FROM provider_def WHERE gone = 0")                                          \
    S(DEF_PROVIDER_PUT, "INSERT OR REPLACE INTO provider_def(name, kind, base_url, internal, disconnect, connect_ms, " \
      "first_byte_ms, idle_ms, total_ms, api_version, disabled, drop_params, created, source, gone, revision, chat_only) " \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)")                                \
    S(DEF_KEYS, "SELECT id, sealed, env, hint FROM provider_key WHERE provider = ?1 ORDER BY place")                   \
    S(DEF_KEYS_DROP, "DELETE FROM provider_key WHERE provider = ?1")                                                   \
    S(DEF_KEY_INSERT, "INSERT INTO provider_key(provider, place, id, sealed, env, hint) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")\
    S(DEF_MODEL, SQL_MODEL_DEF "WHERE name = ?1 AND gone = 0")                                                         \
    S(DEF_MODEL_BY_REVISION, SQL_MODEL_DEF "WHERE revision = ?1")                                                      \
    S(DEF_MODELS, SQL_MODEL_DEF "WHERE gone = 0 AND name > ?1 ORDER BY name LIMIT ?2")                                 \
    S(DEF_MODEL_COUNT, "SELECT count(*) FROM model_def WHERE gone = 0")                                                \
    S(DEF_MODEL_PUT, "INSERT OR REPLACE INTO model_def(name, max_output, context_window, routing, own_price, created, source, "\
      "gone, revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                                                   \
    S(DEF_ALIASES, "SELECT alias FROM model_alias WHERE model = ?1 ORDER BY place")                                    \
    S(DEF_ALIASES_DROP, "DELETE FROM model_alias WHERE model = ?1")                                                    \
    S(DEF_ALIAS_INSERT, "INSERT INTO model_alias(alias, model, place) VALUES (?1, ?2, ?3)")                            \
    S(DEF_ALIAS_OF, "SELECT model FROM model_alias WHERE alias = ?1")                                                  \
    S(DEF_ROUTES, "SELECT provider, upstream_model, tier, weight FROM model_route WHERE model = ?1 ORDER BY place")    \
    S(DEF_ROUTES_DROP, "DELETE FROM model_route WHERE model = ?1")                                                     \
    S(DEF_ROUTE_INSERT, "INSERT INTO model_route(model, place, provider, upstream_model, tier, weight) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")\
    S(DEF_ROUTE_TO, "SELECT model FROM model_route WHERE provider = ?1 LIMIT 1")                                       \
    S(DEF_FROM_CONFIG, "SELECT name, 1 FROM model_def WHERE gone = 0 AND source = 'config' "                           \
      "UNION ALL SELECT name, 0 FROM provider_def WHERE gone = 0 AND source = 'config' ORDER BY 2 DESC, 1")            \
    /* audit.c */                                                                                                      \
    S(AUDIT_INSERT, "INSERT INTO audit(created, actor, action, object, detail) VALUES (?1, ?2, ?3, ?4, ?5)")           \
    S(AUDITS, "SELECT id, created, actor, action, object, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2")  \
    /* security.c */                                                                                                   \
    S(SECURITY_SEQ, "SELECT seq FROM security_source WHERE source = ?1")                                               \
    S(SECURITY_TOLD, "INSERT INTO security_source(source, seq, told) VALUES (?1, ?2, ?3) "                             \
      "ON CONFLICT(source) DO UPDATE SET seq = ?2, told = ?3")                                                         \
    S(SECURITY_SAME, "SELECT id FROM security_event WHERE kind = ?1 AND subject = ?2 AND address = ?3 AND first_seen > ?4 "\
      "ORDER BY first_seen DESC LIMIT 1")                                                                              \
    S(SECURITY_AGAIN, "UPDATE security_event SET count = count + ?2, last_seen = max(last_seen, ?3) WHERE id = ?1")    \
    S(SECURITY_INSERT, "INSERT INTO security_event(kind, subject, address, count, first_seen, last_seen, detail) "     \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                                                           \
    S(SECURITY_COUNT, "SELECT count(*) FROM security_event WHERE kind = ?1")                                           \
    S(SECURITY_FORGET_KIND, "DELETE FROM security_event WHERE id IN "                                                  \
      "(SELECT id FROM security_event WHERE kind = ?1 ORDER BY id LIMIT ?2)")                                          \
    S(SECURITY_FORGET_OLD, "DELETE FROM security_event WHERE id IN (SELECT id FROM security_event WHERE last_seen < ?1 LIMIT ?2)")\
    S(SECURITY_FORGET_SOURCES, "DELETE FROM security_source WHERE told < ?1")                                          \
    S(SECURITY_EVENTS, "SELECT id, kind, subject, address, count, first_seen, last_seen, detail FROM security_event "  \
      "WHERE id < ?1 AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR subject = ?3) AND (?4 IS NULL OR address = ?4) " \
      "AND last_seen >= ?5 AND first_seen < ?6 ORDER BY id DESC LIMIT ?7")                                             \
    /* anomaly.c */                                                                                                    \
    S(KEY_HOUR_POSITION, "SELECT revision FROM key_hour_position")                                                     \
    S(KEY_HOUR_MOVE, "UPDATE key_hour_position SET revision = ?1")                                                     \
    S(KEY_HOUR_LAST, "SELECT max(revision) FROM (SELECT revision FROM usage WHERE revision > ?1 ORDER BY revision LIMIT ?2)")\
    S(KEY_HOUR_ADD, "INSERT INTO key_hour(key_id, hour, calls, cost_nano) SELECT key_id, created_ms / 3600000 AS h, count(*), "\
      "sum(cost_nano) FROM usage WHERE revision > ?1 AND revision <= ?2 GROUP BY key_id, h "                           \
      "ON CONFLICT(key_id, hour) DO UPDATE SET calls = calls + excluded.calls, cost_nano = cost_nano + excluded.cost_nano")\
    /* ?1 hour, ?2 first hour before it, ?3 hours used at least, ?4 calls, ?5 cost, ?6 times, ?7 begin of the hour */  \
    S(KEY_HOUR_ODD, "SELECT k.key_id, k.calls, k.cost_nano, h.calls, h.cost_nano FROM key_hour k JOIN (SELECT key_id, "\
      "count(*) AS hours, max(calls) AS calls, max(cost_nano) AS cost_nano FROM key_hour WHERE hour >= ?2 AND hour < ?1 "\
      "AND key_id IN (SELECT key_id FROM key_hour WHERE hour = ?1 AND (calls >= ?4 OR cost_nano >= ?5)) "              \
      "GROUP BY key_id) h ON h.key_id = k.key_id WHERE k.hour = ?1 AND h.hours >= ?3 "                                 \
      "AND ((k.calls >= ?4 AND k.calls > ?6 * h.calls) OR (k.cost_nano >= ?5 AND k.cost_nano > ?6 * h.cost_nano)) "    \
      "AND NOT EXISTS (SELECT 1 FROM security_event e WHERE e.kind = 'anomalous_use' AND e.subject = k.key_id "        \
      "AND e.address = '' AND e.first_seen >= ?7) LIMIT ?8")                                                           \
    S(KEY_HOUR_FORGET, "DELETE FROM key_hour WHERE (key_id, hour) IN (SELECT key_id, hour FROM key_hour WHERE hour < ?1 LIMIT ?2)")\
    /* alerts.c */                                                                                                     \
    S(ALERT_SEEN, "UPDATE alert SET last = ?3, text = ?4, count = count + 1 WHERE rule = ?1 AND subject = ?2 AND state = 'firing'")\
    S(ALERT_INSERT, "INSERT INTO alert(rule, severity, subject, text, state, since, last, count) "                     \
      "VALUES (?1, ?2, ?3, ?4, 'firing', ?5, ?5, 1)")                                                                  \
    S(ALERT_LAST, "SELECT max(id) FROM alert")                                                                         \
    S(ALERTS_CLEAR, SQL_ALERT "WHERE state = 'firing' AND last <= ?1 ORDER BY id LIMIT ?2")                            \
    S(ALERT_RESOLVE, "UPDATE alert SET state = 'resolved', resolved_at = ?2 WHERE id = ?1")                            \
    S(ALERT_BY_ID, SQL_ALERT "WHERE id = ?1")                                                                          \
    S(ALERTS, SQL_ALERT "WHERE id < ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR rule = ?3) ORDER BY id DESC LIMIT ?4")\
    S(ALERT_ACK, "UPDATE alert SET acknowledged_at = ?2, acknowledged_by = ?3 WHERE id = ?1 AND acknowledged_at = 0")  \
    S(ALERTS_FIRING, "SELECT count(*) FROM alert WHERE state = 'firing' AND severity = ?1")                            \
    S(ALERTS_FORGET, "DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE state = 'resolved' AND (resolved_at < ?1 "\
      "OR id <= (SELECT id FROM alert ORDER BY id DESC LIMIT 1 OFFSET ?2)) LIMIT ?3)")                                 \
    S(DELIVERY_INSERT, "INSERT INTO delivery(body, due, born) VALUES (?1, ?2, ?2)")                                    \
    S(DELIVERY_NEXT, "SELECT id, body, tries, due, born FROM delivery ORDER BY id LIMIT 1")                            \
    S(DELIVERY_DONE, "DELETE FROM delivery WHERE id = ?1")                                                             \
    S(DELIVERY_AGAIN, "UPDATE delivery SET tries = tries + 1, due = ?2 WHERE id = ?1")                                 \
    S(DELIVERIES_FORGET, "DELETE FROM delivery WHERE id <= (SELECT id FROM delivery ORDER BY id DESC LIMIT 1 OFFSET ?1)")\
    /* alert_rules.c: subject, text. ?1 now (Unix seconds), ?2 what the rule compares with, ?3 how many at most */     \
    S(RULE_BRUTE_FORCE, "SELECT address, printf('%d failed sign-ins from %s within an hour', sum(count), coalesce(nullif(address, ''), 'many addresses')) "    \
      "FROM security_event WHERE last_seen >= ?1 - 600 AND first_seen >= ?1 - 4200 AND kind IN ('login_failed', 'login_throttled') "\
      "GROUP BY address HAVING sum(count) >= ?2 ORDER BY max(id) DESC LIMIT ?3")                                       \
    S(RULE_KEY_GUESSING, "SELECT address, printf('%d API keys guessed from %s within an hour', sum(count), coalesce(nullif(address, ''), 'many addresses')) "  \
      "FROM security_event WHERE last_seen >= ?1 - 600 AND kind = 'key_guessing' "                                     \
      "GROUP BY address HAVING sum(count) >= ?2 ORDER BY max(id) DESC LIMIT ?3")                                       \
    S(RULE_REFRESH_REUSED, "SELECT subject, printf('A refresh token of user %s was used twice (from %s): somebody has copied it', subject, address) "\
      "FROM security_event WHERE last_seen >= ?1 - 600 AND kind = 'refresh_token_reused' AND count >= ?2 "             \
      "GROUP BY subject ORDER BY max(id) DESC LIMIT ?3")                                                               \
    S(RULE_ANOMALOUS_USE, "SELECT subject, printf('Key %s does far more than it ever did: %s', subject, detail) "      \
      "FROM security_event WHERE last_seen >= ?1 - 3600 AND kind = 'anomalous_use' AND count >= ?2 ORDER BY id DESC LIMIT ?3")\
    S(RULE_LOW_BALANCE, "SELECT u.id, printf('User %s has $%.2f of credit left', u.email, a.balance_nano / 1e9) "      \
      "FROM account a JOIN user u ON u.num = a.user_num WHERE a.kind = 'available' AND a.spent_nano > 0 "              \
      "AND a.balance_nano < ?2 AND u.status = 'active' AND ?1 > 0 ORDER BY u.num LIMIT ?3")                            \
    S(RULE_KEY_BUDGET, "SELECT id, printf('Key %s has spent $%.2f of its budget of $%.2f', id, budget_spent_nano / 1e9, budget_nano / 1e9) "\
      "FROM api_key WHERE budget_nano > 0 AND status = 'active' AND (budget_until = 0 OR budget_until > ?1) "          \
      "AND budget_spent_nano >= budget_nano / 100.0 * ?2 ORDER BY num LIMIT ?3")                                       \
    S(RULE_PROVIDER_ERRORS, "SELECT provider, printf('%d of the last %d calls at provider %s have failed', errors, calls, provider) FROM "\
      "(SELECT provider, count(*) AS calls, sum(status = 'error') AS errors FROM (SELECT provider, status, created_ms FROM usage "\
      "ORDER BY revision DESC LIMIT 2000) WHERE created_ms >= (?1 - 300) * 1000 AND provider <> '' GROUP BY provider) "\
      "WHERE calls >= 20 AND errors * 100 >= calls * ?2 ORDER BY provider LIMIT ?3")                                   \
    S(OVERAGE, "SELECT -balance_nano FROM account WHERE id = ?1")                                                      \
    /* answers.c */                                                                                                    \
    S(ANSWER_CALLER, "SELECT k.user_num, k.status = 'active' AND (k.expires_at = 0 OR k.expires_at > ?2) "             \
      "AND (k.digest = ?1 OR k.prev_until > ?2) AND u.status = 'active', k.ip_allow "                                  \
      "FROM api_key k JOIN user u ON u.num = k.user_num WHERE k.num = " SQL_KEY_OF_SECRET)                             \
    S(ANSWER_FIND, "SELECT id, body_digest = ?3, state = 'stored', lease_end_ms, expires_ms, http_status, request_id, " \
      "content_type, bytes FROM answer WHERE user_num = ?1 AND idempotency_key = ?2")                                         \
    S(ANSWER_BODY, "SELECT body FROM answer WHERE id = ?1")                                                            \
    S(ANSWER_PIECES, "SELECT body FROM answer_piece WHERE id >= ?1 * 1024 AND id < ?1 * 1024 + 1024 ORDER BY id")      \
    S(ANSWER_PIECE_COUNT, "SELECT count(*) FROM answer_piece WHERE id >= ?1 * 1024 AND id < ?1 * 1024 + 1024")         \
    S(ANSWER_PIECE_ADD, "INSERT INTO answer_piece(id, body) VALUES (?1 * 1024 + ?2, ?3)")                              \
    S(ANSWER_COST, "SELECT cost_nano + overage_nano + (status = 'expired' OR (status = 'void' AND http_status = ?2)) " \
      "FROM usage WHERE request_id = ?1 "                                                                              \
      "UNION ALL SELECT 1 FROM hold WHERE request_id = ?1 AND state = 'open' AND parked > 0")                          \
    S(ANSWER_HOLD, "SELECT 1 FROM hold WHERE request_id = ?1 AND state = 'open'")                                      \
    S(ANSWER_INSERT, "INSERT INTO answer(user_num, idempotency_key, body_digest, request_id, state, created_ms, "      \
      "expires_ms, lease_ms, lease_end_ms) VALUES (?1, ?2, ?3, ?4, 'begun', ?5, ?6, ?7, ?8)")                          \
    S(ANSWER_LEASE, "UPDATE answer SET lease_end_ms = ?2 WHERE id = ?1")                                               \
    S(ANSWER_STORE, "UPDATE answer SET state = 'stored', http_status = ?2, content_type = ?3, bytes = ?4, body = ?5 "  \
      "WHERE id = ?1")                                                                                                 \
    S(ANSWER_DROP, "DELETE FROM answer WHERE id = ?1")                                                                 \
    S(ANSWER_SPACE, "SELECT bytes FROM answer_space WHERE user_num = ?1")                                              \
    S(ANSWER_OLDEST, "SELECT id, bytes FROM answer WHERE user_num = ?1 AND state = 'stored' ORDER BY id LIMIT ?2")     \
    S(ANSWER_EVICT, "UPDATE answer SET state = 'begun', lease_end_ms = 0, bytes = 0, body = x'' "                      \
      "WHERE user_num = ?1 AND state = 'stored' AND id <= ?2")                                                         \
    S(ANSWERS_RESTART, "UPDATE answer SET lease_end_ms = ?1 + lease_ms WHERE state = 'begun' AND lease_end_ms > 0")    \
    S(ANSWERS_OLD, "SELECT id, bytes FROM answer WHERE expires_ms <= ?1 AND (state = 'stored' OR lease_end_ms <= ?2) " \
      "ORDER BY expires_ms LIMIT ?3")                                                                                  \
    /* objects.c */                                                                                                    \
    S(OBJECT_PUT, "INSERT INTO object(user_num, id, provider, created_ms, worth, tokens) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "         \
      "ON CONFLICT(user_num, id) DO UPDATE SET provider = excluded.provider, created_ms = excluded.created_ms, "       \
      "worth = coalesce(excluded.worth, worth), tokens = coalesce(excluded.tokens, tokens)")                                                                       \
    S(OBJECT_FIND, "SELECT o.provider, o.worth, o.tokens FROM api_key k JOIN object o ON o.user_num = k.user_num AND o.id = ?2 "          \
      "WHERE k.num = " SQL_KEY_OF_SECRET)                                                                              \
    /* parked.c */                                                                                                     \
    S(PARKED_KEEP, "UPDATE object SET call = ?3 WHERE user_num = ?1 AND id = ?2")                                       \
    S(PARKED_CALL, "SELECT call FROM object WHERE user_num = ?1 AND id = ?2 AND call IS NOT NULL")                      \
    S(PARKED_OVER, "UPDATE object SET call = NULL WHERE user_num = ?1 AND id = ?2")                                     \
    /* verify.c */                                                                                                     \
    S(VERIFY_ENTRIES, "SELECT transfer, account, kind, amount_nano, balance_nano, id, created_ms, hash FROM entry ORDER BY id") \
    S(VERIFY_ACCOUNTS, "SELECT a.id, a.user_num, a.kind, a.balance_nano, a.spent_nano, coalesce(u.id, 'operator') "    \
      "FROM account a LEFT JOIN user u ON u.num = a.user_num ORDER BY a.id")                                           \
    S(VERIFY_HELD, "SELECT a.id, h.id FROM account h JOIN account a ON a.user_num = h.user_num AND a.kind = 'available' " \
      "WHERE h.kind = 'held'")                                                                                         \
    S(VERIFY_USAGE, "SELECT c.revision, c.request_id, a.id, c.cost_nano, coalesce(x.cost_nano, 0), "                   \
      "c.overage_nano - coalesce(x.overage_nano, 0), c.balance_nano FROM usage c "                                     \
      "LEFT JOIN account a ON a.user_num = c.user_num AND a.kind = 'available' "                                       \
      "LEFT JOIN correction x ON x.usage = c.revision ORDER BY c.revision")                                            \
    S(VERIFY_CORRECTION, "SELECT a.id, x.cost_nano, x.overage_nano, x.balance_nano FROM correction x "                 \
      "JOIN usage c ON c.revision = x.usage LEFT JOIN account a ON a.user_num = c.user_num AND a.kind = 'available' "  \
      "WHERE x.revision = ?1")                                                                                         \
    S(VERIFY_CORRECTION_COUNT, "SELECT count(*) FROM correction WHERE cost_nano <> 0 OR overage_nano <> 0")            \
    S(VERIFY_HOLD, "SELECT a.id, h.amount_nano FROM hold h "                                                           \
      "LEFT JOIN account a ON a.user_num = h.user_num AND a.kind = 'available' WHERE h.revision = ?1")                 \
    S(VERIFY_HOLD_END, "SELECT amount_nano, ended FROM hold WHERE request_id = ?1")                                    \
    S(VERIFY_HOLD_COUNT, "SELECT count(*) FROM hold WHERE amount_nano > 0")                                            \
    S(VERIFY_HOLDS, "SELECT h.request_id, a.id, h.amount_nano, h.state, h.ended, h.due_ms, c.revision, "               \
      "coalesce(x.status, c.status) FROM hold h LEFT JOIN usage c ON c.request_id = h.request_id "                     \
      "LEFT JOIN correction x ON x.usage = c.revision "                                                                \
      "LEFT JOIN account a ON a.user_num = h.user_num AND a.kind = 'held' ORDER BY h.revision")                        \
    S(VERIFY_POSITIONS, "SELECT source, seq FROM position")                                                            \
    S(VERIFY_GRANT, "SELECT account, amount_nano, balance_nano, entry, kind FROM credit_grant WHERE transfer = ?1") \
    S(VERIFY_GRANT_COUNT, "SELECT count(*) FROM credit_grant")                                                         \
    S(VERIFY_REFUNDS, "SELECT g.request_id, 'refunds of ' || sum(g.amount_nano) || ' nano-USD, but the user paid ' || " \
      "coalesce(c.cost_nano, 0) FROM credit_grant g JOIN account a ON a.id = g.account "                               \
      "LEFT JOIN usage c ON c.request_id = g.request_id AND c.user_num = a.user_num WHERE g.request_id IS NOT NULL "   \
      "GROUP BY g.request_id, g.account HAVING sum(g.amount_nano) > coalesce(c.cost_nano, 0)")                         \
    S(VERIFY_CODES, "SELECT c.id, 'the code was redeemed, but its grant of credit says otherwise' FROM credit_code c " \
      "LEFT JOIN credit_grant g ON g.transfer = c.transfer AND g.kind = 'code' AND g.amount_nano = c.amount_nano "     \
      "LEFT JOIN account a ON a.id = g.account WHERE c.status = 'redeemed' AND a.user_num IS NOT c.user_num "          \
      "UNION ALL SELECT 'grant ' || g.transfer, 'credit of a code that was never redeemed' FROM credit_grant g "       \
      "WHERE g.kind = 'code' AND NOT EXISTS (SELECT 1 FROM credit_code c WHERE c.transfer = g.transfer)")              \
    S(VERIFY_MONTHS, "SELECT 'month ' || m.month, 'the monthly credit of user ' || m.user_num || ' has no grant of credit' " \
      "FROM monthly_credit m LEFT JOIN credit_grant g ON g.transfer = m.transfer AND g.kind = 'monthly' "              \
      "LEFT JOIN account a ON a.id = g.account WHERE a.user_num IS NOT m.user_num "                                    \
      "UNION ALL SELECT 'grant ' || g.transfer, 'monthly credit of no month' FROM credit_grant g "                     \
      "WHERE g.kind = 'monthly' AND NOT EXISTS (SELECT 1 FROM monthly_credit m WHERE m.transfer = g.transfer)")        \
    S(VERIFY_ACCOUNT_MAX, "SELECT max(id) FROM account")

/* clang-format on */

#define SQL_NAME(name, text) SQL_##name,
enum sql { SQL_STATEMENTS(SQL_NAME) SQL_COUNT };

#endif
