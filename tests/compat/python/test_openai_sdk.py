"""OpenAI's Python SDK through the router, with nothing set but base_url and api_key."""
import asyncio
import json
import threading
import time
from decimal import Decimal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from router import free_port, wait_until

MODEL = "gpt-4o-mini"


def ask(text):
    return [{"role": "user", "content": text}]


@pytest.fixture
def client(router, account):
    with OpenAI(base_url=f"http://127.0.0.1:{router.port}/v1", api_key=account[2], max_retries=0, timeout=30) as c:
        yield c


def test_completion(client):
    r = client.chat.completions.create(model=MODEL, messages=ask("[[tokens=3 prompt=9]] hi"))
    assert r.choices[0].message.role == "assistant" and r.choices[0].message.content
    assert r.choices[0].finish_reason == "stop"
    assert (r.usage.prompt_tokens, r.usage.completion_tokens, r.usage.total_tokens) == (9, 3, 12)
    assert r._request_id.startswith("req_")


def test_stream(client):
    chunks = list(client.chat.completions.create(model=MODEL, messages=ask("[[tokens=8 delay=5]] hi"), stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len([c for c in chunks if c.choices[0].delta.content]) == 8
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks)


def test_stream_with_usage(client):
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=ask("[[tokens=4 prompt=21]] hi"), stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (21, 4)


@pytest.mark.parametrize("stream", [False, True])
def test_idempotency_key(client, stream):
    def once():
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=ask("[[tokens=4 prompt=9]] hi"),
            stream=stream,
            extra_headers={"Idempotency-Key": f"{key}"},
        )
        parsed = raw.parse()
        content = "".join(c.choices[0].delta.content or "" for c in parsed) if stream else parsed.choices[0].message.content
        return content, raw.headers

    key = f"sdk-{time.time_ns()}"
    first, head = once()
    again, head_again = once()
    assert first and again == first
    assert "x-router-replayed" not in head and head_again["x-router-replayed"] == "true"
    assert head_again["x-router-original-request-id"] == head["x-request-id"]
    with pytest.raises(openai.ConflictError) as e:
        client.chat.completions.create(model=MODEL, messages=ask("other"), extra_headers={"Idempotency-Key": key})
    assert e.value.code == "idempotency_key_reused"


def test_stream_helper(client):
    with client.chat.completions.stream(model=MODEL, messages=ask("[[tokens=4]] hi")) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content


TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    }
]


def test_tools(client):
    r = client.chat.completions.create(model=MODEL, messages=ask("[[tools=1]] weather?"), tools=TOOLS)
    call = r.choices[0].message.tool_calls[0]
    assert r.choices[0].finish_reason == "tool_calls"
    json.loads(call.function.arguments)
    follow = ask("[[tokens=2]] weather?") + [
        r.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "[[tokens=2]] sunny"},
    ]
    assert client.chat.completions.create(model=MODEL, messages=follow, tools=TOOLS, tool_choice="none").choices[0].message.content


def test_tools_in_a_stream(client):
    args, names = "", []
    for c in client.chat.completions.create(model=MODEL, messages=ask("[[tools=1]] weather?"), tools=TOOLS, stream=True):
        for t in c.choices[0].delta.tool_calls or []:
            args += t.function.arguments or ""
            names += [t.function.name] if t.function.name else []
    json.loads(args)
    assert len(names) == 1


def test_image_input(client):
    content = [
        {"type": "text", "text": "[[tokens=2]] what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 500}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
    ]
    assert client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}]).choices


def test_async_and_20_parallel_streams(router, account):
    async def one(c, i):
        text = ""
        stream = await c.chat.completions.create(model=MODEL, messages=ask(f"[[tokens=20 delay=5]] {i}"), stream=True)
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
        return text

    async def run():
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{router.port}/v1", api_key=account[2], max_retries=0) as c:
            r = await c.chat.completions.create(model=MODEL, messages=ask("[[tokens=2]]"))
            assert r.choices
            return await asyncio.gather(*(one(c, i) for i in range(20)))

    texts = asyncio.run(run())
    assert len(texts) == 20 and len(set(texts)) == 1 and len(texts[0].split()) == 20


def test_raw_response_headers(client):
    r = client.chat.completions.with_raw_response.create(model=MODEL, messages=ask("[[tokens=2]]"))
    assert r.headers["x-request-id"].startswith("req_")
    assert Decimal(r.headers["x-router-cost-usd"]) > 0
    assert r.parse().choices


def test_models(client):
    ids = [m.id for m in client.models.list()]
    assert MODEL in ids
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("some/model")


