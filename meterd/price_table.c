#include "meterd/price_table.h"

/*
 * USD per 1,000,000 tokens times 1,000,000 = pico-USD per token. "-1" where the vendor has no price of its own for the
 * class: billed as input. No row has prices for audio, images or reasoning: such tokens are billed as input or output.
 * cache_write is the short-lived cache (minutes), cache_write_long the long-lived one (hours).
 * Output includes reasoning. Multipliers for batch, priority, region or peak hours are not in it.
 *
 * Collected 2026-11-23. Rates that vendors call promotional, and that may rise: gpt-5.6-sol (at least until
 * 2026-11-21), gemini-3.8-flash, gemini-3.7-flash, gemini-3.6-flash (until 2026-12-31). DeepSeek: off-peak rates, peak
 * is twice as much.
 */

/* model, provider, mode, input, cached, cache_write, cache_write_long, output, context window, longest answer */
#define FLAT(model, provider, mode, in, cached, ws, wl, out, context, longest)                                         \
    {model, provider, mode, {in, cached, ws, wl, out, 0, -1, -1, -1, -1, -1, MONEY_NO_SPECIAL}, context, longest},
/* the same with a tier: above so many tokens of input these prices hold for the whole request */
#define TIER(model, provider, mode, in, cached, ws, wl, out, context, longest, above, t_in, t_cached, t_ws, t_wl,      \
             t_out)                                                                                                    \
    {model,   provider, mode, {in, cached, ws, wl, out, above, t_in, t_cached, t_ws, t_wl, t_out, MONEY_NO_SPECIAL},   \
     context, longest},

