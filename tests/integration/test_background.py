"""Responses in the background from their creation to their bill: held for when they are made, billed once when somebody sees them over."""
import http.client
import json
import re
import time
from decimal import Decimal

import pytest

from background import HALVES, USAGE, Background
from fixtures_upstream import FixtureUpstream
from router import Router, wait_until
from test_batches import MODEL, Person, cost, restart, verify

TRUE_COST = cost(USAGE["input_tokens"], USAGE["input_tokens_details"]["cached_tokens"], USAGE["output_tokens"], 100)
SEEN = 4  # tokens of a half, as the router counts text: a quarter of its bytes, rounded up
LIMIT = 1000
DRAIN = {"DISCONNECT_DRAIN_MS": "700"}
PARTS = (("prompt_tokens", 1001), ("cached_tokens", 333), ("completion_tokens", 77), ("reasoning_tokens", 5))


@pytest.fixture(scope="module")
def world():
    with FixtureUpstream() as up:
        with Router(upstream=False, env={**up.env(), **DRAIN}) as router:
            yield up, router, router.admin()


@pytest.fixture(scope="module")
def patient():
    """As world, but upstream is read on for as long as a busy machine may need."""
    with FixtureUpstream() as up:
        with Router(upstream=False, env=up.env()) as router:
            yield up, router, router.admin()


class Asker(Person):
    def __init__(self, world, **how):
        super().__init__(world, **how)
        self.up.batches = self.bg = Background()

    def body(self, **fields):
        metadata = fields.pop("metadata", {})
        return {"model": MODEL, "input": "hello there", "max_output_tokens": LIMIT, "background": True, "metadata": metadata, **fields}

    def create(self, **metadata):
        a = self.router.call("POST", "/v1/responses", self.body(metadata=metadata), self.key)
        assert a.status == 200 and a.json()["status"] == "queued", a
        assert "x-router-cost-usd" not in a.headers
        return a.json()["id"], a.headers["x-request-id"]

    def look(self, response_id, status, times=1, method="GET", path=""):
        for _ in range(times):
            a = wait_until("it is known whose it is", 10, lambda: self.known(method, f"/v1/responses/{response_id}{path}"))
        assert a.json().get("status") == status, a
        return a.json()

    def known(self, method, path):
        a = self.router.call(method, path, token=self.key)
        assert a.status in (200, 404), a
        return a if a.status == 200 else None

    def stream(self, method, path, body=None):
        conn = http.client.HTTPConnection("127.0.0.1", self.router.port, timeout=30)
        conn.request(method, path, json.dumps(body).encode() if body else None, {"authorization": f"Bearer {self.key}", "content-type": "application/json"})
        return conn, conn.getresponse()

    def read_half(self, method, path, body=None):
        """Reads until the first half of the text is there, and leaves."""
        conn, r = self.stream(method, path, body)
        assert r.status == 200
        text = b""
        while HALVES[0].encode() not in text:
            text += r.readline()
        conn.close()
        r.close()
        return r.headers["x-request-id"]

    def clients_gone(self):
        text = self.router.call("GET", "/metrics").body.decode()
        return float(re.search(r"^router_client_gone_total\S* (\S+)$", text, re.MULTILINE)[1])

    def receipt_is(self, request, status="ok", parts=PARTS, estimated=False):
        row = self.settled(request)
        assert row["status"] == status and row["estimated"] is estimated, row
        assert [(k, row[k]) for k, _ in parts] == list(parts), row
        assert Decimal(row["cost_usd"]) == self.spent()
        assert row["price_percent"] in (0, 100) and row["endpoint"] == "responses" and row["model"] == MODEL, row
        verify(self.router, self.admin)
        return row

    def still_held(self, request):
        time.sleep(1.2)  # longer than any record is on its way, and than who left is waited for
        assert self.held() > 0 and self.spent() == 0 and self.receipt(request) is None



# ---- the way of a response ----


