"""Batches from their file to their bill: held for when they are made, billed once when somebody sees them over."""
import http.client
import json
import os
import subprocess
import time
from decimal import ROUND_CEILING, Decimal

import pytest

from batches import USAGE, Batches
from fixtures_upstream import FixtureUpstream
from router import BIN, SERVICES, Router, wait_until

MODEL = "gpt-4o-mini"
IN, CACHED, OUT = Decimal("0.15"), Decimal("0.075"), Decimal("0.60")  # USD per 1,000,000 tokens
LIMIT, LINES = 100, 5
EDGE = "an-edge"


def cost(prompt, cached, out, percent=50):
    exact = (IN * (prompt - cached) + CACHED * cached + OUT * out) * percent / 100 / 1_000_000
    return exact.quantize(Decimal("0.000000001"), ROUND_CEILING)


TRUE_COST = cost(USAGE["input_tokens"], USAGE["input_tokens_details"]["cached_tokens"], USAGE["output_tokens"])


@pytest.fixture(scope="module")
def world():
    with FixtureUpstream() as up:
        up.batches = Batches()
        with Router(upstream=False, env=up.env()) as router:
            yield up, router, router.admin()


class Person:
    def __init__(self, world, credit="1"):
        self.up, self.router, self.admin = world
        self.user, self.token = self.router.user(credit=credit, admin=self.admin)
        self.key = self.router.new_key(self.token)
        self.credit = Decimal(credit)

    def upload(self, lines=LINES, model=MODEL, purpose="batch", limit=LIMIT):
        body = {"model": model, "messages": [{"role": "user", "content": "hello there"}], "max_tokens": limit}
        rows = [{"custom_id": f"c{i}", "method": "POST", "url": "/v1/chat/completions", "body": body} for i in range(lines)]
        data = "".join(json.dumps(r) + "\n" for r in rows)
        parts = [f'form-data; name="purpose"\r\n\r\n{purpose}', f'form-data; name="file"; filename="in.jsonl"\r\n\r\n{data}']
        form = "".join(f"--{EDGE}\r\nContent-Disposition: {p}\r\n" for p in parts) + f"--{EDGE}--\r\n"
        head = {"content-type": f"multipart/form-data; boundary={EDGE}"}
        a = self.router.call("POST", "/v1/files", form.encode(), self.key, headers=head)
        assert a.status == 200, a
        file_id = a.json()["id"]
        assert self.up.batches.files[file_id].decode() == data  # byte for byte
        wait_until("it is known whose it is", 10, lambda: self.receipt(a.headers["x-request-id"]))  # a call waits 0.3 s for that
        return file_id

    def ask(self, file_id, **metadata):
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": metadata}
        return self.router.call("POST", "/v1/batches", body, self.key)

    def create(self, file_id=None, **metadata):
        """(batch id, request id) of a new one."""
        a = self.ask(file_id or self.upload(), **metadata)
        assert a.status == 200, a
        assert a.json()["status"] == "validating"
        return a.json()["id"], a.headers["x-request-id"]

    def look(self, batch_id, times=1):
        def seen():
            a = self.router.call("GET", f"/v1/batches/{batch_id}", token=self.key)
            assert a.status in (200, 404), a  # 404: meterd has not heard of it yet, and upstream was not asked
            return a.json() if a.status == 200 else None

        for _ in range(times):
            batch = wait_until("it is known whose it is", 10, seen)
        return batch

    def credits(self):
        return {k: Decimal(v) for k, v in self.router.credits(self.token).items()}

    def held(self):
        return self.credits()["held_usd"]

    def receipt(self, request_id):
        a = self.router.call("GET", f"/api/usage/requests/{request_id}", token=self.token)
        return a.json() if a.status == 200 else None

    def settled(self, request_id):
        row = wait_until("the batch's bill", 10, lambda: self.receipt(request_id))
        wait_until("nothing is held", 10, lambda: self.held() == 0)
        return row

    def spent(self):
        return self.credit - self.credits()["balance_usd"]


