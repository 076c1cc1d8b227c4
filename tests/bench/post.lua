-- wrk: every request is the same small chat completion. KEY and MODEL come from the environment.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("KEY") or "x")
wrk.body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"[[tokens=10 prompt=20]] How much does this cost?"}],"max_tokens":64}'
