"""Chat completions through the whole chain: what the client sees, byte for byte where it counts."""
import json

import pytest

from router import Events


def test_a_completion(router, account):
    user, token, key = account
    a = router.chat(key, "[[tokens=5 prompt=11]] hi")
    assert a.status == 200, a
    body = a.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["usage"]["prompt_tokens"] == 11
    assert body["usage"]["completion_tokens"] == 5
    assert a.headers["x-request-id"].startswith("req_")
    assert int(a.headers["openai-processing-ms"]) >= 0
    assert a.headers["content-type"].startswith("application/json")
    for name in ("limit-requests", "remaining-requests", "reset-requests", "limit-tokens", "remaining-tokens", "reset-tokens"):
        assert f"x-ratelimit-{name}" in a.headers
    assert a.headers["x-router-provider"] == "openai"
    # 11 * 0.15 + 5 * 0.60 USD per 1,000,000
    assert a.headers["x-router-cost-usd"] == "0.00000465"


def test_request_bytes_reach_the_upstream_unchanged(router, account):
    _, _, key = account
    body = b'{ "model":"gpt-4o-mini",\n "messages" : [{"role":"user","content":"[[tokens=1]] \\u00e9\\ud83d\\ude00"}],"x_unknown":{"a":[1.50,2e3,null]} , "temperature":0.70 }'
    a = router.call("POST", "/v1/chat/completions", body, key, headers={"content-type": "application/json"})
    assert a.status == 200, a
    assert router.upstream.last().body == body


def test_stream_splices_usage_and_nothing_else(router, account):
    _, _, key = account
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"[[tokens=2]] hi"}] , "stream":true,"x_unknown":1.50}'
    a = router.call("POST", "/v1/chat/completions", body, key, headers={"content-type": "application/json"})
    assert a.status == 200, a
    sent = router.upstream.last().body
    assert json.loads(sent)["stream_options"] == {"include_usage": True}
    assert sent.startswith(body[:-1].rstrip())
    assert b'"x_unknown":1.50' in sent


def test_stream_hides_the_usage_that_the_client_did_not_ask_for(router, account):
    _, _, key = account
    e = Events(router, key, "[[tokens=4 delay=2]] hi")
    assert e.status == 200
    assert e.headers["content-type"].startswith("text/event-stream")
    data = list(e)
    assert data[-1] == "[DONE]"
    chunks = [json.loads(d) for d in data[:-1]]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all("usage" not in c for c in chunks)
    assert all(c["choices"] for c in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len([c for c in chunks if c["choices"][0]["delta"].get("content")]) == 4


def test_stream_shows_the_usage_that_the_client_asked_for(router, account):
    _, _, key = account
    e = Events(router, key, "[[tokens=3 prompt=20]] hi", stream_options={"include_usage": True})
    chunks = [json.loads(d) for d in list(e)[:-1]]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 20
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    assert all(c["usage"] is None for c in chunks[:-1])


def test_connection_is_kept_alive_over_plain_and_stream(router, account):
    import http.client

    _, _, key = account
    conn = http.client.HTTPConnection("127.0.0.1", router.port, timeout=30)
    head = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    sock = None
    for stream in (False, True, False, True):
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "[[tokens=2]]"}], "stream": stream}
        conn.request("POST", "/v1/chat/completions", json.dumps(body), head)
        r = conn.getresponse()
        assert r.status == 200
        r.read()
        sock = sock or conn.sock
        assert conn.sock is sock
    conn.close()


def test_tools(router, account):
    _, _, key = account
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}]
    a = router.chat(key, "[[tools=1]] weather?", tools=tools)
    assert a.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"]
    parts = [json.loads(d) for d in list(Events(router, key, "[[tools=1]] weather?", tools=tools))[:-1]]
    args = "".join(t["function"].get("arguments", "") for c in parts for t in c["choices"][0]["delta"].get("tool_calls", []))
    json.loads(args)


def test_image_input_is_not_counted_as_text(router, account):
    _, token, key = account
    pixel = "data:image/png;base64," + "A" * 200_000
    a = router.call(
        "POST",
        "/v1/chat/completions",
        {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": [{"type": "text", "text": "[[tokens=2]] what?"}, {"type": "image_url", "image_url": {"url": pixel}}]}]},
        key,
    )
    assert a.status == 200, a


@pytest.mark.parametrize(
    "status,code",
    [(400, "invalid_value"), (404, "model_not_found"), (409, "conflict"), (422, "unprocessable"), (429, "rate_limit_exceeded"), (500, "boom"), (503, "overloaded")],
)
def test_upstream_errors_of_the_same_dialect_pass(router, account, status, code):
    _, _, key = account
    a = router.chat(key, f"[[status={status} code={code} retry-after=2]]")
    assert a.status == status, a
    assert a.error["code"] == code
    if status in (429, 503):
        assert a.headers["retry-after"] == "2"


@pytest.mark.parametrize("status", [401, 403])
def test_the_operators_bad_key_is_not_the_clients_fault(router, account, status):
    _, _, key = account
    a = router.chat(key, f"[[status={status}]]")
    assert a.status == 502, a
    assert a.error["code"] == "upstream_auth_error"


def test_a_cut_stream_never_looks_like_success(router, account):
    _, token, key = account
    data = list(Events(router, key, "[[tokens=50 delay=1 cut=10]]"))
    assert data[-1] != "[DONE]"
    assert "error" in json.loads(data[-1])


def test_a_stream_that_fails_before_its_first_byte_is_a_plain_error(router, account):
    _, _, key = account
    e = Events(router, key, "[[cut=headers]]")
    assert e.status == 502
    assert "error" in json.loads(e.response.read())


@pytest.mark.parametrize("how", ("[[cut=headers]]", "[[reset=headers]]", "[[badjson]]", "[[tokens=9 cut=3]]"))
def test_a_broken_connection_spoils_no_later_call(router, account, how):
    """The cut comes on a connection that is kept, where libcurl would like to send again and may not."""
    key = account[2]
    assert router.chat(key, "[[tokens=1]]").status == 200
    for _ in range(3):
        assert router.chat(key, how).status == 502
        assert [router.chat(key, "[[tokens=1]]").status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("what", ["badjson", "html"])
def test_a_200_that_is_not_an_answer_is_an_error(router, account, what):
    _, _, key = account
    a = router.chat(key, f"[[{what}]]")
    assert a.status == 502, a
    assert a.error["type"] == "server_error"


def test_echo_needs_no_upstream(router, account):
    _, _, key = account
    a = router.chat(key, "say this", model="echo")
    assert a.status == 200, a
    assert "say this" in a.json()["choices"][0]["message"]["content"]
    assert a.json()["usage"]["completion_tokens"] > 0
    data = list(Events(router, key, "say this", model="echo"))
    assert data[-1] == "[DONE]"


def test_models(router, account):
    _, _, key = account
    a = router.call("GET", "/v1/models", token=key)
    assert a.status == 200, a
    ids = [m["id"] for m in a.json()["data"]]
    assert "gpt-4o-mini" in ids and "echo" in ids
    assert router.call("GET", "/v1/models/gpt-4o-mini", token=key).json()["object"] == "model"
    assert router.call("GET", "/v1/models/no-such", token=key).error["code"] == "model_not_found"
    assert router.call("GET", "/v1/models/a%2Fb", token=key).status == 404
    assert router.call("GET", "/v1/models").status == 401
