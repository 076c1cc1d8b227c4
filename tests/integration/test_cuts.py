"""Every cut point of a stream: whoever cuts it, and wherever, what was delivered is billed, and nothing else."""
import asyncio
import json
import time
from decimal import Decimal

import pytest

from router import MODE, TIME_SCALE, Router, wait_until

WORDS = 197  # with the role, the finish and the closing event: 200 events
EVENTS = WORDS + 3
PROCESSES = pytest.mark.skipif(MODE != "processes", reason="needs services of their own")


def tally(words):
    """What the router counts for the first so many words of the fake upstream, which says t0 t1 t2 …"""
    n = len(" ".join(f"t{i}" for i in range(words)))
    return (5 * n + 19) // 20


class Client:
    """A client that reads a stream up to its event `after` and leaves; None: it stays to the end."""

    def __init__(self, router, key, name, prompt, after=None):
        self.router, self.key, self.name, self.prompt, self.after = router, key, name, prompt, after
        self.events, self.words, self.text, self.left_at = 0, 0, b"", None

    def take(self, line):
        if not line.startswith(b"data:"):
            return
        self.events += 1
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:]).get("choices", []):
                self.words += bool(choice["delta"].get("content"))

    async def upstream_has_it(self):
        """Who leaves at once leaves a call that has begun. Nobody else calls meanwhile: see run()."""
        end = time.monotonic() + 10 * TIME_SCALE
        while self.router.upstream.stats()["requests"] == self.before:
            assert time.monotonic() < end, "it does not come to the upstream"
            await asyncio.sleep(0.02)

    async def run(self):
        self.before = self.router.upstream.stats()["requests"] if self.after == 0 else None
        body = {"model": "gpt-4o-mini", "stream": True, "user": self.name, "messages": [{"role": "user", "content": self.prompt}]}
        data = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.router.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n")
        writer.write(f"authorization: Bearer {self.key}\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()
        if self.after == 0:
            await self.upstream_has_it()
        while self.after is None or self.events < self.after:
            line = await reader.readline()
            if not line:
                break
            self.text += line
            self.take(line)
        self.left_at = time.monotonic()
        writer.transport.abort()


def run(*clients, limit=60):
    async def all_of_them():
        for c in clients:
            if c.after == 0:
                await c.run()
        await asyncio.wait_for(asyncio.gather(*(c.run() for c in clients if c.after != 0)), limit * TIME_SCALE)

    asyncio.run(all_of_them())


class Bills:
    """What upstream wrote of each client's call, and its row in the log."""

    def __init__(self, router, token, clients, seconds=20):
        rows = {r["request_id"]: r for r in router.settled(token, len(clients), seconds=seconds)}
        self.rows, self.wrote = {}, {}
        assert len(rows) == len(clients)
        names = {c.name for c in clients}
        wait_until("upstream's journal", 10, lambda: {j["user"] for j in router.upstream.rows()} >= names)
        for j in router.upstream.rows():
            if j["user"] in names:
                self.rows[j["user"]] = rows[j["request_id"]]
                self.wrote[j["user"]] = j
        assert len(self.rows) == len(clients)

    def of(self, client):
        return self.rows[client.name], self.wrote[client.name]


def check_ledger(router, token, credit=10):
    rows = router.settled(token, 1)
    spent = sum(Decimal(r["cost_usd"]) for r in rows)
    wait_until("credit follows", 10, lambda: Decimal(router.credits(token)["balance_usd"]) == credit - spent)
    assert router.ok("GET", "/api/admin/system/ledger", token=router.admin())["ok"] is True


@pytest.fixture(scope="module")
def cancelling():
    with Router(env={"DISCONNECT": "cancel", "MAX_CONNECTIONS": "600", "UPSTREAM_HEALTH": "ignore"}) as r:
        yield r


@pytest.fixture(scope="module")
def draining():
    with Router(env={"DISCONNECT": "drain", "MAX_CONNECTIONS": "600", "UPSTREAM_HEALTH": "ignore"}) as r:
        yield r


# ---- the client leaves ----


@pytest.mark.parametrize("usage", ["", "no-usage"])
def test_cancel_at_every_event(cancelling, usage):
    """Upstream is silent after the event at which the client leaves: delivered, written and billed are the same."""
    _, token = cancelling.user()
    key = cancelling.new_key(token)
    clients = [Client(cancelling, key, f"c{usage}0", f"[[tokens={WORDS} {usage} hang=headers]]", 0)]
    clients += [
        Client(cancelling, key, f"c{usage}{i}", f"[[tokens={WORDS} delay=1 {usage} hang=stream at={i - 1}]]", i) for i in range(2, WORDS + 2)
    ]
    run(*clients)
    bills = Bills(cancelling, token, clients)
    for c in clients:
        row, wrote = bills.of(c)
        assert c.words == max(0, c.after - 1) == int(wrote["chunks"]), (c.name, row, wrote)
        assert row["status"] == "cancelled", (c.name, row)
        assert row["completion_tokens"] == tally(c.words), (c.name, row)
        assert (row["prompt_tokens"] > 0) == (c.words > 0)
        assert row["estimated"] == (c.words > 0)
    check_ledger(cancelling, token)


@pytest.mark.parametrize("usage", ["", "no-usage"])
def test_cancel_in_a_flowing_stream(cancelling, usage):
    """Upstream goes on: billed is what it had written when it was stopped, but for what was on the wire just then."""
    _, token = cancelling.user()
    key = cancelling.new_key(token)
    clients = [Client(cancelling, key, f"f{usage}{i}", f"[[tokens={WORDS} delay=30 {usage}]]", i) for i in range(1, EVENTS + 1)]
    run(*clients)
    bills = Bills(cancelling, token, clients)
    near = 0
    for c in clients:
        row, wrote = bills.of(c)
        written = int(wrote["chunks"])
        if wrote["outcome"] == "ok" and not usage and not row["estimated"]:
            assert row["completion_tokens"] == WORDS, (c.name, row)
            continue
        assert tally(c.words) <= row["completion_tokens"] <= tally(written), (c.name, c.words, row, wrote)
        assert row["completion_tokens"] > 0 or c.words == 0
        near += tally(max(0, written - 1)) <= row["completion_tokens"] <= tally(c.words + 1)
    # A chunk is 30 ms. Who notices later on a busy machine is billed for no more than was written; most notice in time.
    assert near > len(clients) / 4, near
    check_ledger(cancelling, token)


def test_drain_at_every_event(draining):
    """Whenever the client leaves, the bill is upstream's own, to the token."""
    _, token = draining.user()
    key = draining.new_key(token)
    clients = [Client(draining, key, f"d{i}", f"[[tokens={WORDS} prompt={1000 + i} cached={i} delay=20]]", i) for i in range(EVENTS + 1)]
    run(*clients)
    bills = Bills(draining, token, clients)
    for c in clients:
        row, wrote = bills.of(c)
        assert wrote["outcome"] == "ok" and int(wrote["completion"]) == WORDS
        assert row["completion_tokens"] == WORDS, (c.name, row)
        assert row["prompt_tokens"] == int(wrote["prompt"]) == 1000 + c.after
        assert row["cached_tokens"] == c.after
        assert row["estimated"] is False
        assert row["status"] in ("cancelled", "ok")
    assert sum(bills.of(c)[0]["status"] == "cancelled" for c in clients) > EVENTS / 4  # the others were slower than the stream
    check_ledger(draining, token)


def test_drain_without_usage_bills_what_was_produced(draining):
    _, token = draining.user()
    key = draining.new_key(token)
    clients = [Client(draining, key, f"n{i}", f"[[tokens={WORDS} no-usage delay=5]]", i) for i in range(EVENTS + 1)]
    run(*clients)
    bills = Bills(draining, token, clients)
    for c in clients:
        row, wrote = bills.of(c)
        assert int(wrote["chunks"]) == WORDS
        assert row["completion_tokens"] == tally(WORDS) and row["prompt_tokens"] > 0, (c.name, row)
        assert row["estimated"] is True
    check_ledger(draining, token)


def test_drain_frees_the_callers_place_at_once(draining):
    _, token = draining.user()
    key = draining.new_key(token, concurrency=1)
    run(Client(draining, key, "p1", "[[tokens=100 delay=100]]", 5))
    wait_until("the place is free", 5, lambda: draining.chat(key, "[[tokens=1]]").status == 200)
    assert draining.upstream.stats()["open_streams"] > 0, "at once, not when the stream was over"
    rows = draining.settled(token, 2, seconds=20)
    assert sorted(r["completion_tokens"] for r in rows) == [1, 100]


@pytest.mark.parametrize("policy", ["cancelling", "draining"])
def test_a_refused_call_costs_nothing(policy, request):
    router = request.getfixturevalue(policy)
    _, token = router.user()
    key = router.new_key(token)
    refusals = ["status=500", "status=429", "status=400", "cut=headers", "reset=headers", "error-event=0", "status=503 first=300"]
    clients = [Client(router, key, f"r{policy}{i}", f"[[tokens=9 {word}]]", 0 if "first" in word else None) for i, word in enumerate(refusals)]
    run(*clients)
    bills = Bills(router, token, clients)
    for c in clients:
        row, _ = bills.of(c)
        assert row["completion_tokens"] == row["prompt_tokens"] == 0 and Decimal(row["cost_usd"]) == 0, (c.prompt, row)
    check_ledger(router, token)


# ---- upstream breaks off ----


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_upstream_breaks_off_at_every_event(cancelling, how):
    _, token = cancelling.user()
    key = cancelling.new_key(token)
    # A reset overtakes what has been sent a moment ago: five words of 20 ms.
    delay = 20 if how == "reset" else 2
    clients = [Client(cancelling, key, f"{how}{k}", f"[[tokens={WORDS + 1} delay={delay} {how}={k}]]") for k in range(WORDS + 1)]
    run(*clients)
    bills = Bills(cancelling, token, clients)
    for k, c in enumerate(clients):
        row, wrote = bills.of(c)
        assert int(wrote["chunks"]) == k
        assert row["status"] in ("truncated", "error") and b"[DONE]" not in c.text, (c.name, row)
        # What a reset overtakes in the sockets has reached nobody.
        assert tally(c.words) == row["completion_tokens"], (c.name, c.words, row)
        assert c.words == k if how == "cut" else k - 5 <= c.words <= k, (c.name, c.words)
        assert (row["prompt_tokens"] > 0) == (c.words > 0)
    check_ledger(cancelling, token)


# ---- credit ----


def test_the_credit_ends_an_answer(cancelling):
    """Upstream that keeps the limit, and one that does not: both answers end properly, and neither costs more than there was."""
    for word, words in (("", 40), ("nolimit", None)):
        _, token = cancelling.user(credit="0.000033")  # 1 token of the prompt is 0.00000015, one of the answer 0.0000006
        key = cancelling.new_key(token)
        c = Client(cancelling, key, f"credit{word}", f"[[tokens=5000 {word}]]")
        run(c)
        head, _, body = c.text.partition(b"\r\n\r\n")
        limit = [line for line in head.lower().split(b"\r\n") if line.startswith(b"x-router-output-limit: ")]
        assert limit and limit[0].endswith(b"; reason=credit"), head
        tokens = int(limit[0].split()[1].rstrip(b";"))
        assert 16 <= tokens < 60
        assert b'"finish_reason":"length"' in body and b": the answer was limited to " in body, body[-900:]
        tail = body[body.rindex(b": the answer was limited") :]
        assert b"tokens by the account's credit\n\n" in tail and b"data: [DONE]\n\n" in tail, tail
        if words:
            assert f"limited to {tokens} tokens".encode() in tail and c.words == tokens
        (row,) = cancelling.settled(token, 1)
        assert row["status"] == "ok" and row["estimated"] == (word == "nolimit"), row
        assert 0 < Decimal(row["cost_usd"]) <= Decimal("0.000033")
        assert Decimal(cancelling.credits(token)["balance_usd"]) >= 0


def test_a_hold_grows_with_its_call(cancelling):
    """Upstream does not keep the request's own limit: authsvc, which has more credit to hold, is asked, and the answer stays whole."""
    _, token = cancelling.user()
    key = cancelling.new_key(token)
    a = cancelling.call("POST", "/v1/chat/completions", {"model": "gpt-4o-mini", "stream": True, "max_tokens": 20, "messages": [{"role": "user", "content": "[[tokens=3000 nolimit]]"}]}, key)
    assert a.body.count(b'"content":" t') == 2999 and a.body.endswith(b"data: [DONE]\n\n") and b"limited" not in a.body
    (row,) = cancelling.settled(token, 1)
    assert row["status"] == "ok" and row["completion_tokens"] == 3000 and row["estimated"] is False
    check_ledger(cancelling, token)


def test_a_request_that_the_credit_bears_is_left_alone(cancelling):
    _, token = cancelling.user()
    key = cancelling.new_key(token)
    body = b'{ "model":"gpt-4o-mini" ,"messages":[{"role":"user","content":"[[tokens=2]]"}], "temperature":1.0 }'
    a = cancelling.call("POST", "/v1/chat/completions", body, key, headers={"content-type": "application/json"})
    assert a.status == 200 and "x-router-output-limit" not in a.headers
    assert cancelling.upstream.last().body == body


# ---- a replica is killed ----


def kill_in_streams(router, heir):
    """Streams of many ages; their providersvc is killed; whoever finds its outbox bills what was delivered."""
    _, token = router.user()
    key = router.new_key(token)
    ages = [0.05 * i for i in range(60)]  # s before the kill
    delay, whole, clients = 0.02, 240, []

    async def one(c, start):
        await asyncio.sleep(start)
        await c.run()

    async def play():
        began = time.monotonic()
        tasks = []
        for i, age in enumerate(ages):
            c = Client(router, key, f"k{heir}{i}", f"[[tokens={whole} delay={int(delay * 1000)}]]")
            clients.append(c)
            tasks.append(asyncio.create_task(one(c, max(ages) - age)))
        await asyncio.sleep(max(ages) + 0.1 - (time.monotonic() - began))
        router.processes.pop("providersvc0").kill()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30 * TIME_SCALE)

    asyncio.run(play())
    if heir == "itself":
        router.start_service("providersvc", 0)
    served = [j for j in router.upstream.rows() if j["user"].startswith(f"k{heir}")]

    def rows_of_all():  # what never came upstream has a row as well
        rows = {r["request_id"]: r for r in router.settled(token, len(served), seconds=25)}
        return rows if all(j["request_id"] in rows for j in served) else None

    rows = wait_until("every call has its row", 25, rows_of_all)
    names = {c.name: c for c in clients}
    hold = Decimal("0.009")  # of each call: 16,384 tokens of output
    killed = []
    for j in served:
        c, row = names[j["user"]], rows[j["request_id"]]
        second = int(1.5 / delay * TIME_SCALE)  # tokens of the last second, and a bit
        if row["status"] == "ok":  # it ran on another replica
            assert heir == "another" and row["completion_tokens"] == c.words == whole
            continue
        killed.append(c)
        if c.words == 0:
            assert row["completion_tokens"] <= tally(int(j["chunks"])), (row, j)
            continue
        assert row["status"] == "truncated" and row["estimated"] is True, (c.words, row)
        assert tally(max(1, c.words - second)) <= row["completion_tokens"] <= tally(int(j["chunks"])), (c.words, row, j)
        assert row["prompt_tokens"] > 0
        assert 0 < Decimal(row["cost_usd"]) < hold
    assert sum(c.words > 0 for c in killed) > 10
    assert len([c for c in killed if c.words > 1.5 / delay]) > 3


@PROCESSES
def test_a_killed_replica_bills_what_it_delivered_after_its_restart():
    with Router() as r:
        kill_in_streams(r, "itself")


@PROCESSES
def test_a_killed_replica_is_billed_by_its_heir():
    with Router(providers=2) as r:
        kill_in_streams(r, "another")