def test_one_is_held_for_and_billed_once(world):
    p = Asker(world)
    response, request = p.create()
    held = p.held()
    assert cost(0, 0, LIMIT, 100) < held < cost(200, 0, LIMIT, 100)
    p.look(response, "in_progress")
    p.still_held(request)
    assert p.held() == held
    p.look(response, "completed")
    row = p.receipt_is(request)
    assert p.spent() == TRUE_COST and Decimal(row["hold_usd"]) == held
    entries = [(e["account"], Decimal(e["amount_usd"])) for e in row["entries"]]
    assert ("revenue", TRUE_COST) in entries and ("held", -held) in entries and sum(n for _, n in entries) == 0
    p.look(response, "completed", times=3)
    p.look(response, "completed", method="POST", path="/cancel")
    p.known("DELETE", f"/v1/responses/{response}")
    time.sleep(1)
    assert p.spent() == TRUE_COST and p.held() == 0
    rows = p.router.settled(p.token, 7)  # the call, and six that looked
    assert [r["request_id"] for r in rows if Decimal(r["cost_usd"]) > 0] == [request]
    verify(p.router, p.admin)


@pytest.mark.parametrize("then, status", [("incomplete", "ok"), ("failed", "error"), ("cancelled", "cancelled")])
def test_however_it_ends_its_usage_is_billed(world, then, status):
    p = Asker(world)
    response, request = p.create(then=then)
    p.look(response, then, times=2)
    p.receipt_is(request, status)


def test_a_stream_that_is_asked_for_later_shows_its_end(world):
    p = Asker(world)
    p.bg.go.set()
    response, request = p.create()
    p.look(response, "in_progress")
    _, r = p.stream("GET", f"/v1/responses/{response}?stream=true")
    assert b"response.completed" in r.read()
    p.receipt_is(request)


def test_one_that_failed_without_a_word_costs_nothing(world):
    p = Asker(world)
    response, request = p.create(then="failed", usage="none")
    p.look(response, "failed", times=2)
    p.receipt_is(request, "error", (("prompt_tokens", 0), ("completion_tokens", 0)))
    assert p.spent() == 0


def test_one_that_is_cancelled_without_usage_costs_its_prompt(world):
    p = Asker(world)
    response, request = p.create(usage="none")
    p.look(response, "cancelled", method="POST", path="/cancel")
    row = p.receipt_is(request, "cancelled", (("completion_tokens", 0),), estimated=True)
    assert 0 < row["prompt_tokens"] < 200


def test_what_was_read_of_it_before_it_was_cancelled_is_billed(world):
    p = Asker(world)
    response, request = p.create(usage="none", then="in_progress")
    p.look(response, "in_progress")
    for n in range(2):
        p.read_half("GET", f"/v1/responses/{response}?stream=true&starting_after=0")
        wait_until("it is known what was read", 10, lambda: len([r for r in p.router.settled(p.token, n + 2) if r["status"] == "cancelled"]) > n)
    p.look(response, "cancelled", method="POST", path="/cancel")
    p.receipt_is(request, "cancelled", (("completion_tokens", 2 * SEEN),), estimated=True)


def test_one_that_is_deleted_before_its_end_costs_what_was_held(world):
    p = Asker(world)
    response, request = p.create()
    held = p.held()
    wait_until("it is deleted", 10, lambda: p.known("DELETE", f"/v1/responses/{response}"))
    row = p.receipt_is(request, "cancelled", (), estimated=True)
    assert held * Decimal("0.99") < p.spent() <= held and 0.9 * LIMIT < row["completion_tokens"] <= LIMIT * 1.1
    assert p.router.call("GET", f"/v1/responses/{response}", token=p.key).status == 404


def test_who_cannot_pay_for_it_makes_none(world):
    p = Asker(world, credit="0.00001")
    a = p.router.call("POST", "/v1/responses", p.body(max_output_tokens=None), p.key)
    assert a.status == 429 and a.error["code"] == "insufficient_quota", a
    assert not p.bg.responses and p.held() == 0


def test_it_is_its_owners(world):
    p = Asker(world)
    response, request = p.create()
    other = Person(world)
    asked = len(p.up.requests)
    for method, path in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")):
        assert p.router.call(method, f"/v1/responses/{response}{path}", token=other.key).status == 404
    for path in ("/v1/%72esponses/", "/v1//responses/", "/v1/Responses/"):  # upstream would know it
        assert other.router.call("GET", path + response, token=other.key).status == 404
        assert other.router.call("POST", path, p.body(), other.key).status == 404
    assert len(p.up.requests) == asked
    assert p.bg.responses[response]["status"] == "queued" and p.held() > 0
    p.look(response, "completed", times=2)
    p.receipt_is(request)
    assert other.spent() == 0


