"""Anthropic's Python SDK: in front of Anthropic, and of OpenAI and Gemini by translation."""
import anthropic
import pytest
from anthropic import Anthropic

from fixtures_upstream import CASES_OF_ANTHROPIC, load
from same import alike, plain, same

MODEL = "claude-sonnet-5"


@pytest.fixture
def client(base, key):
    with Anthropic(base_url=base, api_key=key, max_retries=0, timeout=30) as c:
        yield c


def ask(text):
    return [{"role": "user", "content": text}]


def weather(message):
    return [(b.name, b.input) for b in message.content if b.type == "tool_use"]


# ---- Anthropic behind it ----


@pytest.mark.parametrize("name", ["plain", "tools"])
def test_message(client, name):
    r = client.messages.create(**load(f"anthropic/messages_{name}.request.json"))
    same(r, f"anthropic/messages_{name}.response.json")
    assert r._request_id.startswith("req_")


def test_tool_results(client):
    r = client.messages.create(**load("anthropic/messages_tools_followup.request.json"))
    same(r, "anthropic/messages_plain.response.json")


def test_key_in_either_header(base, key):
    for how in ({"api_key": key}, {"auth_token": key}):
        with Anthropic(base_url=base, max_retries=0, **how) as c:
            assert c.messages.create(**load("anthropic/messages_plain.request.json")).content[0].text == "Lima"


def test_stream(client):
    got = list(client.messages.create(**load("anthropic/messages_stream.request.json")))
    kinds = [e.type for e in got if e.type != "ping"]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert [plain(e) for e in got if e.type == "message_delta"][0]["usage"]["output_tokens_details"] == {"thinking_tokens": 20}


