#include "proto/security.h"

#define SECURITY_TEXT(name, text) [SECURITY_##name] = text,
const char *const security_names[SECURITY_N] = {SECURITY_KINDS(SECURITY_TEXT)};
