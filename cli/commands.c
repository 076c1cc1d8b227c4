#include "cli/commands.h"

#include "cli/special.h"
#include "cli/times.h"

#define USER_COLUMNS "id,email,name,role,plan,status,balance_usd"
#define KEY_COLUMNS "id,name,prefix,status,rpm,tpm,concurrency,expires_at,budget_usd,budget_period,budget_spent_usd"
#define ENTRY_COLUMNS "id,created,kind,account,amount_usd,balance_usd,request_id,note"
#define CODE_COLUMNS "id,prefix,status,amount_usd,expires_at,user_id,note"
#define NEW_CODE_COLUMNS "id,code,amount_usd,expires_at,note"
#define PLAN_COLUMNS "name,rpm,tpm,concurrency,max_keys,monthly_credit_usd"
#define PRICE_COLUMNS "model,provider,input,cached_input,output,context_window,max_output,created,ended"
#define CALL_COLUMNS                                                                                                   \
    "request_id,created,model,provider,status,http_status,prompt_tokens,completion_tokens,cost_usd,latency_ms,user_id"
#define GROUP_COLUMNS "?user_id,?email,model,key_id,time,requests,errors,prompt_tokens,completion_tokens,cost_usd"

/* What administrators ask of everybody. */
#define ALL(path)                                                                                                      \
    {"all", WORD_ALL_FLAG, path},                                                                                      \
    {                                                                                                                  \
        "user", WORD_QUERY_USER, NULL                                                                                  \
    }

#define PROVIDER_COLUMNS "name,kind,base_url,keys,internal,chat_only,disabled,source"
#define MODEL_COLUMNS "name,aliases,routes,max_output,context_window,routing,own_price,source"
#define CHANGE_COLUMNS "action,object,name,detail"
#define AUDIT_COLUMNS "id,created,actor_id,action,object,detail"
#define ALERT_COLUMNS "id,rule,severity,subject,state,since,last,acknowledged_by,text"
#define SECURITY_COLUMNS "id,kind,subject,address,count,first_seen,last_seen,detail"

#define PAGE                                                                                                           \
    {"limit", WORD_QUERY, NULL},                                                                                       \
    {                                                                                                                  \
        "cursor", WORD_QUERY, NULL                                                                                     \
    }
#define LIMITS                                                                                                         \
    {"rpm", WORD_NUMBER, NULL}, {"tpm", WORD_NUMBER, NULL}, {"concurrency", WORD_NUMBER, NULL},                        \
    {                                                                                                                  \
        "models", WORD_LIST, NULL                                                                                      \
    }

#define PRICES                                                                                                         \
    {"input", WORD_STRING, "price.input"}, {"cached-input", WORD_STRING, "price.cached_input"},                        \
        {"cache-write", WORD_STRING, "price.cache_write"},                                                             \
        {"cache-write-long", WORD_STRING, "price.cache_write_long"}, {"output", WORD_STRING, "price.output"},          \
        {"audio-input", WORD_STRING, "price.audio_input"}, {"audio-output", WORD_STRING, "price.audio_output"},        \
        {"image-input", WORD_STRING, "price.image_input"}, {"image-output", WORD_STRING, "price.image_output"},        \
        {"reasoning", WORD_STRING, "price.reasoning"}, {"tier-above-tokens", WORD_NUMBER, "price.tier_above_tokens"},  \
        {"tier-input", WORD_STRING, "price.tier_input"},                                                               \
        {"tier-cached-input", WORD_STRING, "price.tier_cached_input"},                                                 \
        {"tier-cache-write", WORD_STRING, "price.tier_cache_write"},                                                   \
        {"tier-cache-write-long", WORD_STRING, "price.tier_cache_write_long"},                                         \
        {"tier-output", WORD_STRING, "price.tier_output"},                                                             \
    {                                                                                                                  \
        "mode", WORD_STRING, "price.mode"                                                                              \
    }