def test_the_member_is_once_there_and_is_a_flag(world):
    p = Asker(world)
    a = p.router.call("POST", "/v1/responses", p.body(background="yes"), p.key)
    assert a.status == 400 and a.error["param"] == "background", a
    twice = json.dumps(p.body()).replace('"background": true', '"background": false, "background": true').encode()
    a = p.router.call("POST", "/v1/responses", twice, p.key, headers={"content-type": "application/json"})
    assert a.status == 400 and a.error["param"] == "background", a
    assert not p.bg.responses and p.held() == 0


# ---- streams ----


def test_a_stream_read_to_its_end_is_billed_as_any_other(world):
    p = Asker(world)
    p.bg.go.set()
    _, r = p.stream("POST", "/v1/responses", p.body(stream=True))
    assert b"response.completed" in r.read()
    p.receipt_is(r.headers["x-request-id"])


def test_who_leaves_a_stream_pays_when_its_end_is_seen(world):
    p = Asker(world)
    request = p.read_half("POST", "/v1/responses", p.body(stream=True, metadata={"then": "in_progress"}))
    p.still_held(request)
    response = next(iter(p.bg.responses))
    p.look(response, "in_progress")
    p.still_held(request)
    p.bg.finish(response)
    p.look(response, "completed", times=2)
    p.receipt_is(request)


def test_who_leaves_and_cancels_pays_what_he_has_read(world):
    p = Asker(world)
    request = p.read_half("POST", "/v1/responses", p.body(stream=True, metadata={"usage": "none"}))
    p.still_held(request)
    p.look(next(iter(p.bg.responses)), "cancelled", method="POST", path="/cancel")
    row = p.receipt_is(request, "cancelled", (("completion_tokens", SEEN),), estimated=True)
    assert row["prompt_tokens"] > 0


def test_upstream_is_read_on_for_a_while(patient):
    p = Asker(patient)
    before = p.clients_gone()
    request = p.read_half("POST", "/v1/responses", p.body(stream=True))
    wait_until("its leaving is noticed", 10, lambda: p.clients_gone() > before)
    p.bg.go.set()
    p.receipt_is(request, "cancelled")


def test_a_stream_in_the_foreground_ends_with_its_client(world):
    p = Asker(world)
    request = p.read_half("POST", "/v1/responses", p.body(stream=True, background=False))
    p.receipt_is(request, "cancelled", (("completion_tokens", SEEN),), estimated=True)


def test_who_leaves_before_the_answer_pays_for_it(patient):
    p = Asker(patient)
    conn = http.client.HTTPConnection("127.0.0.1", p.router.port, timeout=10)
    body = json.dumps(p.body(metadata={"wait": "0.4"})).encode()
    conn.request("POST", "/v1/responses", body, {"authorization": f"Bearer {p.key}", "content-type": "application/json"})
    wait_until("it is asked for", 10, lambda: p.bg.coming)
    conn.close()
    response = wait_until("it is made", 10, lambda: next(iter(p.bg.responses), None))
    time.sleep(1.2)
    assert p.held() > 0 and p.spent() == 0
    p.look(response, "completed", times=2)
    wait_until("it is billed", 10, lambda: p.spent() == TRUE_COST)
    wait_until("nothing is held", 10, lambda: p.held() == 0)
    verify(p.router, p.admin)


# ---- what goes wrong ----


def test_one_outlives_every_service():
    with FixtureUpstream() as up:
        with Router(upstream=False, env={**up.env(), **DRAIN}) as router:
            p = Asker((up, router, router.admin()))
            response, request = p.create(then="in_progress")
            held = p.held()
            assert held > 0
            for _ in range(2):  # perhaps before meterd has heard of it
                restart(router)
                wait_until("it is held again", 10, lambda: p.held() == held)
                time.sleep(1)
            assert p.spent() == 0
            if router.mode == "processes":
                for name in ("meterd", "authsvc", "providersvc0"):
                    router.processes.pop(name).kill()
                    router.start_service(name.rstrip("0"))
                    router.wait_ready()
                    wait_until(f"{name} is back", 10, lambda: router.call("GET", f"/v1/responses/{response}", token=p.key).status == 200)
                    assert p.held() == held, name
            verify(router, router.admin())
            up.batches.finish(response)
            p.admin = router.admin()
            p.look(response, "completed", times=2)
            p.receipt_is(request)
