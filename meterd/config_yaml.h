/* The shape of a CONFIG file as libcyaml reads it: texts only, so that no number is ever read twice. For config_*.c. */
#ifndef METERD_CONFIG_YAML_H
#define METERD_CONFIG_YAML_H

#include "meterd/config_file.h"

/* clang-format off */
/* The members that are texts; a member of the request has the same name. */
#define YAML_TIMEOUT_TEXTS(T, s) T(s, connect_ms) T(s, first_byte_ms) T(s, idle_ms) T(s, total_ms)
#define YAML_PROVIDER_TEXTS(T, s)                                                                                      \
    T(s, name) T(s, kind) T(s, base_url) T(s, internal) T(s, disconnect) T(s, api_version) T(s, disabled)        \
        T(s, chat_only)
#define YAML_ROUTE_TEXTS(T, s) T(s, provider) T(s, model) T(s, tier) T(s, weight)
#define YAML_PRICE_TEXTS(T, s)                                                                                         \
    T(s, input)                                                                                                        \
    T(s, cached_input) T(s, cache_write) T(s, cache_write_long) T(s, output) T(s, audio_input) T(s, audio_output)      \
        T(s, image_input) T(s, image_output) T(s, reasoning) T(s, tier_above_tokens) T(s, tier_input)                  \
            T(s, tier_cached_input) T(s, tier_cache_write) T(s, tier_cache_write_long) T(s, tier_output) T(s, mode)
#define YAML_MODEL_TEXTS(T, s) T(s, name) T(s, max_output) T(s, context_window) T(s, routing)

#define YAML_TEXT_MEMBER(s, member) char *member;
/* clang-format on */

struct yaml_timeouts {
    YAML_TIMEOUT_TEXTS(YAML_TEXT_MEMBER, )
};
struct yaml_provider {
    YAML_PROVIDER_TEXTS(YAML_TEXT_MEMBER, )
    struct yaml_timeouts *timeouts;
    char **api_keys, **drop_params;
    unsigned api_keys_count, drop_params_count;
};
struct yaml_route {
    YAML_ROUTE_TEXTS(YAML_TEXT_MEMBER, )
};
struct yaml_price {
    YAML_PRICE_TEXTS(YAML_TEXT_MEMBER, )
};
struct yaml_model {
    YAML_MODEL_TEXTS(YAML_TEXT_MEMBER, )
    struct yaml_price *price;
    char **aliases;
    struct yaml_route *routes;
    unsigned aliases_count, routes_count;
};
struct yaml_config {
    struct yaml_provider *providers;
    struct yaml_model *models;
    unsigned providers_count, models_count;
};

/* *ret = NULL for a file without a member. Its memory is the arena's. ST_BAD_REQUEST with the line and what is wrong.
 */
enum status config_yaml_load(struct slice text, struct arena *a, const struct yaml_config **ret, struct err *err);

#endif
