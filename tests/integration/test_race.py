"""The race for the last credit: never one call too many, whatever is killed meanwhile.

A call costs exactly what is held for it (input is free, the answer is as long as the limit), so credit for a hundred calls
is credit for a hundred calls however they interleave. RACE_REPEATS: how often each race is run; 3 unless set.
"""
import os
import threading
import time
from decimal import Decimal

import pytest
from burst import Burst, Connection
from racers import CALL, TOKENS, Racers, Watch, kill_and_restart, only
from router import MODE, TIME_SCALE, Router, wait_until

REPEATS = int(os.environ.get("RACE_REPEATS", "3"))
CALLS = 100
ATTEMPTS = 10000
CONNECTIONS = 64

pytestmark = pytest.mark.skipif(MODE != "processes", reason="needs several gateways and services of its own")


@pytest.fixture
def racers():
    with Router(gateways=2) as r:
        yield Racers(r)


def test_exactly_as_many_calls_as_the_credit_bears(racers):
    for _ in range(REPEATS):
        racers.grant(CALLS)
        with Watch(racers.router, racers.token) as watch, Burst(racers.router.ports, CONNECTIONS, racers.request()) as b:
            b.run(ATTEMPTS)
        only(b, {200: CALLS, 429: ATTEMPTS - CALLS})
        assert watch.looks > 5
        racers.all_paid(CALLS)
    assert racers.router.ok("GET", "/api/admin/system/ledger", token=racers.admin)["ok"] is True


LONG = CALLS - 5  # calls that run during the whole race
LONG_MS = 500  # a token


def test_a_restart_of_authsvc_gives_no_credit_twice(racers):
    """Nearly all credit is held by calls that run when authsvc is killed, in the middle of the race for the rest."""
    router = racers.router
    for _ in range(REPEATS):
        racers.grant(CALLS)
        running = racers.streams(LONG, LONG_MS)
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
        running = racers.streams(calls, 2 * LONG_MS)
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
