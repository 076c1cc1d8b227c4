"""What arrives at a provider that speaks another dialect than the client: the limit of an answer."""
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
