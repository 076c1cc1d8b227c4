/*
 * Every setting of every program, declared once: S(NAME, member, KIND, default, min, max, services, help).
 * KIND: STR (min..max bytes; default NULL = unset), INT (min..max), CHOICE (default and help list the words, max is
 * unused), USD (nano-USD; text default), SECRET (as STR, never shown). services: who reads it (SET_G gateway, SET_A
 * authsvc, SET_P providersvc, SET_M meterd, SET_L launcher, SET_C routerctl); --help of a program shows its own.
 */
#ifndef SERVICES_SETTINGS_TABLE_H
#define SERVICES_SETTINGS_TABLE_H

#define SET_G 1u
#define SET_A 2u
#define SET_P 4u
#define SET_M 8u
#define SET_L 16u
#define SET_C 32u
#define SET_ALL (SET_G | SET_A | SET_P | SET_M | SET_L)

/* clang-format off */
#define SETTINGS(S)                                                                                                    \
    S(PORT,             port,             INT,    "3000",              0, 65535,      SET_G | SET_L, "HTTP port; 0 takes a free one and prints it") \
    S(HOST,             host,             STR,    "127.0.0.1",         1, 255,        SET_G | SET_A | SET_L, "address to listen on; another than loopback closes sign-up unless SIGNUP says otherwise") \
    S(LOG_LEVEL,        log_level,        CHOICE, "info|error|warn|debug", 0, 0,      SET_ALL, "least important level that is logged") \
    S(DB_PATH,          db_path,          STR,    "./database/app.db", 1, 4000,       SET_M | SET_L | SET_C, "SQLite file; its folder is made when missing") \
    S(SPOOL_DIR,        spool_dir,        STR,    "./database/spool",  1, 4000,       SET_P | SET_L, "folder of the usage outbox; instances may share it") \
    S(SPOOL_KEEP_HOURS, spool_keep_hours, INT,    "48",                0, 8760,       SET_P | SET_L, "acknowledged usage records stay in the outbox for so long, for a database that is restored from a backup") \
    S(JWT_SECRET,       jwt_secret,       SECRET, NULL,                32, 1024,      SET_A | SET_L, "signs session tokens, 32 characters or more; the launcher makes and keeps one when unset") \
    S(MASTER_KEY,       master_key,       SECRET, NULL,                32, 1024,      SET_M | SET_P | SET_L, "seals the upstream keys in the database, 32 characters or more; the launcher makes and keeps one when unset") \
    S(CONFIG,           config,           STR,    NULL,                1, 4000,       SET_M | SET_L | SET_C, "YAML file of providers, models, routes and prices that meterd reads at every start") \
    S(ADMIN_EMAIL,      admin_email,      STR,    "admin@localhost",   3, 254,        SET_M | SET_L | SET_C, "administrator made at first start") \
    S(ADMIN_PASSWORD,   admin_password,   SECRET, NULL,                8, 1024,       SET_M | SET_L | SET_C, "its password; unset = a random one, shown once and kept in a 0600 file beside the database") \
    S(SIGNUP,           signup,           CHOICE, "auto|open|invite|closed", 0, 0,    SET_A | SET_L, "who may register; invite = with a redemption code; auto = open on a loopback HOST, else closed") \
    S(SIGNUP_CREDITS_USD, signup_credits, USD,    "auto",              0, 0,          SET_A | SET_L, "credit of a new account in USD; auto = 5 on a loopback HOST, else 0") \
    S(SIGNUP_PLAN,      signup_plan,      STR,    "free",              1, 64,         SET_A | SET_L, "plan of a new account") \
    S(UNPRICED,         unpriced,         CHOICE, "refuse|free",       0, 0,          SET_A | SET_L, "models without a price: refused, or allowed at no charge") \
    S(BATCH_PERCENT,    batch_percent,    INT,    "50",                1, 1000,       SET_A | SET_L, "what a batch costs: percent of the model's prices") \
    S(REDIS_URL,        redis_url,        SECRET, NULL,                8, 1024,       SET_A | SET_L, "Redis 6.2 or newer that several authsvc share limits and holds through: redis://[[user]:password@]host[:port][/db] or unix:///path[?db=N]; unset = one authsvc alone, which needs none") \
    S(REDIS_FAILURE,    redis_failure,    CHOICE, "refuse|local",      0, 0,          SET_A | SET_L, "while Redis is away: calls are refused with 503, or each authsvc goes on with limits and holds of its own") \
    S(HOLD_GRACE_MS,    hold_grace_ms,    INT,    "60000",             1000, 3600000, SET_A | SET_P | SET_L, "credit held for a call that nothing is heard of is free again so long after its deadline") \
    S(IDEMPOTENCY_HOURS, idempotency_hours, INT,  "24",                1, 720,        SET_M | SET_L, "answers to calls with an Idempotency-Key are kept for so long") \
    S(SECURITY_DAYS,    security_days,    INT,    "90",                1, 3650,       SET_M | SET_L, "security events are kept for so long, 5000 of a kind at most") \
    S(ALERT_WEBHOOK_URL, alert_webhook_url, SECRET, NULL,                8, 1024,       SET_M | SET_L, "where alerts are posted to: https, or http where the URL itself names a place of one's own; unset = nowhere") \
    S(ALERT_WEBHOOK_SECRET, alert_webhook_secret, SECRET, NULL,        16, 1024,      SET_M | SET_L, "signs what is posted there, 16 characters or more; unset = not signed") \
    S(ALERT_BALANCE_USD, alert_balance, USD,      "0",                 0, 0,          SET_M | SET_L, "an alert for each user who has spent and has less credit than this; 0 = none") \
    S(METRICS_TOKEN,    metrics_token,    SECRET, NULL,                8, 1024,       SET_G | SET_L, "bearer token for /metrics; unset = loopback clients only") \
    S(TRUSTED_PROXIES,  trusted_proxies,  STR,    NULL,                1, 4096,       SET_G | SET_L, "addresses and networks of proxies in front, with commas: their X-Forwarded-For says who the client is") \
    S(MAX_CONNECTIONS,  max_connections,  INT,    "2048",              8, 20000,      SET_G | SET_L, "client connections at once; each has a small thread") \
    S(MAX_BODY_BYTES,   max_body_bytes,   INT,    "16777216",          1024, 16777216, SET_G | SET_L, "largest request body") \
    S(MAX_UPLOAD_BYTES, max_upload_bytes, INT,    "104857600",         1024, 1073741824, SET_G | SET_L, "largest upload: files, images, recordings; kept in UPLOAD_DIR while it is passed on") \
    S(UPLOAD_DIR,       upload_dir,       STR,    "/tmp",              1, 4000,       SET_G | SET_L, "folder for uploads above 256 KB while they are passed on; its files have no name and vanish with the process") \
    S(OTHER_ENDPOINTS,  other_endpoints,  CHOICE, "pass|refuse",       0, 0,          SET_G | SET_L, "paths under /v1 that the router does not know, and the lists of files and batches: passed to a provider of OpenAI's kind, with all that its key may see, other users' objects too; or refused") \
    S(CALL_TIMEOUT_MS,  call_timeout_ms,  INT,    "600000",            1000, 3600000, SET_G | SET_L, "longest time a call may take in all") \
    S(DRAIN_MS,         drain_ms,         INT,    "30000",             0, 600000,     SET_ALL, "after SIGTERM: how long running calls may go on") \
    S(OPENAI_API_KEY,   openai_api_key,   SECRET, NULL,                1, 1024,       SET_P | SET_L, "key for OpenAI or what OPENAI_BASE_URL names; without it there is no openai provider") \
    S(OPENAI_BASE_URL,  openai_base_url,  STR,    "https://api.openai.com/v1", 8, 1024, SET_P | SET_L, "OpenAI-compatible upstream") \
    S(ANTHROPIC_API_KEY, anthropic_api_key, SECRET, NULL,              1, 1024,       SET_P | SET_L, "key for Anthropic or what ANTHROPIC_BASE_URL names; without it there is no anthropic provider") \
    S(ANTHROPIC_BASE_URL, anthropic_base_url, STR, "https://api.anthropic.com", 8, 1024, SET_P | SET_L, "Anthropic's API, with or without /v1") \
    S(GEMINI_API_KEY,   gemini_api_key,   SECRET, NULL,                1, 1024,       SET_P | SET_L, "key for Gemini or what GEMINI_BASE_URL names; without it there is no gemini provider") \
    S(GEMINI_BASE_URL,  gemini_base_url,  STR,    "https://generativelanguage.googleapis.com", 8, 1024, SET_P | SET_L, "Google's Gemini API") \
    S(UPSTREAM_HEALTH,  upstream_health,  CHOICE, "watch|ignore",      0, 0,          SET_P | SET_L, "providers that fail and keys over their limits get no calls for a while; ignore = they get all the same") \
    S(DROP_UNSUPPORTED, drop_unsupported, CHOICE, "off|on",            0, 0,          SET_P | SET_L, "fields of a request that its provider has nothing like: refused by name, or left out and named in x-router-dropped") \
    S(ECHO,             echo,             CHOICE, "on|off",            0, 0,          SET_P | SET_L, "the built-in echo provider, which needs no network") \
    S(DISCONNECT,       disconnect,       CHOICE, "cancel|drain",      0, 0,          SET_P | SET_L, "when a client leaves: stop upstream at once and bill what was produced, or read on to the true usage") \
    S(DISCONNECT_DRAIN_MS, disconnect_drain_ms, INT, "60000",        100, 3600000,  SET_P | SET_L, "drain: for so long at most") \
    S(UPSTREAM_LOOPS,   upstream_loops,   INT,    "1",                 1, 16,         SET_P | SET_L, "event loops (threads) that speak to upstreams") \
    S(UPSTREAM_CONNECT_MS, upstream_connect_ms, INT, "2000",           50, 60000,      SET_P | SET_L, "time to connect") \
    S(UPSTREAM_FIRST_BYTE_MS, upstream_first_byte_ms, INT, "60000",    100, 3600000,  SET_P | SET_L, "time to the first byte of a stream") \
    S(UPSTREAM_ANSWER_MS, upstream_answer_ms, INT, "600000",           100, 3600000,  SET_P | SET_L, "time to the first byte of an answer that is not streamed: most providers send nothing before all of it is made") \
    S(UPSTREAM_IDLE_MS, upstream_idle_ms, INT,    "30000",             100, 3600000,  SET_P | SET_L, "time between two bytes of an answer") \
    S(AUTHSVC_URL,      authsvc_url,      STR,    "tcp://127.0.0.1:7301", 3, 1024,    SET_G | SET_A | SET_P | SET_M, "bus address of authsvc: authsvc listens there, others call it") \
    S(PROVIDERSVC_URL,  providersvc_url,  STR,    "tcp://127.0.0.1:7302", 3, 1024,    SET_G | SET_P, "bus address of providersvc: one name for all replicas, or a comma-separated list") \
    S(METERD_URL,       meterd_url,       STR,    "tcp://127.0.0.1:7303", 3, 1024,    SET_G | SET_A | SET_P | SET_M, "bus address of meterd") \
    S(METERD_FEED_URL,  meterd_feed_url,  STR,    "tcp://127.0.0.1:7304", 3, 1024,    SET_G | SET_A | SET_P | SET_M, "where meterd publishes the state feed") \
    S(BUS_SECRET,       bus_secret,       SECRET, NULL,                32, 1024,      SET_G | SET_A | SET_P | SET_M, "encrypts and authenticates the bus, 32 characters or more, the same in every service; while it is changed: new,old") \
    S(METERD_EVENTS_URL, meterd_events_url, STR,  "tcp://127.0.0.1:7305", 3, 1024,    SET_P | SET_M, "where meterd listens for usage events") \
    S(ROUTER_URL,       router_url,       STR,    "http://127.0.0.1:3000", 8, 1024,   SET_C, "gateway that routerctl speaks to") \
    S(ROUTER_TOKEN,     router_token,     SECRET, NULL,                1, 8192,       SET_C, "access token for routerctl; unset = log in with ADMIN_EMAIL and ADMIN_PASSWORD")
/* clang-format on */

#endif