def test_stream_helper(client):
    request = load("anthropic/messages_stream.request.json")
    del request["stream"]
    with client.messages.stream(**request) as stream:
        text = "".join(stream.text_stream)
        r = stream.get_final_message()
    assert text == "Checking both."
    assert [b.type for b in r.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert (r.content[0].thinking, r.content[0].signature) == ("Two cities, two calls.", "c2lnLWZ4NTAz")
    assert weather(r) == [("get_weather", {"city": "Lima"}), ("get_weather", {"city": "Oslo"})]
    assert (r.stop_reason, r.usage.cache_read_input_tokens, r.usage.output_tokens) == ("tool_use", 1800, 118)


def test_error_in_a_stream(client):
    got = []
    with pytest.raises(anthropic.APIStatusError) as e:
        for event in client.messages.create(model=MODEL, max_tokens=64, messages=ask("[[fixture=anthropic/messages_stream_error.sse]]"), stream=True):
            got.append(event.type)
    assert "content_block_delta" in got
    assert e.value.body["error"] == {"type": "overloaded_error", "message": "Overloaded"}


def test_what_the_router_does_not_know_passes(client, last):
    body = {"model": MODEL, "max_tokens": 64, "messages": ask("[[fixture=anthropic/messages_plain.response.json]]")}
    client.messages.create(**body, extra_headers={"anthropic-beta": "a-2026-01-01,b"}, extra_body={"x_new": [{"a": None}]})
    assert last().json == {**body, "x_new": [{"a": None}]}
    assert last().headers["anthropic-beta"] == "a-2026-01-01,b"
    assert last().headers["anthropic-version"] == client.default_headers["anthropic-version"]


def test_beta_path(client):
    request = load("anthropic/messages_plain.request.json")
    assert client.beta.messages.create(**request).content[0].text == "Lima"


def test_count_tokens(client):
    same(client.messages.count_tokens(**load("anthropic/count_tokens.request.json")), "anthropic/count_tokens.response.json")


def test_models(client):
    page = client.models.list(limit=1000)
    ids = {m.id: m for m in page}
    assert ids[MODEL].type == "model" and ids[MODEL].display_name and ids[MODEL].created_at.year >= 2024
    assert client.models.retrieve(MODEL).id == MODEL


# ---- errors ----


def error_of(e):
    body = e.body
    assert body["type"] == "error" and set(body["error"]) >= {"type", "message"}
    assert e.request_id.startswith("req_")
    return body["error"]


@pytest.mark.parametrize("name", sorted(CASES_OF_ANTHROPIC))
def test_errors_of_upstream(client, name):
    status, kind, shown, kind_shown = CASES_OF_ANTHROPIC[name]
    with pytest.raises(anthropic.APIStatusError) as e:
        client.messages.create(model=MODEL, max_tokens=64, messages=ask(f"[[claude={name}]]"))
    assert e.value.status_code == shown
    assert error_of(e.value)["type"] == kind_shown
    if (shown, kind_shown) == (status, kind):
        assert error_of(e.value)["message"] == f"{name} of upstream"
    if status == 429:
        assert e.value.response.headers["retry-after"] == "1"


def test_errors_of_the_router(router, base, token, client, key):
    wrong = Anthropic(base_url=base, api_key="sk-or-wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as e:
        wrong.messages.create(model=MODEL, max_tokens=9, messages=ask("x"))
    assert error_of(e.value)["type"] == "authentication_error"
    with pytest.raises(anthropic.NotFoundError) as e:
        client.messages.create(model="claude-nope", max_tokens=9, messages=ask("x"))
    assert error_of(e.value)["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as e:
        client.messages.create(model=MODEL, max_tokens=0, messages=ask("x"))
    assert error_of(e.value)["type"] == "invalid_request_error" and "max_tokens" in e.value.message
    other = Anthropic(base_url=base, api_key=router.new_key(token, models=["gpt-4.1"]), max_retries=0)
    with pytest.raises(anthropic.PermissionDeniedError) as e:
        other.messages.create(model=MODEL, max_tokens=9, messages=ask("x"))
    assert error_of(e.value)["type"] == "permission_error"
    limited = Anthropic(base_url=base, api_key=router.new_key(token, rpm=1), max_retries=0)
    limited.messages.create(**load("anthropic/messages_plain.request.json"))
    with pytest.raises(anthropic.RateLimitError) as e:
        limited.messages.create(**load("anthropic/messages_plain.request.json"))
    assert error_of(e.value)["type"] == "rate_limit_error" and 0 < int(e.value.response.headers["retry-after"]) <= 60


# ---- OpenAI behind it ----


def test_message_of_openai(client):
    r = client.messages.create(**load("translate/messages_to_openai/1_anthropic.request.json"))
    same(r, "translate/messages_to_openai/4_anthropic.response.json")


def test_stream_of_openai(client):
    with client.messages.stream(model="gpt-4o-mini", max_tokens=64, messages=ask("[[fixture=openai/chat_stream_tools.sse]]")) as stream:
        r = stream.get_final_message()
    assert weather(r) == [("get_weather", {"city": "Lima"}), ("get_weather", {"city": "Oslo"})]
    assert (r.stop_reason, r.usage.input_tokens, r.usage.output_tokens) == ("tool_use", 64, 35)


def test_text_stream_of_openai(client, last):
    with client.messages.stream(model="gpt-4o-mini", max_tokens=64, messages=ask("[[fixture=openai/chat_stream.sse]]")) as stream:
        assert "".join(stream.text_stream) == "¡Hola!"
        assert stream.get_final_message().usage.output_tokens == 4
    assert last().path == "/chat/completions" and last().json["stream_options"] == {"include_usage": True}


def test_error_in_a_stream_of_openai(client):
    with pytest.raises(anthropic.APIStatusError) as e:
        list(client.messages.create(model="gpt-4o-mini", max_tokens=64, messages=ask("[[fixture=openai/chat_stream_error.sse]]"), stream=True))
    assert e.value.body["error"]["type"] == "api_error"


@pytest.mark.parametrize("name,kind,type_", [
    ("context_length", anthropic.BadRequestError, "invalid_request_error"),
    ("rate_limit_rpm", anthropic.RateLimitError, "rate_limit_error"),
    ("gateway_internal", anthropic.InternalServerError, "api_error"),
])  # fmt: skip
def test_errors_of_openai(client, name, kind, type_):
    with pytest.raises(kind) as e:
        client.messages.create(model="gpt-4o-mini", max_tokens=64, messages=ask(f"[[error={name}]]"))
    assert error_of(e.value)["type"] == type_


def test_count_tokens_without_anthropic(client, upstream):
    assert 1 <= client.messages.count_tokens(model="gpt-4o-mini", messages=ask("Capital of Peru?")).input_tokens < 30
    assert not upstream.requests  # an estimate of the router's own


# ---- Gemini behind it ----


def test_message_of_gemini(client):
    r = client.messages.create(model="gemini-3.8-flash", max_tokens=64, messages=ask("[[fixture=gemini/generate_tools.response.json]]"))
    assert weather(r) == [("get_weather", {"city": "Lima"})] and r.stop_reason == "tool_use"
    assert (r.usage.input_tokens, r.usage.cache_read_input_tokens, r.usage.output_tokens) == (56, 64, 45)


def test_stream_of_gemini(client):
    with client.messages.stream(model="gemini-3.8-flash", max_tokens=64, messages=ask("[[fixture=gemini/stream.sse]]")) as stream:
        assert "".join(stream.text_stream) == "¡Hola!"
        r = stream.get_final_message()
    alike(plain(r.usage), {"input_tokens": 5, "output_tokens": 13}, *(set(plain(r.usage)) - {"input_tokens", "output_tokens"}))
