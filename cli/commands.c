#include "cli/commands.h"

#include "cli/special.h"

#define USER_COLUMNS "id,email,name,role,plan,status,balance_usd"
#define KEY_COLUMNS "id,name,prefix,status,rpm,tpm,concurrency,expires_at"
#define PLAN_COLUMNS "name,rpm,tpm,concurrency,max_keys"
#define PRICE_COLUMNS "model,provider,input,cached_input,output,context_window,max_output,created,ended"
#define CALL_COLUMNS                                                                                                   \
    "request_id,created,model,provider,status,http_status,prompt_tokens,completion_tokens,cost_usd,latency_ms"
#define GROUP_COLUMNS "model,key_id,time,requests,errors,prompt_tokens,completion_tokens,cost_usd"

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
    {"key", "list", "GET", "/api/keys", {{NULL, WORD_NONE, NULL}}, {PAGE},
     NULL, KEY_COLUMNS, "your own API keys", NULL},
    {"key", "create", "POST", "/api/keys", {{"NAME", WORD_STRING, "name"}}, {LIMITS, {"expires-at", WORD_NUMBER, NULL}},
     NULL, NULL, "make an API key; its secret is shown this once", NULL},
    {"key", "revoke", "DELETE", "/api/keys/%s", {{"KEY_ID", WORD_PATH, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "refuse the key from now on", NULL},
    {"credits", "show", "GET", "/api/credits", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "your own credit", NULL},
    {"credits", "grant", "POST", "/api/admin/users/%s/credits",
     {{"USER", WORD_USER, NULL}, {"AMOUNT_USD", WORD_STRING, "amount_usd"}},
     {{"note", WORD_STRING, NULL}, {"idempotency-key", WORD_OWN, NULL}},
     NULL, NULL, "give a user credit (less than zero takes back); the same idempotency key grants once", NULL},
    {"usage", "", "GET", "/api/usage", {{NULL, WORD_NONE, NULL}},
     {{"group-by", WORD_QUERY, NULL}, {"from", WORD_QUERY, NULL}, {"to", WORD_QUERY, NULL}},
     NULL, GROUP_COLUMNS, "your usage in sums; --group-by model,key,day,hour", NULL},
    {"requests", "", "GET", "/api/usage/requests", {{NULL, WORD_NONE, NULL}},
     {PAGE, {"from", WORD_QUERY, NULL}, {"to", WORD_QUERY, NULL}, {"model", WORD_QUERY, NULL}, {"key", WORD_QUERY, NULL},
      {"status", WORD_QUERY, NULL}},
     NULL, CALL_COLUMNS, "your calls, newest first", NULL},
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
      {"valid-from", WORD_NUMBER, NULL}},
     NULL, NULL, "set a model's price, in USD per 1,000,000 tokens, from now on or from --valid-from (Unix seconds)", NULL},
    {"price", "import", "POST", "/api/admin/prices", {{"FILE", WORD_OWN, NULL}},
     {{"dry-run", WORD_OWN_FLAG, NULL}, {"only", WORD_OWN, NULL}}, NULL, NULL,
     "set the prices of a file in the format of LiteLLM's model_prices_and_context_window.json; --only PREFIX of a name",
     special_price_import},
    {"plan", "list", "GET", "/api/admin/plans", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, PLAN_COLUMNS, "all plans; 0 = unlimited", NULL},
    {"plan", "set", "PATCH", "/api/admin/plans", {{"NAME", WORD_STRING, "name"}}, {LIMITS, {"max-keys", WORD_NUMBER, NULL}},
     NULL, NULL, "change a plan, or make a new one", NULL},
    {"health", "", "GET", "/health/detailed", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "every service and what it depends on", special_health},
    {"ledger", "verify", "GET", "/api/admin/system/ledger", {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}},
     NULL, NULL, "recompute every balance from its entries; exit 1 on any difference", special_ledger_verify},
    {"call", "", "POST", "/v1/chat/completions", {{"MODEL", WORD_OWN, NULL}, {"TEXT", WORD_OWN, NULL}},
     {{"key", WORD_OWN, NULL}}, NULL, NULL, "one chat completion; the key from --key or OPENAI_API_KEY", special_call},
    {"models", "", "GET", "/v1/models", {{NULL, WORD_NONE, NULL}}, {{"key", WORD_OWN, NULL}},
     NULL, "id,owned_by", "models that an API key may use; the key from --key or OPENAI_API_KEY", special_models},
    {"wait", "", "GET", "/health/ready", {{NULL, WORD_NONE, NULL}}, {{"seconds", WORD_OWN, NULL}},
     NULL, NULL, "until the router is ready, 20 seconds at most", special_wait},
    {NULL, NULL, NULL, NULL, {{NULL, WORD_NONE, NULL}}, {{NULL, WORD_NONE, NULL}}, NULL, NULL, NULL, NULL},
};
/* clang-format on */
