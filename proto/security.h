/*
 * Kinds of security events, declared once: what is seen of an attack, or of what may be one. Whoever sees it counts it
 * (services/sightings.h), meterd keeps it (meterd/security.h), docs/operations.md explains each.
 */
#ifndef PROTO_SECURITY_H
#define PROTO_SECURITY_H

/* clang-format off */
/* K(NAME, text). What its subject is stands beside it; the address is a client's, or its network where that is IPv6. */
#define SECURITY_KINDS(K)                                                                                              \
    K(LOGIN_FAILED,         "login_failed")         /* the e-mail address that was said */                             \
    K(LOGIN_THROTTLED,      "login_throttled")      /* the e-mail address that was said */                             \
    K(KEY_GUESSING,         "key_guessing")         /* nothing: keys that nobody has */                                \
    K(KEY_REVOKED_USED,     "key_revoked_used")     /* key id: revoked, expired, or replaced by a rotation */          \
    K(IP_NOT_ALLOWED,       "ip_not_allowed")       /* key id */                                                       \
    K(REFRESH_TOKEN_REUSED, "refresh_token_reused") /* user id */                                                      \
    K(ADMIN_DENIED,         "admin_denied")         /* user id */                                                      \
    K(HOSTILE_REQUEST,      "hostile_request")      /* which rule of the framing guard, never the bytes */             \
    K(ANOMALOUS_USE,        "anomalous_use")        /* key id */
/* clang-format on */

#define SECURITY_ENUM(name, text) SECURITY_##name,
enum security_kind { SECURITY_KINDS(SECURITY_ENUM) SECURITY_N };

extern const char *const security_names[SECURITY_N];

/* Stands in a subject's place for what there was no room to keep apart: counted, not told apart. */
#define SECURITY_OTHERS "(others)"

#endif
