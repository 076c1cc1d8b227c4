/* Chat completions over Anthropic's Messages (tests/fuzz/translating_fuzz.h). */
#include "tests/fuzz/translating_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_translator(&chat_to_messages, data, size);
}
