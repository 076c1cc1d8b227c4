"""A provider of the catalog that speaks chat completions only: Responses and Messages are made as chats there."""
import json

import pytest
from router import Router


@pytest.fixture(scope="module")
def host():
    """A router whose provider `local` is a compatible host without a Responses API: it answers /v1/responses with 404."""
    with Router(env={"MASTER_KEY": "a-master-key-of-more-than-thirty-two-characters"}) as r:
        admin = r.admin()
        local = {"name": "local", "kind": "openai", "base_url": r.upstream.url, "api_keys": ["sk-local"], "internal": True}
        r.ok("POST", "/api/admin/providers", {**local, "chat_only": True}, admin)
        r.ok("POST", "/api/admin/providers", {**local, "name": "whole"}, admin)
        for name in ("local", "whole"):
            r.ok("POST", "/api/admin/models", {"name": f"on-{name}", "routes": [{"provider": name, "model": "llama"}], "price": {"input": "1", "output": "2"}}, admin)
        _, token = r.user(admin=admin)
        r.key = r.new_key(token)
        yield r


def sent(host):
    """What upstream was asked last: its path and body."""
    head = host.upstream.head().body.decode()
    return head.split()[1], json.loads(host.upstream.last().body)


def events(answer):
    assert answer.headers["content-type"].startswith("text/event-stream"), answer
    return [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: {")]


def test_a_response_is_made_as_a_chat(host):
    a = host.call("POST", "/v1/responses", {"model": "on-local", "input": "[[tokens=3]] hi", "max_output_tokens": 50}, host.key)
    assert a.status == 200, a
    got = a.json()
    assert got["object"] == "response" and got["status"] == "completed" and got["model"] == "on-local"
    assert [c["text"] for o in got["output"] if o["type"] == "message" for c in o["content"]] == ["t0 t1 t2"]
    assert got["usage"]["output_tokens"] == 3
    path, body = sent(host)
    assert path == "/v1/chat/completions" and body["model"] == "llama"
    assert body["max_tokens"] == 50 and "max_completion_tokens" not in body


def test_a_streamed_response_is_made_as_a_chat(host):
    a = host.call("POST", "/v1/responses", {"model": "on-local", "input": "[[tokens=3]] hi", "max_output_tokens": 50, "stream": True}, host.key)
    assert a.status == 200, a
    all_of_it = events(a)
    assert all_of_it[0]["type"] == "response.created" and all_of_it[-1]["type"] == "response.completed"
    assert "".join(e["delta"] for e in all_of_it if e["type"] == "response.output_text.delta") == "t0 t1 t2"
    assert all_of_it[-1]["response"]["usage"]["output_tokens"] == 3
    path, body = sent(host)
    assert path == "/v1/chat/completions" and body["stream"] is True and body["stream_options"] == {"include_usage": True}
    assert body["max_tokens"] == 50 and "max_completion_tokens" not in body


@pytest.mark.parametrize("stream", (False, True))
@pytest.mark.parametrize("model, limit, other", (("on-local", "max_tokens", "max_completion_tokens"), ("on-whole", "max_completion_tokens", "max_tokens")))
def test_a_message_says_its_limit_as_the_host_knows_it(host, stream, model, limit, other):
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "[[tokens=3]] hi"}], "stream": stream}
    a = host.call("POST", "/v1/messages", body, headers={"x-api-key": host.key, "anthropic-version": "2023-06-01"})
    assert a.status == 200, a
    text = "".join(e["delta"].get("text", "") for e in events(a) if e["type"] == "content_block_delta") if stream else a.json()["content"][0]["text"]
    assert text == "t0 t1 t2"
    path, body = sent(host)
    assert path == "/v1/chat/completions" and body[limit] == 50 and other not in body


@pytest.mark.parametrize("limit", ("max_tokens", "max_completion_tokens"))
def test_a_chat_passes_as_it_came(host, limit):
    text = '{ "model":"on-local" ,"x_top":1.0e3, "%s": 50,\n"messages":[{"role":"user","content":"[[tokens=3]] hi"}]}' % limit
    a = host.call("POST", "/v1/chat/completions", text.encode(), host.key, headers={"content-type": "application/json"})
    assert a.status == 200, a
    assert host.upstream.last().body.decode() == text.replace("on-local", "llama")


def test_other_providers_have_their_responses_api(host):
    """The same host without the mark is asked for what it does not have."""
    a = host.call("POST", "/v1/responses", {"model": "on-whole", "input": "hi"}, host.key)
    assert a.status == 404, a
