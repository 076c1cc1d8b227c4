"""What credit does not bear is not admitted: where no limit can be lowered, there is nothing to lower; what upstream keeps is
input, too."""
import json
import time
from decimal import Decimal

import pytest

from fixtures_upstream import FixtureUpstream
from router import Router, wait_until

PICTURE = {"model": "gpt-image-1", "prompt": "[[fixture=openai/images_generations.response.json]]", "n": 10}
PICTURE_HELD = Decimal(10 * 6240 * 2) / 1_000_000  # ten large ones at 2 USD per 1,000,000 tokens, and the prompt


MODEL = "gpt-4o-mini"
IN, OUT = Decimal("0.15") / 1_000_000, Decimal("0.60") / 1_000_000  # USD a token
WINDOW = 128_000
LONG = 100_000  # tokens of a response that others go on from


def complete(ask):
    """Each prompt has its answers, as long as they may be."""
    n = len(ask["prompt"]) * ask.get("n", 1)
    out = n * ask["max_tokens"]
    usage = {"prompt_tokens": len(ask["prompt"]), "completion_tokens": out, "total_tokens": len(ask["prompt"]) + out}
    choices = [{"text": "x", "index": i, "logprobs": None, "finish_reason": "length"} for i in range(n)]
    made = {"id": "cmpl-up", "object": "text_completion", "created": int(time.time()), "model": MODEL, "choices": choices, "usage": usage}
    return 200, {"content-type": "application/json"}, json.dumps(made).encode()