def verify(router, admin):
    env = {"PATH": os.environ["PATH"], "ROUTER_URL": f"http://127.0.0.1:{router.port}", "ROUTER_TOKEN": admin}
    r = subprocess.run([str(BIN / "routerctl"), "ledger", "verify"], env=env, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r


# ---- the way of a batch ----


def test_a_batch_is_held_for_and_billed_once(world):
    p = Person(world)
    verify(p.router, p.admin)
    batch, request = p.create()
    assert p.up.batches.asked[-1] == json.dumps(
        {"input_file_id": p.up.batches.batches[batch]["input_file_id"], "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {}}
    ).encode()  # nobody has put a model or a limit into it
    held = p.held()
    assert cost(0, 0, LINES * LIMIT) < held < cost(LINES * 200, 0, LINES * LIMIT)
    assert p.look(batch)["status"] == "in_progress"
    time.sleep(1.5)  # longer than any record is on its way
    assert p.held() == held and p.spent() == 0 and p.receipt(request) is None
    verify(p.router, p.admin)
    assert p.look(batch)["status"] == "completed"
    row = p.settled(request)
    assert Decimal(row["cost_usd"]) == TRUE_COST == p.spent()
    assert row["price_percent"] == 50 and row["estimated"] is False and row["status"] == "ok"
    assert (row["prompt_tokens"], row["cached_tokens"]) == (1001, 333)
    assert (row["completion_tokens"], row["reasoning_tokens"]) == (77, 5)
    assert row["endpoint"] == "batches" and row["model"] == MODEL and Decimal(row["hold_usd"]) == held
    entries = [(e["account"], Decimal(e["amount_usd"])) for e in row["entries"]]
    assert ("revenue", TRUE_COST) in entries and ("held", -held) in entries and sum(n for _, n in entries) == 0
    p.look(batch, times=5)
    time.sleep(1)
    assert p.spent() == TRUE_COST and p.held() == 0
    rows = p.router.settled(p.token, 9)  # the file, the batch, seven looks
    assert [r["request_id"] for r in rows if Decimal(r["cost_usd"]) > 0] == [request]
    verify(p.router, p.admin)


def test_who_cannot_pay_for_it_makes_none(world):
    p = Person(world, credit="0.0001")
    file_id = p.upload()
    made = len(p.up.batches.batches)
    a = p.ask(file_id)
    assert a.status == 429 and a.error["code"] == "insufficient_quota", a
    assert len(p.up.batches.batches) == made and p.held() == 0 and p.spent() == 0


def test_holds_add_up(world):
    p = Person(world, credit="0.001")  # enough for some, by what is held for one
    file_id = p.upload()
    seen, made = [], []
    for _ in range(12):
        a = p.ask(file_id, then="in_progress")
        seen.append(a.status)
        made += [a.json()["id"]] if a.status == 200 else []
    assert seen == [200] * len(made) + [429] * (12 - len(made)) and 1 < len(made) < 12
    assert p.held() <= Decimal("0.001")
    for batch in made:
        p.up.batches.finish(batch, "failed", 0, None)
        p.look(batch)
    wait_until("nothing is held", 10, lambda: p.held() == 0)
    assert p.spent() == 0
    verify(p.router, p.admin)


def test_a_failed_batch_costs_nothing(world):
    p = Person(world)
    batch, request = p.create(then="failed")
    assert p.held() > 0
    assert p.look(batch, times=2)["status"] == "failed"
    row = p.settled(request)
    assert Decimal(row["cost_usd"]) == 0 == p.spent() and row["status"] == "error"
    assert row["prompt_tokens"] == row["completion_tokens"] == 0
    verify(p.router, p.admin)


def test_a_batch_that_is_over_when_it_is_made_holds_nothing(world):
    p = Person(world)
    a = p.ask(p.upload(), at_once="failed")
    assert a.status == 200 and a.json()["status"] == "failed"
    row = p.settled(a.headers["x-request-id"])  # though nobody looks at it any more
    assert Decimal(row["cost_usd"]) == 0 == p.spent() and row["status"] == "error"
    verify(p.router, p.admin)


@pytest.mark.parametrize("how", ["cancelled", "expired", "cancel"])
def test_what_was_done_of_an_unfinished_batch_is_billed(world, how):
    """Two of five, and upstream does not say what they used: two fifths of the estimate."""
    p = Person(world)
    batch, request = p.create(then="in_progress" if how == "cancel" else how)
    p.look(batch)
    if how == "cancel":
        assert p.router.ok("POST", f"/v1/batches/{batch}/cancel", token=p.key)["status"] == "cancelling"
    assert p.held() > 0
    assert p.look(batch)["status"] == ("expired" if how == "expired" else "cancelled")
    row = p.settled(request)
    assert row["estimated"] is True and row["status"] == "cancelled"
    assert row["completion_tokens"] == LINES * LIMIT * 2 // 5 and row["prompt_tokens"] > 0
    assert Decimal(row["cost_usd"]) == cost(row["prompt_tokens"], 0, row["completion_tokens"]) == p.spent()
    verify(p.router, p.admin)


def test_a_completed_batch_without_usage_costs_its_estimate(world):
    p = Person(world)
    batch, request = p.create(usage="none")
    held = p.held()
    p.look(batch, times=2)
    row = p.settled(request)
    assert row["estimated"] is True and row["completion_tokens"] == LINES * LIMIT
    assert 0 < Decimal(row["cost_usd"]) == p.spent() <= held


# ---- whose it is ----


def test_batches_and_files_are_their_owners(world):
    p, other = Person(world), Person(world)
    file_id = p.upload()
    batch, request = p.create(file_id)
    made = len(p.up.batches.batches)
    a = other.ask(file_id)
    assert a.status == 404, a
    for method, path in (("GET", f"/v1/batches/{batch}"), ("POST", f"/v1/batches/{batch}/cancel"), ("GET", f"/v1/files/{file_id}")):
        assert p.router.call(method, path, token=other.key).status == 404
    assert len(p.up.batches.batches) == made and p.up.batches.batches[batch]["status"] == "validating"
    assert other.held() == 0 and p.held() > 0
    p.look(batch, times=2)
    assert Decimal(p.settled(request)["cost_usd"]) == p.spent() > 0 == other.spent()


def test_only_a_file_that_was_read_makes_a_batch(world):
    p = Person(world)
    made = len(p.up.batches.batches)
    a = p.ask(p.upload(purpose="user_data"))
    assert a.status == 400 and a.error["param"] == "input_file_id", a
    a = p.ask("file-nobodys")
    assert a.status in (400, 404), a
    a = p.router.call("POST", "/v1/batches", {"endpoint": "/v1/chat/completions", "completion_window": "24h"}, p.key)
    assert a.status == 400 and a.error["param"] == "input_file_id", a
    assert len(p.up.batches.batches) == made and p.held() == 0


# ---- what goes wrong ----


def test_who_leaves_while_a_batch_is_made_pays_for_it(world):
    p = Person(world)
    file_id = p.upload()
    body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"wait": "1"}}
    conn = http.client.HTTPConnection("127.0.0.1", p.router.port, timeout=10)
    conn.request("POST", "/v1/batches", json.dumps(body).encode(), {"authorization": f"Bearer {p.key}", "content-type": "application/json"})
    wait_until("it is asked for", 10, lambda: file_id in p.up.batches.coming)
    assert p.held() > 0
    conn.close()

    def made():
        return next((b["id"] for b in list(p.up.batches.batches.values()) if b["input_file_id"] == file_id), None)

    batch = wait_until("it is made", 10, made)
    time.sleep(1)
    assert p.held() > 0 and p.spent() == 0
    p.look(batch, times=2)
    wait_until("it is billed", 10, lambda: p.spent() == TRUE_COST)
    wait_until("nothing is held", 10, lambda: p.held() == 0)
    verify(p.router, p.admin)


