"""Coding agents at models that refuse a turn without what they thought: Anthropic clients give back what they got, unasked."""
import json

import pytest

from router import OddUpstream, Router

MASTER = "a-master-key-of-more-than-thirty-two-characters"
USER = {"role": "user", "content": "hello"}


@pytest.fixture(scope="module")
def world():
    router = Router(upstream=False, env={"LOG_LEVEL": "error", "MASTER_KEY": MASTER})
    odd = OddUpstream(router.folder)
    odd.do("thinker", "think")
    config = router.folder / "config.yaml"
    provider = {"name": "thinker", "kind": "openai", "base_url": odd.url("thinker"), "api_keys": ["sk-a"], "chat_only": True}
    route = {"provider": "thinker", "model": "moonshotai/kimi-k2.6"}
    config.write_text(
        json.dumps(  # JSON is YAML
            {
                "providers": [provider],
                "models": [{"name": "thinker", "routes": [route], "price": {"input": "1", "output": "2"}}],
            }
        )
    )
    router.extra["CONFIG"] = str(config)
    with router:
        router.key = router.new_key(router.user(credit="100")[1])
        yield router
        odd.stop()


def ask(world, path, body):
    a = world.call("POST", path, {"model": "thinker", **body}, world.key)
    assert a.status == 200, a
    return a


def events(answer):
    return [json.loads(line[6:]) for line in answer.body.decode().split("\n") if line.startswith("data: ")]


def streamed_message(answer):
    """The content, put together as Anthropic's SDK does."""
    blocks = []
    for e in events(answer):
        if e["type"] == "content_block_start":
            blocks.append(e["content_block"] | {"json": ""})
        elif e["type"] == "content_block_delta":
            d = e["delta"]
            for key, to in (("thinking", "thinking"), ("text", "text"), ("signature", "signature"), ("partial_json", "json")):
                if key in d:
                    blocks[-1][to] += d[key]
    for b in blocks:
        text = b.pop("json")
        if b["type"] == "tool_use":
            b["input"] = json.loads(text)
    return blocks


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_clients_bring_the_thinking_back(world, stream):
    tools = [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    body = {"max_tokens": 99, "stream": stream, "tools": tools}
    a = ask(world, "/v1/messages", {**body, "messages": [USER]})
    content = streamed_message(a) if stream else a.json()["content"]
    assert content == [
        {"type": "thinking", "thinking": "from a thought", "signature": ""},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
    ]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "ok"}]}
    turn = [USER, {"role": "assistant", "content": content}, result]
    a = ask(world, "/v1/messages", {**body, "messages": turn})
    assert (streamed_message(a) if stream else a.json()["content"]) == [{"type": "text", "text": "from thinker"}]
    # and the upstream means it
    turn[1]["content"] = content[1:]
    a = world.call("POST", "/v1/messages", {"model": "thinker", **body, "messages": turn}, world.key)
    assert a.status == 400 and "must be passed back" in a.body.decode()


@pytest.mark.parametrize("stream", [False, True])
def test_responses_clients_bring_the_reasoning_back(world, stream):
    body = {"stream": stream, "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]}

    def turn(items):
        a = ask(world, "/v1/responses", {**body, "input": [USER, *items]})
        return (events(a)[-1]["response"] if stream else a.json())["output"]

    output = turn([])
    assert [item["type"] for item in output] == ["reasoning", "function_call"]
    result = {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "ok"}
    (message,) = turn([*output, result])
    assert message["content"][0]["text"] == "from thinker"
    a = world.call("POST", "/v1/responses", {"model": "thinker", **body, "input": [USER, output[1], result]}, world.key)
    assert a.status == 400 and "must be passed back" in a.body.decode()
