/* Chat completions over Gemini. */
#include "tests/fuzz/translating_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_translator(&chat_to_gemini, data, size);
}
