"""What credit does not bear is not admitted: where no limit can be lowered, there is nothing to lower."""
from decimal import Decimal

import pytest

from fixtures_upstream import FixtureUpstream
from router import Router

PICTURE = {"model": "gpt-image-1", "prompt": "[[fixture=openai/images_generations.response.json]]", "n": 10}
PICTURE_HELD = Decimal(10 * 6240 * 2) / 1_000_000  # ten large ones at 2 USD per 1,000,000 tokens, and the prompt


@pytest.fixture(scope="module")
def world():
    with FixtureUpstream() as up, Router(upstream=False, env=up.env()) as router:
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