class Keeper:
    """Upstream's Responses: each has the input that its metadata says, and what it goes on from."""

    def __init__(self):
        self.tokens = {}

    def answer(self, seen):
        if seen.dialect == "openai" and seen.path == "/completions":
            return complete(seen.json)
        if seen.dialect != "openai" or seen.method != "POST" or seen.path != "/responses":
            return None
        said = seen.json.get("metadata", {})
        before = seen.json.get("previous_response_id")
        prompt = int(said.get("prompt", 10)) + self.tokens.get(before, 0)
        out = min(int(said.get("out", 2)), seen.json.get("max_output_tokens", 1_000_000))
        name = f"resp_up{len(self.tokens) + 1}"
        self.tokens[name] = prompt + out
        usage = {"input_tokens": prompt, "output_tokens": out, "total_tokens": prompt + out}
        if "no_usage" in said:
            usage = None
        text = {"type": "output_text", "text": "Lima", "annotations": []}
        output = [{"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [text]}]
        made = {"id": name, "object": "response", "created_at": int(time.time()), "status": "completed", "model": MODEL, "output": output, "usage": usage}
        return 200, {"content-type": "application/json"}, json.dumps(made).encode()


@pytest.fixture(scope="module")
def world():
    with FixtureUpstream() as up, Router(upstream=False, env=up.env()) as router:
        up.batches = Keeper()
        admin = router.admin()
        up.price(router, admin)
        yield up, router, admin


@pytest.mark.parametrize("by", ["credit", "budget"])
def test_pictures_that_the_credit_does_not_bear_are_not_made(world, by):
    up, router, admin = world
    _, token = router.user(credit="0.01" if by == "credit" else "1", admin=admin)
    key = router.new_key(token, **({"budget_usd": "0.01"} if by == "budget" else {}))
    before = len(up.requests)
    a = router.call("POST", "/v1/images/generations", PICTURE, key)
    assert a.status == 429 and a.error["code"] == "insufficient_quota", a
    assert ("budget of this API key" if by == "budget" else "your current credits") in a.error["message"]
    assert len(up.requests) == before
    credits = router.credits(token)
    assert Decimal(credits["balance_usd"]) == Decimal("0.01" if by == "credit" else "1")
    assert Decimal(credits["held_usd"]) == 0


def test_pictures_that_it_bears_are_made(world):
    up, router, admin = world
    _, token = router.user(credit=str(PICTURE_HELD + Decimal("0.001")), admin=admin)
    key = router.new_key(token)
    a = router.call("POST", "/v1/images/generations", PICTURE, key)
    assert a.status == 200, a
    assert "x-router-output-limit" not in a.headers
    assert up.requests[-1].json == PICTURE
    (row,) = router.settled(token, 1)
    assert Decimal(row["cost_usd"]) == Decimal(9 * 1 + 272 * 2) / 1_000_000


@pytest.mark.parametrize("n", [1, 2])
def test_each_prompt_of_a_list_is_held_for(world, n):
    up, router, admin = world
    prompts = 40
    credit = prompts * n * 100 * OUT
    _, token = router.user(credit=str(credit), admin=admin)
    key = router.new_key(token)
    ask = {"model": MODEL, "prompt": ["hi"] * prompts, "max_tokens": 1000, "n": n}
    a = router.call("POST", "/v1/completions", ask, key)
    assert a.status == 200, a
    sent = up.requests[-1].json["max_tokens"]
    assert 16 <= sent <= 100 and a.headers["x-router-output-limit"] == f"{sent}; reason=credit"
    (row,) = router.settled(token, 1)
    assert row["completion_tokens"] == prompts * n * sent
    left = Decimal(router.credits(token)["balance_usd"])
    assert left == credit - Decimal(row["cost_usd"]) >= 0  # all of it was there
    before = len(up.requests)
    a = router.call("POST", "/v1/completions", ask, key)  # what is left would bear one answer, or some
    assert a.status == 429 and a.error["code"] == "insufficient_quota", a
    assert len(up.requests) == before
    assert Decimal(router.credits(token)["balance_usd"]) == left


def respond(world, key, **more):
    return world[1].call("POST", "/v1/responses", {"model": MODEL, "input": "hi", "max_output_tokens": 1000, **more}, key)


def rich_and_poor(world, credit, **metadata):
    """A response of somebody who had credit for it, and has `credit` now; its id, their token and key."""
    _, router, admin = world
    user, token = router.user(credit="1", admin=admin)
    key = router.new_key(token)
    a = respond(world, key, metadata=metadata)
    assert a.status == 200, a
    router.settled(token, 1)
    left = Decimal(router.credits(token)["balance_usd"])
    change = {"amount_usd": str(credit - left), "kind": "adjustment", "note": "test"}
    router.ok("POST", f"/api/admin/users/{user['id']}/credits", change, admin)
    wait_until("admission knows it", 10, lambda: Decimal(router.credits(token)["balance_usd"]) == credit)
    return a.json()["id"], token, key


def test_what_a_call_goes_on_from_is_held_for(world):
    up, router, _ = world
    cents = LONG * IN / 2
    before, token, key = rich_and_poor(world, cents, prompt=LONG)
    n = len(up.requests)
    a = respond(world, key, previous_response_id=before)
    assert a.status == 429 and a.error["code"] == "insufficient_quota", a
    assert a.error["param"] == "previous_response_id" and f"brings {LONG + 2} tokens" in a.error["message"]
    assert len(up.requests) == n
    assert Decimal(router.credits(token)["balance_usd"]) == cents
    assert respond(world, key).status == 200  # a call that goes on from nothing is a small one


def test_what_it_bears_is_capped_and_never_overage(world):
    up, router, admin = world
    credit = (LONG + 200) * IN + 100 * OUT
    before, token, key = rich_and_poor(world, credit, prompt=LONG)
    a = respond(world, key, previous_response_id=before, metadata={"out": 1000})
    assert a.status == 200, a
    assert 16 <= up.requests[-1].json["max_output_tokens"] < 1000
    assert a.json()["usage"]["input_tokens"] == LONG + 12
    row = router.settled(token, 2)[0]
    assert row["prompt_tokens"] == LONG + 12
    assert 0 <= Decimal(router.credits(token)["balance_usd"]) < credit
    assert Decimal(row["cost_usd"]) <= credit
    assert Decimal(router.credits(token)["balance_usd"]) == credit - Decimal(row["cost_usd"])  # all of it was there


@pytest.mark.parametrize("field", ["previous_response_id", "prompt", "file_url", "item_reference"])
def test_where_nobody_knows_it_is_the_window(world, field):
    up, router, _ = world
    before, token, key = rich_and_poor(world, WINDOW * IN / 2, no_usage="1")
    more = {
        "previous_response_id": {"previous_response_id": before},
        "prompt": {"prompt": {"id": "pmpt_1"}},
        "file_url": {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com/a.pdf"}]}]},
        "item_reference": {"input": [{"type": "item_reference", "id": "msg_1"}]},
    }[field]
    n = len(up.requests)
    a = respond(world, key, **more)
    assert a.status == 429 and a.error["param"] == field, a
    assert f"{WINDOW} tokens, the model's window" in a.error["message"]
    assert len(up.requests) == n
    _, token = router.user(credit="1", admin=world[2])  # who has credit notices nothing
    key = router.new_key(token)
    more.pop("previous_response_id", None)
    a = respond(world, key, **more)
    assert a.status == 200 and "x-router-output-limit" not in a.headers
    assert up.requests[-1].json["max_output_tokens"] == 1000