def test_authentication_error(router):
    c = OpenAI(base_url=f"http://127.0.0.1:{router.port}/v1", api_key="sk-or-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as e:
        c.chat.completions.create(model=MODEL, messages=ask("x"))
    assert e.value.code == "invalid_api_key" and e.value.request_id.startswith("req_")


@pytest.mark.parametrize(
    "status,kind",
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_error_classes_of_the_upstream(client, status, kind):
    for stream in (False, True):
        with pytest.raises(kind) as e:
            client.chat.completions.create(model=MODEL, messages=ask(f"[[status={status} code=c{status}]]"), stream=stream)
        assert e.value.status_code == status and e.value.code == f"c{status}"


def test_error_classes_of_the_router(client, router, account):
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model=MODEL, messages=[])
    assert e.value.param == "messages"
    with pytest.raises(openai.NotFoundError) as e:
        client.chat.completions.create(model="missing-model", messages=ask("x"))
    assert e.value.code == "model_not_found"
    limited = OpenAI(base_url=str(client.base_url), api_key=router.new_key(account[1], rpm=1), max_retries=0)
    limited.chat.completions.create(model=MODEL, messages=ask("[[tokens=1]]"))
    with pytest.raises(openai.RateLimitError) as e:
        limited.chat.completions.create(model=MODEL, messages=ask("[[tokens=1]]"))
    assert e.value.code == "rate_limit_exceeded" and e.value.response.headers["retry-after"]
    other = OpenAI(base_url=str(client.base_url), api_key=router.new_key(account[1], models=["gpt-4.1"]), max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        other.chat.completions.create(model=MODEL, messages=ask("x"))


def test_connection_error():
    c = OpenAI(base_url=f"http://127.0.0.1:{free_port()}/v1", api_key="x", max_retries=0)
    with pytest.raises(openai.APIConnectionError):
        c.chat.completions.create(model=MODEL, messages=ask("x"))


def test_timeout_and_the_upstream_is_cancelled(client, router):
    before = router.upstream.stats()["cancelled"]
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=2).chat.completions.create(model=MODEL, messages=ask("[[first=30000 tokens=1]]"))
    wait_until("cancelled upstream", 10, lambda: router.upstream.stats()["cancelled"] > before)


def test_a_cancelled_stream(client, router):
    before = router.upstream.stats()["cancelled"]
    stream = client.chat.completions.create(model=MODEL, messages=ask("[[tokens=500 delay=20]]"), stream=True)
    for i, _ in enumerate(stream):
        if i == 5:
            break
    stream.close()
    wait_until("cancelled upstream", 10, lambda: router.upstream.stats()["cancelled"] > before)


def test_an_error_in_mid_stream_is_raised(client):
    with pytest.raises(openai.APIError):
        for _ in client.chat.completions.create(model=MODEL, messages=ask("[[tokens=50 delay=1 cut=10]]"), stream=True):
            pass


def test_retries_follow_the_headers(router, account):
    """A 429 of the router is tried again by the SDK after retry-after and then succeeds."""
    key = router.new_key(account[1], rpm=60)
    # 4 calls are over the limit and one a second gets through: an unlucky one is told to wait several times.
    c = OpenAI(base_url=f"http://127.0.0.1:{router.port}/v1", api_key=key, max_retries=12)
    errors = []

    def burst():
        try:
            for _ in range(16):
                c.chat.completions.create(model=MODEL, messages=ask("[[tokens=1]]"))
        except openai.APIError as e:
            errors.append(e)

    began = time.monotonic()
    threads = [threading.Thread(target=burst) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors
    assert time.monotonic() - began > 1  # 64 calls at 60 a minute


def test_insufficient_quota_is_not_retried(router):
    _, token = router.user(credit=None)
    c = OpenAI(base_url=f"http://127.0.0.1:{router.port}/v1", api_key=router.new_key(token), max_retries=2)
    sent, send = [], c._client.send
    c._client.send = lambda *args, **kw: sent.append(1) or send(*args, **kw)
    with pytest.raises(openai.RateLimitError) as e:
        c.chat.completions.create(model=MODEL, messages=ask("x"))
    assert e.value.code == "insufficient_quota"
    assert len(sent) == 1


def test_echo_models(client):
    r = client.chat.completions.create(model="echo", messages=ask("Hello router"))
    assert "Hello router" in r.choices[0].message.content
    r = client.chat.completions.create(model="echo-tools", messages=ask("weather?"), tools=TOOLS)
    assert r.choices[0].message.tool_calls[0].function.name == "get_weather"


def test_the_seed_documents_example(router, account):
    client = OpenAI(api_key=account[2], base_url=f"http://localhost:{router.port}/v1")
    response = client.chat.completions.create(model="gpt-3.5-turbo", messages=[{"role": "user", "content": "Hello!"}])
    assert response.choices[0].message.content
