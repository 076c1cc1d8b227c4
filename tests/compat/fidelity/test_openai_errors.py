"""The 21 errors of the contract (tests/fixtures/openai/errors.json) as OpenAI's Python SDK raises them, and how often it tries again.

Some the router says itself, provoked as a client would; the others come from upstream and have to pass as they are.
"""
import openai
import pytest
from openai import OpenAI

from fixtures_upstream import cases
from router import call

CASES = {c["name"]: c for c in cases()}
RETRIES = 1
# Said by the router: its own words, but status, type, code and param are the contract's.
OWN = {
    "missing_key", "invalid_key", "key_not_allowed", "unknown_model", "method_not_allowed", "bad_json", "missing_field", "payload_too_large",
    "rate_limit_rpm", "rate_limit_tpm", "budget_exhausted", "upstream_bad_response", "upstream_timeout",
}  # fmt: skip
# What upstream says of the router's own key or account is not the client's fault.
OPERATORS = {"missing_key": "auth", "invalid_key": "auth", "key_not_allowed": "auth", "budget_exhausted": "billing"}
REWORDED = {"upstream_timeout"}  # one text for all that takes too long, whoever noticed


@pytest.fixture(scope="session")
def keys(router, token):
    poor = router.user(credit=None)[1]
    return {
        "good": router.new_key(token),
        "rpm": router.new_key(token, rpm=1),
        "tpm": router.new_key(token, tpm=400),
        "other": router.new_key(token, models=["gpt-4.1"]),
        "poor": router.new_key(poor),
    }


class Counted:
    """A client that counts what it sends."""

    def __init__(self, base, key, retries=RETRIES):
        self.client = OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=retries, timeout=20)
        self.sent = 0
        send = self.client._client.send

        def counted(*args, **kw):
            self.sent += 1
            return send(*args, **kw)

        self.client._client.send = counted

    def chat(self, text="hi", model="gpt-4o-mini", **fields):
        return self.client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **fields)


def check(case, e, own):
    assert type(e) is getattr(openai, case["python_class"])
    assert e.status_code == case["status"]
    want = case["body"]["error"]
    assert (e.type, e.code, e.param) == (want["type"], want["code"], want["param"])
    assert own or want["message"] in e.message
    assert set(e.body) == {"message", "type", "param", "code"}
    assert e.request_id.startswith("req_") and e.request_id != "req_of_upstream"
    assert e.response.headers["content-type"].startswith("application/json")


def provoke(name, base, keys):
    """Makes the router say this error: (client, the call)."""
    made = lambda key="good": Counted(base, keys.get(key, key))  # noqa: E731
    if name == "missing_key":
        c = made()
        return c, lambda: c.chat(extra_headers={"Authorization": openai.Omit()})
    if name == "invalid_key":
        c = made("sk-or-wrong")
    elif name == "key_not_allowed":
        c = made("other")
    elif name == "budget_exhausted":
        c = made("poor")
    elif name == "rate_limit_rpm":
        c = made("rpm")
        c.chat("[[fixture=openai/chat_plain.response.json]]")
        c.sent = 0
    elif name == "rate_limit_tpm":
        c = made("tpm")
        # reserved 250, used 197 of 400: the next 300 do not fit, whether this one is settled by then or not
        c.chat("[[fixture=openai/chat_vision.response.json]]" + "x" * 600, max_completion_tokens=100)
        c.sent = 0
        return c, lambda: c.chat("x" * 800, max_completion_tokens=100)
    else:
        c = made()
    text = {"upstream_bad_response": "[[do=garbage]]", "upstream_timeout": "[[do=slow]]", "payload_too_large": "x" * 1200000}.get(name, "hi")
    if name == "unknown_model":
        return c, lambda: c.chat(model="nope")
    if name == "missing_field":
        return c, lambda: c.client.post("/chat/completions", body={"model": "gpt-4o-mini"}, cast_to=object)
    if name == "method_not_allowed":
        return c, lambda: c.client.delete("/chat/completions", cast_to=object)
    if name == "bad_json":
        return c, lambda: c.client.post("/chat/completions", content=b"{", options={"headers": {"content-type": "application/json"}}, cast_to=object)
    return c, lambda: c.chat(text)


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_routers_own(base, keys, name):
    case = CASES[name]
    client, ask = provoke(name, base, keys)
    if name in ("rate_limit_rpm", "rate_limit_tpm"):
        client.client.max_retries = 0  # it may be tried again, but a minute is long
    with pytest.raises(openai.APIStatusError) as e:
        ask()
    check(case, e.value, own=True)
    if name in ("rate_limit_rpm", "rate_limit_tpm"):
        head = e.value.response.headers
        assert 0 < float(head["retry-after-ms"]) <= 60000 and 0 < int(head["retry-after"]) <= 60
        assert head.get("x-should-retry") != "false"
        kind = "requests" if name == "rate_limit_rpm" else "tokens"
        assert int(head[f"x-ratelimit-limit-{kind}"]) in (1, 400)
    elif name == "upstream_bad_response":  # upstream may have worked, and billed
        assert client.sent == 1 and e.value.response.headers["x-should-retry"] == "false"
    else:
        assert client.sent == 1 + (RETRIES if case["sdk_retries"] else 0)


@pytest.mark.parametrize("name", sorted(set(CASES) - set(OPERATORS)))
def test_what_upstream_says_passes(base, keys, name):
    case = CASES[name]
    stream = case["sdk_retries"] is False  # these take no time
    client = Counted(base, keys["good"])
    with pytest.raises(openai.APIStatusError) as e:
        client.chat(f"[[error={name}]]", stream=stream)
    check(case, e.value, own=name in REWORDED)
    head = e.value.response.headers
    for h in ("retry-after", "retry-after-ms", "x-should-retry"):
        if h in case["headers"]:
            assert head[h] == case["headers"][h]
    if name != "upstream_bad_response":  # whether it worked before is unknown: x-should-retry: false
        assert client.sent == 1 + (RETRIES if case["sdk_retries"] else 0)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_what_upstream_says_of_our_key_is_not_the_clients_fault(base, keys, name):
    client = Counted(base, keys["good"], 0)
    with pytest.raises(openai.InternalServerError) as e:
        client.chat(f"[[error={name}]]")
    assert (e.value.status_code, e.value.code, e.value.type) == (502, f"upstream_{OPERATORS[name]}_error", "server_error")
    assert "wxyz" not in e.value.message


def test_a_connection_that_upstream_drops(base, keys):
    client = Counted(base, keys["good"], 0)
    with pytest.raises(openai.InternalServerError) as e:
        client.chat("[[do=drop]]")
    assert e.value.status_code == 502


def test_urls_that_the_router_does_not_know_are_upstreams_to_refuse(base, keys):
    client = Counted(base, keys["good"], 0).client
    for name in ("unknown_url", "method_not_allowed"):
        with pytest.raises(openai.APIStatusError) as e:
            client.post("/nope", body={"x": f"[[error={name}]]"}, cast_to=object)
        check(CASES[name], e.value, own=False)


def test_unknown_url_of_the_routers(router, base, keys):
    got = call(router.port, "GET", "/no/such", headers={"authorization": f"Bearer {keys['good']}"})
    assert got.status == 404 and got.error["code"] == "unknown_url"