def restart(router):
    """Everything dies, one after the other, and comes again."""
    for name in list(router.processes):
        router.processes.pop(name).kill()
    for name in SERVICES if router.mode == "processes" else ("openai-router",):
        router.start_service(name)
    router.wait_ready()


def test_a_batch_outlives_every_service():
    with FixtureUpstream() as up:
        up.batches = Batches()
        with Router(upstream=False, env=up.env()) as router:
            p = Person((up, router, router.admin()))
            batch, request = p.create(then="in_progress")
            held = p.held()
            restart(router)  # perhaps before meterd has heard of it
            assert held > 0
            wait_until("it is held again", 10, lambda: p.held() == held)  # who holds it says so soon after admission is there
            time.sleep(1)
            restart(router)
            wait_until("it is held again", 10, lambda: p.held() == held)
            assert p.spent() == 0
            if router.mode == "processes":
                for name in [n for n in router.processes if n != "gateway"]:
                    router.processes.pop(name).kill()
                    router.start_service(name.rstrip("0"))
                    router.wait_ready()
                    wait_until(f"{name} is back", 10, lambda: router.call("GET", f"/v1/batches/{batch}", token=p.key).status == 200)
                    assert p.held() == held, name
            verify(router, router.admin())
            up.batches.finish(batch)
            assert p.look(batch, times=2)["status"] == "completed"
            assert Decimal(p.settled(request)["cost_usd"]) == TRUE_COST == p.spent()
            verify(router, router.admin())
