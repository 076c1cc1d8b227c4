-- wrk: every request is the same chat completion. KEY comes from the environment, PROMPT_BYTES: so much more text.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("KEY") or "x")
wrk.body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"[[tokens=10 prompt=20]] How much does this cost?' .. string.rep(" word", math.floor(tonumber(os.getenv("PROMPT_BYTES") or "0") / 5)) .. '"}],"max_tokens":64}'
