"""What arrives at a provider that speaks another dialect than the client: the limit of an answer, and what it has nothing like."""
import contextlib

import pytest

from fixtures_upstream import FixtureUpstream
from router import Router

SAID = {"openai": "openai/chat_plain.response.json", "anthropic": "anthropic/messages_plain.response.json"}
STREAMED = {"openai": "openai/chat_stream.sse", "anthropic": "anthropic/messages_stream.sse"}


@contextlib.contextmanager
def routing(**env):
    """A router before providers of several dialects, with a model of the catalog that one of Anthropic's kind serves."""
    with FixtureUpstream() as up, Router(upstream=False, env={**up.env(), **env}) as router:
        admin = router.admin()
        routes = [{"provider": "anthropic", "model": "claude-of-our-own"}]
        body = {"name": "long", "price": {"input": "1", "output": "1"}, "max_output": 64000, "routes": routes}
        router.ok("POST", "/api/admin/models", body, admin)
        _, token = router.user(admin=admin)
        yield up, router, router.new_key(token)


@pytest.fixture(scope="module")
def world():
    with routing() as w:
        yield w


def ask(world, path, model, upstream, stream=False, **fields):
    """(the answer, what arrived upstream)"""
    up, router, key = world
    prompt = f"[[fixture={(STREAMED if stream else SAID)[upstream]}]]"
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], **({"stream": True} if stream else {}), **fields}
    a = router.call("POST", path, body, key)
    return a, up.requests[-1].json if a.status == 200 else None


# ---- the limit of an answer


@pytest.mark.parametrize("stream", [False, True])
def test_a_limit_of_claude_codes_is_cut_to_what_the_model_can(world, stream):
    a, sent = ask(world, "/v1/messages", "gpt-4o-mini", "openai", stream, max_tokens=32000)
    assert a.status == 200, a
    assert sent["max_completion_tokens"] == 16384
    a, sent = ask(world, "/v1/messages", "gpt-4o-mini", "openai", stream, max_tokens=100)
    assert sent["max_completion_tokens"] == 100
    a, sent = ask(world, "/v1/chat/completions", "gpt-4o-mini", "openai", stream, max_completion_tokens=32000)
    assert sent["max_completion_tokens"] == 32000, "a client of that API says what it wants, and is told when that is wrong"


@pytest.mark.parametrize("stream, unsaid", [(False, 16384), (True, 64000)])
def test_the_longest_answer_of_the_catalog_is_the_limit_upstream(world, stream, unsaid):
    a, sent = ask(world, "/v1/chat/completions", "long", "anthropic", stream)
    assert a.status == 200, a
    assert sent["model"] == "claude-of-our-own" and sent["max_tokens"] == unsaid
    a, sent = ask(world, "/v1/chat/completions", "long", "anthropic", stream, max_completion_tokens=100000)
    assert sent["max_tokens"] == 64000


# ---- what the provider has nothing like


@pytest.fixture(scope="module")
def leaving_out():
    with routing(DROP_UNSUPPORTED="on") as w:
        yield w


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_provider_has_nothing_like_is_refused_by_name(world, stream):
    asked = len(world[0].requests)
    a, _ = ask(world, "/v1/chat/completions", "long", "anthropic", stream, seed=7)
    assert a.status == 400, a
    assert a.error["param"] == "seed" and a.error["code"] == "unsupported_parameter"
    assert "DROP_UNSUPPORTED=on" in a.error["message"] and "x-router-dropped" not in a.headers
    assert len(world[0].requests) == asked


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_left_out_and_named_when_so_wished(leaving_out, stream):
    a, sent = ask(leaving_out, "/v1/chat/completions", "long", "anthropic", stream, seed=7, logit_bias={"1": 2})
    assert a.status == 200, a
    assert a.headers["x-router-dropped"] == "seed, logit_bias"
    assert "seed" not in sent and "logit_bias" not in sent
    assert a.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    a, _ = ask(leaving_out, "/v1/chat/completions", "long", "anthropic", stream)
    assert a.status == 200 and "x-router-dropped" not in a.headers


def test_tools_that_openai_runs_are_left_out_likewise(world, leaving_out):
    """Codex sends web_search beside its own tools."""
    tools = [{"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}, {"type": "web_search"}]
    for (_, router, key), status in ((world, 400), (leaving_out, 200)):
        body = {"model": "long", "input": "[[fixture=anthropic/messages_plain.response.json]]", "tools": tools}
        a = router.call("POST", "/v1/responses", body, key)
        assert a.status == status, a
        assert (a.headers["x-router-dropped"] if status == 200 else a.error["param"]) == "tools[1].type"
    assert [t["name"] for t in leaving_out[0].requests[-1].json["tools"]] == ["shell"]