#define PROVIDER                                                                                                       \
    {"base-url", WORD_STRING, NULL}, {"api-keys", WORD_LIST, NULL}, {"internal", WORD_BOOL, NULL},                     \
        {"disconnect", WORD_STRING, NULL}, {"connect-ms", WORD_NUMBER, NULL}, {"first-byte-ms", WORD_NUMBER, NULL},    \
        {"idle-ms", WORD_NUMBER, NULL}, {"total-ms", WORD_NUMBER, NULL}, {"api-version", WORD_STRING, NULL},           \
        {"chat-only", WORD_BOOL, NULL}, {"disabled", WORD_BOOL, NULL},                                                 \
    {                                                                                                                  \
        "drop-params", WORD_LIST, NULL                                                                                 \
    }

#define MODEL                                                                                                          \
    {"aliases", WORD_LIST, NULL}, {"max-output", WORD_NUMBER, NULL}, {"context-window", WORD_NUMBER, NULL},            \
    {                                                                                                                  \
        "routing", WORD_STRING, NULL                                                                                   \
    }

#define BUDGET                                                                                                         \
    {"budget", WORD_STRING, "budget_usd"},                                                                             \
    {                                                                                                                  \
        "budget-period", WORD_STRING, NULL                                                                             \
    }

/* clang-format off */
const struct command commands[] = {
    {"user", "list", "GET", "/api/admin/users", {{NULL, WORD_NONE, NULL}}, {PAGE},
     NULL, USER_COLUMNS, "all users with their credit", NULL},
    {"user", "create", "POST", "/api/admin/users", {{"EMAIL", WORD_STRING, "email"}},
     {{"password", WORD_STRING, NULL}, {"name", WORD_STRING, NULL}, {"role", WORD_STRING, NULL}, {"plan", WORD_STRING, NULL}},
     NULL, NULL, "make a user; without --password one is made and shown", special_user_create},
    {"user", "show", "GET", "/api/admin/users/%s", {{"USER", WORD_USER, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "one user, by id or e-mail address", NULL},
    {"user", "disable", "PATCH", "/api/admin/users/%s", {{"USER", WORD_USER, NULL}}, {{NULL, WORD_NONE, NULL}},
     "{\"status\":\"disabled\"}", NULL, "refuse the user's keys and sign-ins from now on", NULL},
    {"user", "enable", "PATCH", "/api/admin/users/%s", {{"USER", WORD_USER, NULL}}, {{NULL, WORD_NONE, NULL}},
     "{\"status\":\"active\"}", NULL, "accept them again", NULL},
    {"user", "plan", "PATCH", "/api/admin/users/%s", {{"USER", WORD_USER, NULL}, {"PLAN", WORD_STRING, "plan"}},
     {{NULL, WORD_NONE, NULL}}, NULL, NULL, "move a user to another plan", NULL},
    {"user", "password", "POST", "/api/admin/users/%s/password", {{"USER", WORD_USER, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "set a user's password, from the terminal or the first line of standard input; the user's sessions end",
     special_user_password},
    {"password", "", "POST", "/auth/password", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "change the password that routerctl signs in with, to one from the terminal or standard input; the other sessions end",
     special_password},
    {"key", "list", "GET", "/api/keys", {{NULL, WORD_NONE, NULL}}, {PAGE},
     NULL, KEY_COLUMNS, "your own API keys", NULL},
    {"key", "create", "POST", "/api/keys", {{"NAME", WORD_STRING, "name"}}, {LIMITS, {"expires-at", WORD_TIME, NULL}, BUDGET, {"ip-allow", WORD_LIST, NULL}},
     NULL, NULL, "make an API key; its secret is shown this once; --ip-allow 192.0.2.0/24,2001:db8::1 = from nowhere else; --expires-at " TIMES_FORMS, NULL},
    {"key", "show", "GET", "/api/keys/%s", {{"KEY_ID", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "one API key, and what is spent of its budget", NULL},
    {"key", "update", "PATCH", "/api/keys/%s", {{"KEY_ID", WORD_PATH, NULL}},
     {{"name", WORD_STRING, NULL}, LIMITS, {"expires-at", WORD_TIME, NULL}, BUDGET, {"ip-allow", WORD_LIST, NULL}},
     NULL, NULL, "change an API key; --ip-allow '' = from anywhere; --budget 0 = no budget, --budget-period day, week, month or total; --expires-at 0 = never, or " TIMES_FORMS, NULL},
    {"key", "rotate", "POST", "/api/keys/%s/rotate", {{"KEY_ID", WORD_PATH, NULL}}, {{"grace", WORD_NUMBER, "grace_s"}},
     NULL, NULL, "give an API key a new secret, shown this once; the one before goes on for --grace SECONDS (a day; 0 = ends at once)", NULL},
    {"key", "revoke", "DELETE", "/api/keys/%s", {{"KEY_ID", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "refuse the key from now on", NULL},
    {"credits", "show", "GET", "/api/credits", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "your own credit", NULL},
    {"credits", "grant", "POST", "/api/admin/users/%s/credits",
     {{"USER", WORD_USER, NULL}, {"AMOUNT_USD", WORD_STRING, "amount_usd"}},
     {{"kind", WORD_STRING, NULL}, {"request-id", WORD_STRING, NULL}, {"note", WORD_STRING, NULL},
      {"idempotency-key", WORD_OWN, NULL}},
     NULL, NULL, "give a user credit (less than zero takes back); the same idempotency key grants once, and one is made when none is given; --kind grant, topup, refund, adjustment",
     NULL},
    {"credits", "ledger", "GET", "/api/credits/ledger", {{NULL, WORD_NONE, NULL}}, {PAGE},
     NULL, ENTRY_COLUMNS, "your own credit, entry by entry, newest first", NULL},
    {"redeem", "", "POST", "/api/credits/redeem", {{"CODE", WORD_STRING, "code"}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "turn a code into credit; it works once", NULL},
    {"codes", "create", "POST", "/api/admin/codes", {{"AMOUNT_USD", WORD_STRING, "amount_usd"}},
     {{"count", WORD_NUMBER, NULL}, {"expires-at", WORD_TIME, NULL}, {"note", WORD_STRING, NULL}},
     NULL, NEW_CODE_COLUMNS, "make redemption codes; they are shown this once; --expires-at " TIMES_FORMS, NULL},
    {"codes", "list", "GET", "/api/admin/codes", {{NULL, WORD_NONE, NULL}}, {PAGE},
     NULL, CODE_COLUMNS, "redemption codes, newest first", NULL},
    {"codes", "revoke", "DELETE", "/api/admin/codes/%s", {{"CODE_ID", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "refuse a code from now on", NULL},
    {"usage", "", "GET", "/api/usage", {{NULL, WORD_NONE, NULL}},
     {{"group-by", WORD_QUERY, NULL}, {"from", WORD_QUERY_TIME, NULL}, {"to", WORD_QUERY_TIME, NULL}, ALL("/api/admin/usage")},
     NULL, GROUP_COLUMNS, "your usage in sums; --group-by model,key,day,hour; --from, and --to before which: " TIMES_FORMS
     "; administrators: --all everybody's, --group-by user, too; --user ID or e-mail address", NULL},
    {"requests", "", "GET", "/api/usage/requests", {{NULL, WORD_NONE, NULL}},
     {PAGE, {"from", WORD_QUERY_TIME, NULL}, {"to", WORD_QUERY_TIME, NULL}, {"model", WORD_QUERY, NULL}, {"key", WORD_QUERY, NULL},
      {"status", WORD_QUERY, NULL}, ALL("/api/admin/requests")},
     NULL, CALL_COLUMNS, "your calls, newest first; --from, and --to before which: " TIMES_FORMS
     "; administrators: --all everybody's, --user ID or e-mail address", NULL},
    {"receipt", "", "GET", "/api/usage/requests/%s", {{"REQUEST_ID", WORD_PATH, NULL}}, {{"all", WORD_ALL_FLAG, "/api/admin/requests/%s"}},
     NULL, NULL, "one call of yours: tokens, price, attempts, ledger entries; administrators: --all anybody's", NULL},
    {"price", "list", "GET", "/api/admin/prices", {{NULL, WORD_NONE, NULL}},
     {PAGE, {"model", WORD_QUERY, NULL}, {"history", WORD_QUERY_FLAG, NULL}},
     NULL, PRICE_COLUMNS, "prices in force, USD per 1,000,000 tokens; --model M --history: every version of one model", NULL},
    {"price", "set", "POST", "/api/admin/prices",
     {{"MODEL", WORD_STRING, "model"}, {"INPUT", WORD_STRING, "input"}, {"OUTPUT", WORD_STRING, "output"}},
     {{"cached-input", WORD_STRING, NULL}, {"cache-write", WORD_STRING, NULL}, {"cache-write-long", WORD_STRING, NULL},
      {"audio-input", WORD_STRING, NULL}, {"audio-output", WORD_STRING, NULL}, {"image-input", WORD_STRING, NULL},
      {"image-output", WORD_STRING, NULL}, {"reasoning", WORD_STRING, NULL}, {"tier-above-tokens", WORD_NUMBER, NULL},
      {"tier-input", WORD_STRING, NULL}, {"tier-cached-input", WORD_STRING, NULL}, {"tier-cache-write", WORD_STRING, NULL},
      {"tier-cache-write-long", WORD_STRING, NULL}, {"tier-output", WORD_STRING, NULL}, {"provider", WORD_STRING, NULL},
      {"mode", WORD_STRING, NULL}, {"context-window", WORD_NUMBER, NULL}, {"max-output", WORD_NUMBER, NULL},
      {"valid-from", WORD_TIME, NULL}},
     NULL, NULL, "set a model's price, in USD per 1,000,000 tokens, from now on or from --valid-from: " TIMES_FORMS, NULL},
    {"price", "import", "POST", "/api/admin/prices", {{"FILE", WORD_OWN, NULL}},
     {{"dry-run", WORD_OWN_FLAG, NULL}, {"only", WORD_OWN, NULL}}, NULL, NULL,
     "set the prices of a file in the format of LiteLLM's model_prices_and_context_window.json; --only PREFIX of a name",
     special_price_import},
    {"plan", "list", "GET", "/api/admin/plans", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, PLAN_COLUMNS, "all plans; 0 = unlimited", NULL},
    {"plan", "set", "PATCH", "/api/admin/plans", {{"NAME", WORD_STRING, "name"}}, {LIMITS, {"max-keys", WORD_NUMBER, NULL}, {"monthly-credit", WORD_STRING, "monthly_credit_usd"}},
     NULL, NULL, "change a plan, or make a new one", NULL},
    {"provider", "list", "GET", "/api/admin/providers", {{NULL, WORD_NONE, NULL}}, {PAGE},
     NULL, PROVIDER_COLUMNS, "providers of the catalog", NULL},
    {"provider", "show", "GET", "/api/admin/providers/%s", {{"NAME", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "one provider, its keys masked", NULL},
    {"provider", "add", "POST", "/api/admin/providers", {{"NAME", WORD_STRING, "name"}, {"KIND", WORD_STRING, "kind"}}, {PROVIDER},
     NULL, NULL, "make a provider; KIND openai, azure, anthropic, gemini or echo; --api-keys KEY,'${NAME}' or - for standard input",
     special_provider_put},
    {"provider", "set", "PATCH", "/api/admin/providers/%s", {{"NAME", WORD_PATH, NULL}}, {{"kind", WORD_STRING, NULL}, PROVIDER},
     NULL, NULL, "change a provider; --api-keys replaces all of them, - reads them from standard input, one a line",
     special_provider_put},
    {"provider", "remove", "DELETE", "/api/admin/providers/%s", {{"NAME", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "remove a provider that no model has a route to", NULL},
    {"provider", "test", "POST", "/api/admin/providers/%s/test", {{"NAME", WORD_PATH, NULL}}, {{"model", WORD_STRING, NULL}},
     NULL, NULL, "ask the provider itself for its models, with --model for an answer, too; exit 1 when it fails", special_provider_test},
    {"model", "list", "GET", "/api/admin/models", {{NULL, WORD_NONE, NULL}}, {PAGE},
     NULL, MODEL_COLUMNS, "models of the catalog", NULL},
    {"model", "show", "GET", "/api/admin/models/%s", {{"NAME", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "one model, by its name or an alias, with its price", NULL},
    {"model", "add", "POST", "/api/admin/models", {{"NAME", WORD_STRING, "name"}, {"ROUTES", WORD_ROUTES, "routes"}}, {MODEL, PRICES},
     NULL, NULL, "make a model; ROUTES PROVIDER/MODEL[:tier[:weight]],… ; prices in USD per 1,000,000 tokens, without them its route's", NULL},
    {"model", "set", "PATCH", "/api/admin/models/%s", {{"NAME", WORD_PATH, NULL}},
     {{"routes", WORD_ROUTES, NULL}, {"own-price", WORD_BOOL, NULL}, MODEL, PRICES},
     NULL, NULL, "change a model; what is given replaces what was there; --own-price false = billed as its route's model", NULL},
    {"model", "remove", "DELETE", "/api/admin/models/%s", {{"NAME", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "remove a model from the catalog", NULL},
    {"config", "apply", "POST", "/api/admin/config", {{"[FILE]", WORD_OWN, NULL}},
     {{"dry-run", WORD_OWN_FLAG, NULL}, {"prune", WORD_OWN_FLAG, NULL}},
     NULL, CHANGE_COLUMNS, "bring the catalog to what a CONFIG file says, and say what changed; --prune removes what only an earlier file named",
     special_config_apply},
    {"config", "export", "GET", "/api/admin/config", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "print the catalog as a CONFIG file", special_config_export},
    {"audit", "", "GET", "/api/admin/audit", {{NULL, WORD_NONE, NULL}}, {PAGE},
     NULL, AUDIT_COLUMNS, "who changed what, newest first", NULL},
    {"security-events", "", "GET", "/api/admin/security-events", {{NULL, WORD_NONE, NULL}},
     {PAGE, {"kind", WORD_QUERY, NULL}, {"subject", WORD_QUERY, NULL}, {"address", WORD_QUERY, NULL}, {"from", WORD_QUERY_TIME, NULL}, {"to", WORD_QUERY_TIME, NULL}},
     NULL, SECURITY_COLUMNS, "what was seen of attacks, newest first; --from and --to: " TIMES_FORMS, NULL},
    {"alerts", "", "GET", "/api/admin/alerts", {{NULL, WORD_NONE, NULL}}, {PAGE, {"state", WORD_QUERY, NULL}, {"rule", WORD_QUERY, NULL}},
     NULL, ALERT_COLUMNS, "what is wrong, newest first; --state firing or resolved", NULL},
    {"alert", "acknowledge", "POST", "/api/admin/alerts/%s/acknowledge", {{"ID", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "say that somebody looks after it", NULL},
    {"health", "", "GET", "/api/admin/system", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "every service and what it depends on", NULL},
    {"ledger", "list", "GET", "/api/admin/ledger", {{NULL, WORD_NONE, NULL}}, {PAGE, {"user", WORD_QUERY_USER, NULL}},
     NULL, ENTRY_COLUMNS, "all entries, everybody's and the operator's, newest first; --user ID or e-mail address: one user's", NULL},
    {"ledger", "verify", "GET", "/api/admin/system/ledger", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "recompute every balance from its entries; exit 1 on any difference", special_ledger_verify},
    {"backup", "", "POST", "/api/admin/system/backup", {{"[NAME]", WORD_STRING, "name"}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "copy the database while it runs, into backups/ beside it; prints where and how large", NULL},
    {"restore", "", "", "", {{"FILE", WORD_OWN, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "put a backup in the place of the database at DB_PATH; the router must not run", special_restore},
    {"call", "", "POST", "/v1/chat/completions", {{"MODEL", WORD_OWN, NULL}, {"TEXT", WORD_OWN, NULL}},
     {{"key", WORD_OWN, NULL}}, NULL, NULL, "one chat completion; the key from --key or OPENAI_API_KEY", special_call},
    {"models", "", "GET", "/v1/models", {{NULL, WORD_NONE, NULL}}, {{"key", WORD_OWN, NULL}},
     NULL, "id,owned_by", "models that an API key may use; the key from --key or OPENAI_API_KEY", special_models},
    {"wait", "", "GET", "/health/ready", {{NULL, WORD_NONE, NULL}}, {{"seconds", WORD_OWN, NULL}},
     NULL, NULL, "until the router is ready, 20 seconds at most", special_wait},
    {NULL, NULL, NULL, NULL, {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}}, NULL, NULL, NULL, NULL},
};
/* clang-format on */
