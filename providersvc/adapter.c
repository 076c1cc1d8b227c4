#include "providersvc/adapter.h"

#include <string.h>

static const struct adapter *const adapters[] = {
    &adapter_openai, &adapter_azure, &adapter_anthropic, &adapter_gemini, &adapter_echo,
};

const struct adapter *adapter_find(const char *kind)
{
    for (size_t i = 0; i < sizeof(adapters) / sizeof(adapters[0]); i++)
        if (strcmp(adapters[i]->kind, kind) == 0)
            return adapters[i];
    return NULL;
}
