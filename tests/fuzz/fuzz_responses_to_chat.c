/* Responses over chat completions: tests/fuzz/translating_fuzz.h says how the input is read. */
#include "tests/fuzz/translating_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_translator(&responses_to_chat, data, size);
}