/* clang-format off */
const struct price_table_row price_table[] = {
    /* The echo provider needs no network; its price is a demonstration, so that the first call shows a bill. */
    FLAT("echo", "echo", "chat", 500000, 100000, -1, -1, 1500000, 128000, 16384)
    FLAT("echo-slow", "echo", "chat", 500000, 100000, -1, -1, 1500000, 128000, 16384)
    FLAT("echo-tools", "echo", "chat", 500000, 100000, -1, -1, 1500000, 128000, 16384)
    FLAT("gpt-4o", "openai", "chat", 2500000, 1250000, -1, -1, 10000000, 128000, 16384)
    FLAT("gpt-4o-mini", "openai", "chat", 150000, 75000, -1, -1, 600000, 128000, 16384)
    FLAT("gpt-4.1", "openai", "chat", 2000000, 500000, -1, -1, 8000000, 1047576, 32768)
    FLAT("gpt-4.1-mini", "openai", "chat", 400000, 100000, -1, -1, 1600000, 1047576, 32768)
    FLAT("gpt-4.1-nano", "openai", "chat", 100000, 25000, -1, -1, 400000, 1047576, 32768)
    FLAT("gpt-5", "openai", "chat", 1250000, 125000, -1, -1, 10000000, 400000, 128000)
    FLAT("gpt-5-mini", "openai", "chat", 250000, 25000, -1, -1, 2000000, 400000, 128000)
    FLAT("gpt-5-nano", "openai", "chat", 50000, 5000, -1, -1, 400000, 400000, 128000)
    FLAT("gpt-5.1", "openai", "chat", 1250000, 125000, -1, -1, 10000000, 400000, 128000)
    FLAT("gpt-5.2", "openai", "chat", 1750000, 175000, -1, -1, 14000000, 400000, 128000)
    FLAT("gpt-5.3-codex", "openai", "chat", 1750000, 175000, -1, -1, 14000000, 400000, 128000)
    TIER("gpt-5.4", "openai", "chat", 2500000, 250000, -1, -1, 15000000, 1050000, 128000, 272000, 5000000, 500000, -1, -1, 22500000)
    FLAT("gpt-5.4-mini", "openai", "chat", 750000, 75000, -1, -1, 4500000, 400000, 128000)
    FLAT("gpt-5.4-nano", "openai", "chat", 200000, 20000, -1, -1, 1250000, 400000, 128000)
    TIER("gpt-5.5", "openai", "chat", 5000000, 500000, -1, -1, 30000000, 1050000, 128000, 272000, 10000000, 1000000, -1, -1, 45000000)
    TIER("gpt-5.6-sol", "openai", "chat", 4000000, 400000, 5000000, -1, 20000000, 1050000, 128000, 272000, 8000000, 800000, 10000000, -1, 30000000)
    TIER("gpt-5.6", "openai", "chat", 4000000, 400000, 5000000, -1, 20000000, 1050000, 128000, 272000, 8000000, 800000, 10000000, -1, 30000000)
    TIER("gpt-5.6-terra", "openai", "chat", 2000000, 200000, 2500000, -1, 12000000, 1050000, 128000, 272000, 4000000, 400000, 5000000, -1, 18000000)
    TIER("gpt-5.6-luna", "openai", "chat", 200000, 20000, 250000, -1, 1200000, 1050000, 128000, 272000, 400000, 40000, 500000, -1, 1800000)
    TIER("gpt-6-astra", "openai", "chat", 10000000, 1000000, 12500000, -1, 50000000, 1050000, 128000, 272000, 20000000, 2000000, 25000000, -1, 75000000)
    TIER("gpt-6-sol", "openai", "chat", 2000000, 200000, 2500000, -1, 10000000, 1050000, 128000, 272000, 4000000, 400000, 5000000, -1, 15000000)
    TIER("gpt-6-luna", "openai", "chat", 100000, 10000, 125000, -1, 500000, 1050000, 128000, 272000, 200000, 20000, 250000, -1, 750000)
    TIER("gpt-6.1-sol", "openai", "chat", 2000000, 100000, 2500000, -1, 10000000, 1050000, 128000, 272000, 4000000, 200000, 5000000, -1, 15000000)
    TIER("gpt-6.2-sol", "openai", "chat", 2000000, 100000, 2500000, 5000000, 10000000, 1050000, 128000, 272000, 4000000, 200000, 5000000, 10000000, 15000000)
    FLAT("o3", "openai", "chat", 2000000, 500000, -1, -1, 8000000, 200000, 100000)
    FLAT("o3-mini", "openai", "chat", 1100000, 550000, -1, -1, 4400000, 200000, 100000)
    FLAT("o4-mini", "openai", "chat", 1100000, 275000, -1, -1, 4400000, 200000, 100000)
    FLAT("gpt-3.5-turbo", "openai", "chat", 500000, -1, -1, -1, 1500000, 16385, 4096)
    FLAT("text-embedding-3-small", "openai", "embedding", 20000, -1, -1, -1, 0, 8192, 0)
    FLAT("text-embedding-3-large", "openai", "embedding", 130000, -1, -1, -1, 0, 8192, 0)
    FLAT("text-embedding-ada-002", "openai", "embedding", 100000, -1, -1, -1, 0, 8192, 0)
    FLAT("gpt-4o-mini-transcribe", "openai", "audio_transcription", 1250000, -1, -1, -1, 5000000, 16000, 2000)
    FLAT("gpt-4o-transcribe", "openai", "audio_transcription", 2500000, -1, -1, -1, 10000000, 16000, 2000)
    FLAT("claude-fable-5-2", "anthropic", "chat", 8000000, 200000, 10000000, 16000000, 40000000, 1000000, 128000)
    FLAT("claude-fable-5-1", "anthropic", "chat", 10000000, 250000, 12500000, 20000000, 50000000, 1000000, 128000)
    FLAT("claude-fable-5", "anthropic", "chat", 10000000, 1000000, 12500000, 20000000, 50000000, 1000000, 128000)
    FLAT("claude-opus-5-5", "anthropic", "chat", 4000000, 200000, 5000000, 8000000, 20000000, 1000000, 128000)
    FLAT("claude-opus-5", "anthropic", "chat", 5000000, 500000, 6250000, 10000000, 25000000, 1000000, 128000)
    FLAT("claude-opus-4-8", "anthropic", "chat", 5000000, 500000, 6250000, 10000000, 25000000, 1000000, 128000)
    FLAT("claude-opus-4-7", "anthropic", "chat", 5000000, 500000, 6250000, 10000000, 25000000, 1000000, 128000)
    FLAT("claude-opus-4-6", "anthropic", "chat", 5000000, 500000, 6250000, 10000000, 25000000, 1000000, 128000)
    FLAT("claude-opus-4-5", "anthropic", "chat", 5000000, 500000, 6250000, 10000000, 25000000, 200000, 64000)
    FLAT("claude-opus-4-5-20251101", "anthropic", "chat", 5000000, 500000, 6250000, 10000000, 25000000, 200000, 64000)
    FLAT("claude-sonnet-5-5", "anthropic", "chat", 2000000, 100000, 2500000, 4000000, 10000000, 1000000, 128000)
    FLAT("claude-sonnet-5", "anthropic", "chat", 2000000, 200000, 2500000, 4000000, 10000000, 1000000, 128000)
    FLAT("claude-sonnet-4-6", "anthropic", "chat", 3000000, 300000, 3750000, 6000000, 15000000, 1000000, 64000)
    TIER("claude-sonnet-4-5", "anthropic", "chat", 3000000, 300000, 3750000, 6000000, 15000000, 200000, 64000, 200000, 6000000, 600000, 7500000, 12000000, 22500000)
    TIER("claude-sonnet-4-5-20250929", "anthropic", "chat", 3000000, 300000, 3750000, 6000000, 15000000, 200000, 64000, 200000, 6000000, 600000, 7500000, 12000000, 22500000)
    TIER("claude-haiku-5-5", "anthropic", "chat", 100000, 10000, 125000, 200000, 500000, 1000000, 128000, 100000, 500000, 50000, 625000, 1000000, 2500000)
    FLAT("claude-haiku-4-5", "anthropic", "chat", 1000000, 100000, 1250000, 2000000, 5000000, 200000, 64000)
    FLAT("claude-haiku-4-5-20251001", "anthropic", "chat", 1000000, 100000, 1250000, 2000000, 5000000, 200000, 64000)
    FLAT("gemini-3.8-flash", "gemini", "chat", 750000, 75000, -1, -1, 3750000, 1048576, 65536)
    FLAT("gemini-3.7-flash", "gemini", "chat", 750000, 75000, -1, -1, 3750000, 1048576, 65536)
    FLAT("gemini-3.6-flash", "gemini", "chat", 750000, 75000, -1, -1, 3750000, 1048576, 65536)
    FLAT("gemini-3.5-flash", "gemini", "chat", 1500000, 150000, -1, -1, 9000000, 1048576, 65535)
    FLAT("gemini-3.5-flash-lite", "gemini", "chat", 300000, 30000, -1, -1, 2500000, 1048576, 65536)
    TIER("gemini-3.1-pro-preview", "gemini", "chat", 2000000, 200000, -1, -1, 12000000, 1048576, 65536, 200000, 4000000, 400000, -1, -1, 18000000)
    FLAT("gemini-3.1-flash-lite", "gemini", "chat", 250000, 25000, -1, -1, 1500000, 1048576, 65536)
    FLAT("gemini-3-flash-preview", "gemini", "chat", 500000, 50000, -1, -1, 3000000, 1048576, 65536)
    TIER("gemini-2.5-pro", "gemini", "chat", 1250000, 125000, -1, -1, 10000000, 1048576, 65535, 200000, 2500000, 250000, -1, -1, 15000000)
    FLAT("gemini-2.5-flash", "gemini", "chat", 300000, 30000, -1, -1, 2500000, 1048576, 65535)
    FLAT("gemini-2.5-flash-lite", "gemini", "chat", 100000, 10000, -1, -1, 400000, 1048576, 65535)
    FLAT("gemini-embedding-001", "gemini", "embedding", 150000, -1, -1, -1, 0, 2048, 0)
    FLAT("mistral-large-latest", "mistral", "chat", 500000, 50000, -1, -1, 1500000, 262144, 0)
    FLAT("mistral-large-2512", "mistral", "chat", 500000, 50000, -1, -1, 1500000, 262144, 0)
    FLAT("mistral-medium-latest", "mistral", "chat", 1500000, 150000, -1, -1, 7500000, 262144, 0)
    FLAT("mistral-medium-3-5", "mistral", "chat", 1500000, 150000, -1, -1, 7500000, 262144, 0)
    FLAT("mistral-medium-2508", "mistral", "chat", 400000, -1, -1, -1, 2000000, 131072, 0)
    FLAT("mistral-small-latest", "mistral", "chat", 60000, -1, -1, -1, 180000, 131072, 0)
    FLAT("mistral-small-2603", "mistral", "chat", 150000, 15000, -1, -1, 600000, 0, 0)
    FLAT("devstral-2512", "mistral", "chat", 400000, -1, -1, -1, 2000000, 256000, 0)
    FLAT("codestral-latest", "mistral", "chat", 300000, -1, -1, -1, 900000, 256000, 0)
    FLAT("magistral-medium-latest", "mistral", "chat", 2000000, -1, -1, -1, 5000000, 40000, 0)
    FLAT("magistral-small-latest", "mistral", "chat", 500000, -1, -1, -1, 1500000, 40000, 0)
    FLAT("ministral-8b-latest", "mistral", "chat", 150000, -1, -1, -1, 150000, 0, 0)
    FLAT("mistral-embed", "mistral", "embedding", 100000, -1, -1, -1, 0, 8192, 0)
    FLAT("deepseek-flash", "deepseek", "chat", 150000, 3000, -1, -1, 600000, 1000000, 384000)
    FLAT("deepseek-v4-flash", "deepseek", "chat", 150000, 3000, -1, -1, 600000, 1000000, 384000)
    FLAT("deepseek-v4-flash-vision-exp", "deepseek", "chat", 150000, 3000, -1, -1, 600000, 1000000, 384000)
    FLAT("deepseek-v4-pro", "deepseek", "chat", 660000, 22000, -1, -1, 1980000, 1000000, 384000)
    FLAT("deepseek-chat", "deepseek", "chat", 280000, 28000, -1, -1, 420000, 131072, 8192)
    FLAT("deepseek-reasoner", "deepseek", "chat", 280000, 28000, -1, -1, 420000, 131072, 8192)
    FLAT("llama-3.1-8b-instant", "groq", "chat", 50000, -1, -1, -1, 80000, 131072, 8192)
    FLAT("llama-3.3-70b-versatile", "groq", "chat", 590000, -1, -1, -1, 790000, 131072, 32768)
    FLAT("meta-llama/llama-4-maverick-17b-128e-instruct", "groq", "chat", 200000, -1, -1, -1, 600000, 131072, 8192)
    FLAT("meta-llama/llama-4-scout-17b-16e-instruct", "groq", "chat", 110000, -1, -1, -1, 340000, 131072, 8192)
    FLAT("openai/gpt-oss-120b", "groq", "chat", 150000, 75000, -1, -1, 600000, 131072, 32766)
    FLAT("openai/gpt-oss-20b", "groq", "chat", 75000, 37500, -1, -1, 300000, 131072, 32768)
    FLAT("qwen/qwen3-32b", "groq", "chat", 290000, -1, -1, -1, 590000, 131072, 0)
    FLAT("moonshotai/kimi-k2-instruct-0905", "groq", "chat", 1000000, 500000, -1, -1, 3000000, 262144, 0)
    FLAT("grok-4.3", "xai", "chat", 1250000, 200000, -1, -1, 2500000, 1000000, 0)
    FLAT("grok-4.6", "xai", "chat", 2000000, 500000, -1, -1, 6000000, 500000, 0)
    FLAT("grok-4-fast", "xai", "chat", 200000, 50000, -1, -1, 500000, 2000000, 0)
    FLAT("grok-code-fast-1", "xai", "chat", 200000, 20000, -1, -1, 1500000, 256000, 0)
    FLAT("kimi-k2.6", "moonshot", "chat", 950000, 160000, -1, -1, 4000000, 262144, 0)
    FLAT("kimi-k2.5", "moonshot", "chat", 600000, 100000, -1, -1, 3000000, 262144, 0)
    FLAT("meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", "chat", 880000, -1, -1, -1, 880000, 131072, 0)
    {NULL, NULL, NULL, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, MONEY_NO_SPECIAL}, 0, 0},
};
/* clang-format on */
