"""The race for the last credit: never one call too many, whatever is killed meanwhile.

A call costs exactly what is held for it (input is free, the answer is as long as the limit), so credit for a hundred calls
is credit for a hundred calls however they interleave. RACE_REPEATS: how often each race is run; 3 unless set.
"""
import concurrent.futures
import os
import threading
import time
from decimal import Decimal

import pytest
from burst import Burst, Connection, request
from router import MODE, TIME_SCALE, Events, Router, call, wait_until

REPEATS = int(os.environ.get("RACE_REPEATS", "3"))
PRICE = "100"  # USD for a million output tokens
TOKENS = 16
CALL = Decimal(PRICE) * TOKENS / 1000000
CALLS = 100
ATTEMPTS = 10000
CONNECTIONS = 64

pytestmark = pytest.mark.skipif(MODE != "processes", reason="needs several gateways and services of its own")


class Watch:
    """Reads a user's credit as fast as it can; keeps the lowest balance and the highest sum of balance and what was spent."""

    def __init__(self, router, token):
        self.router, self.token = router, token
        self.lowest = Decimal("Infinity")
        self.looks = 0
        self.failed = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.is_set():
            try:
                a = self.router.call("GET", "/api/credits", token=self.token)
            except OSError as e:
                self.failed = e
                return
            if a.status == 200:
                self.looks += 1
                self.lowest = min(self.lowest, Decimal(a.json()["balance_usd"]))
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()
        assert self.failed is None, self.failed
        assert self.lowest >= 0, self.lowest


class Racers:
    """A user of a router with two gateways who pays CALL for a call of the model `race`."""

    def __init__(self, router):
        self.router = router
        self.admin = router.admin()
        router.ok("POST", "/api/admin/prices", {"model": "race", "provider": "openai", "input": "0", "output": PRICE, "max_output": TOKENS}, self.admin)
        self.user, self.token = router.user(credit=None, admin=self.admin)
        self.key = router.new_key(self.token)
        self.paid = 0

    def grant(self, calls):
        self.router.ok("POST", f"/api/admin/users/{self.user['id']}/credits", {"amount_usd": str(CALL * calls), "note": "race"}, self.admin)

    def request(self, prompt=f"[[tokens={TOKENS}]]"):
        return request(self.key, "race", prompt, max_tokens=TOKENS)

    def all_paid(self, calls):
        """Every one of them is on the bill, and nothing else is: no credit is left and none is held."""
        self.paid += calls

        def settled():
            c = self.router.credits(self.token)
            return Decimal(c["balance_usd"]) == 0 and Decimal(c["held_usd"]) == 0

        wait_until("all calls are settled", 20, settled, every=0.05)
        spent = Decimal(self.router.credits(self.token)["spent_usd"])
        assert spent == CALL * self.paid, (spent, self.paid)
        assert len(self.router.upstream.rows()) == self.paid

    def held(self, port=None):
        """The open holds; none are seen while authsvc cannot say."""
        a = call(port or self.router.port, "GET", "/api/admin/system/holds", headers={"authorization": f"Bearer {self.admin}"})
        assert a.status in (200, 503), a
        return a.json() if a.status == 200 else {"open": -1}


@pytest.fixture
def racers():
    with Router(gateways=2) as r:
        yield Racers(r)


def only(burst, expected):
    assert dict(burst.statuses) == expected, (burst.statuses, burst.codes, burst.bodies)
    assert set(burst.codes) <= {"insufficient_quota"}, burst.codes


def test_exactly_as_many_calls_as_the_credit_bears(racers):
    for _ in range(REPEATS):
        racers.grant(CALLS)
        with Watch(racers.router, racers.token) as watch, Burst(racers.router.ports, CONNECTIONS, racers.request()) as b:
            b.run(ATTEMPTS)
        only(b, {200: CALLS, 429: ATTEMPTS - CALLS})
        assert watch.looks > 5
        racers.all_paid(CALLS)
    assert racers.router.ok("GET", "/api/admin/system/ledger", token=racers.admin)["ok"] is True


def kill_and_restart(router, name="authsvc"):
    router.processes.pop(name).kill()
    return router.start_service(name)


LONG = CALLS - 5  # calls that run during the whole race
LONG_MS = 500  # a token


def test_a_restart_of_authsvc_gives_no_credit_twice(racers):
    """Nearly all credit is held by calls that run when authsvc is killed, in the middle of the race for the rest."""
    router = racers.router
    for _ in range(REPEATS):
        racers.grant(CALLS)
        # over both gateways; streams, so that the first word says that they run
        def begin(i):
            return Events(router, racers.key, f"[[tokens={TOKENS} delay={LONG_MS}]]", model="race", max_tokens=TOKENS, port=router.ports[i % 2])

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            running = list(pool.map(begin, range(LONG)))
        assert all(e.status == 200 for e in running)
        assert racers.held()["open"] == LONG
        known = []

        def kill_and_look():
            kill_and_restart(router)
            wait_until("every hold is known again", 6, lambda: racers.held()["open"] >= LONG)
            known.append(True)

        killed = threading.Timer(0.2, kill_and_look)
        until = time.monotonic() + 2.5 * TIME_SCALE
        killed.start()
        with Watch(router, racers.token), Burst(router.ports, CONNECTIONS, racers.request(), keep={0, 503}) as b:
            b.run(10**9, stop=lambda: time.monotonic() > until)
        killed.join()
        assert known  # nothing was forgotten
        only(b, {200: CALLS - LONG, 429: b.answers() - (CALLS - LONG)})
        assert b.slowest < 3 * TIME_SCALE, b.slowest
        for e in running:
            assert list(e)[-1] == "[DONE]"
            e.close()
        racers.all_paid(CALLS)


def test_credit_of_calls_that_nobody_can_assert_is_not_given_twice(racers):
    """authsvc and providersvc die together while long calls run, and only authsvc comes back: the ledger knows what is held."""
    router = racers.router
    for _ in range(REPEATS):
        before = Decimal(router.credits(racers.token)["balance_usd"])
        calls = LONG // 5
        racers.grant(calls - int(before / CALL))
        granted = Decimal(router.credits(racers.token)["balance_usd"])
        spent = Decimal(router.credits(racers.token)["spent_usd"])
        running = [Events(router, racers.key, f"[[tokens={TOKENS} delay={2 * LONG_MS}]]", model="race", max_tokens=TOKENS, port=router.ports[i % 2]) for i in range(calls)]
        assert all(e.status == 200 for e in running)
        wait_until("the ledger holds them", 10, lambda: router.ok("GET", "/api/admin/system/ledger", token=racers.admin)["holds_open"] == calls, every=0.1)
        for name in ("providersvc0", "authsvc"):
            router.processes.pop(name).kill()
        router.start_service("authsvc")
        with Burst(router.ports, 16, racers.request(), keep={0, 502, 503}) as b:
            b.run(500)
        only(b, {429: 500})
        assert racers.held()["open"] == calls
        router.start_service("providersvc", 0)
        wait_until("its outbox settles them", 20, lambda: racers.held()["open"] == 0, every=0.1)
        for e in running:
            e.close()
        after = router.credits(racers.token)
        assert Decimal(after["held_usd"]) == 0
        assert Decimal(after["balance_usd"]) + Decimal(after["spent_usd"]) - spent == granted  # nothing was the operator's to pay
        router.wait_ready()
    assert router.ok("GET", "/api/admin/system/ledger", token=racers.admin)["ok"] is True


def test_credit_of_calls_that_wait_for_the_bill_is_not_given_twice(racers):
    """meterd stands still: calls have ended and are not settled when authsvc is killed. Only providersvc knows them."""
    router = racers.router
    racers.grant(CALLS)
    meterd = router.processes["meterd"]
    meterd.popen.send_signal(19)  # SIGSTOP
    try:
        with Burst(router.ports, CONNECTIONS, racers.request()) as b:
            b.run(LONG)
        only(b, {200: LONG})
        kill_and_restart(router)
        with Burst(router.ports, 8, racers.request(), keep={0}) as early:  # without its accounts it admits nobody
            early.run(8)
        assert dict(early.statuses) == {503: 8}, (early.statuses, early.bodies)
        # now the state can be read; the events are still in the outbox for a moment
    finally:
        meterd.popen.send_signal(18)  # SIGCONT
    wait_until("the accounts are loaded", 10, lambda: router.call("GET", "/v1/models", headers={"authorization": f"Bearer {racers.key}"}).status == 200)
    with Watch(router, racers.token), Burst(router.ports, CONNECTIONS, racers.request()) as b:
        b.run(1000)
    only(b, {200: CALLS - LONG, 429: 1000 - (CALLS - LONG)})
    racers.all_paid(CALLS)


def test_nobody_notices_a_restart_of_authsvc(racers):
    """Short calls without end on two gateways while authsvc is killed again and again: every one is answered."""
    router = racers.router
    racers.grant(10**6)
    over, back = threading.Event(), []

    def kill_often():
        try:
            for _ in range(3):
                time.sleep(0.7)
                kill_and_restart(router)
                time.sleep(1.0 * TIME_SCALE)
                back.append(wait_until("it is back", 10, lambda: racers.held()["open"] >= 0, every=0.1) or True)
        finally:
            over.set()

    killer = threading.Thread(target=kill_often)
    killer.start()
    with Burst(router.ports, 16, racers.request(), keep={0, 429, 500, 502, 503}) as b:
        b.run(10**9, stop=over.is_set)
    killer.join()
    assert len(back) == 3
    assert set(b.statuses) == {200}, (b.statuses, b.bodies)
    assert b.slowest < 3 * TIME_SCALE, b.slowest
    print(f"{b.answers()} calls, the slowest took {b.slowest:.2f} s")
    rows = len(router.upstream.rows())
    assert rows == b.answers()  # and no call was made twice
    wait_until("all is settled", 20, lambda: Decimal(router.credits(racers.token)["spent_usd"]) == CALL * rows, every=0.1)
    wait_until("nothing stays held", 5, lambda: racers.held()["open"] == 0, every=0.05)


def test_the_holds_of_a_dead_gateway_end_by_their_lease():
    """Admitted, and no providersvc had it when its gateway died: nobody will ever settle it."""
    with Router(gateways=2, env={"HOLD_GRACE_MS": "1000", "CALL_TIMEOUT_MS": "4000"}) as router:
        racers = Racers(router)
        racers.grant(CALLS)
        provider = router.processes["providersvc0"].popen
        provider.send_signal(19)
        try:
            callers = [Connection(router.port) for _ in range(3)]
            for c in callers:
                c.sock.send(racers.request())
            wait_until("they are admitted", 5, lambda: racers.held(router.ports[1])["open"] == 3)
            router.processes.pop("gateway").kill()
            assert racers.held(router.ports[1])["open"] == 3
        finally:
            provider.send_signal(18)
        wait_until("their leases are over", 20, lambda: racers.held(router.ports[1])["open"] == 0)
        for c in callers:
            c.sock.close()
        router.start_service("gateway")
        router.wait_ready()
        assert Decimal(router.credits(racers.token)["held_usd"]) == 0
