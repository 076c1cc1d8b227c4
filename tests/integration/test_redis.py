"""Several authsvcs that share one Redis decide as one: limits, credit and budgets are kept exactly, whoever is asked and whatever is
killed. In mode "launcher" one authsvc with REDIS_URL keeps them as well."""
import concurrent.futures
import contextlib
import os
import subprocess
import threading
import time
from decimal import Decimal

import pytest

from burst import Burst
from racers import CALL, TOKENS, Racers, Watch, kill_and_restart, only
from redis_server import Redis
from router import BIN, MODE, TIME_SCALE, Router, call, wait_until

REPLICAS = 3
CALLS = 40  # that a race's credit bears
LONG = CALLS - 5  # of them, those that run during the whole race
LONG_MS = 400  # a token of theirs: 6 s a call
BACK_S = 3  # until all is as before when Redis is back
BOUND_S = 4  # the longest that a call waits for an answer while Redis is away

PROCESSES = pytest.mark.skipif(MODE != "processes", reason="needs several authsvcs")


@contextlib.contextmanager
def sharing(redis, paired=True, **env):
    """A router whose authsvcs share that Redis. paired: a gateway for each of them; else one gateway that asks all."""
    many = {"authsvcs": REPLICAS, "gateways": REPLICAS if paired else 1, "paired": paired} if MODE == "processes" else {}
    with Router(env={"REDIS_URL": redis.url, **env}, **many) as r:
        if MODE == "processes" and not paired:
            wait_until("all authsvcs take calls", 10, lambda: replicas(r) == REPLICAS)
        yield r


def replicas(router):
    return router.metric("router_peer_instances", service="gateway", peer="authsvc")


@pytest.fixture(scope="module", params=["paired", "spread"] if MODE == "processes" else ["one"])
def world(request):
    """(router, administrator's token), for what breaks nothing."""
    with Redis() as redis, sharing(redis, paired=request.param == "paired") as r:
        yield r, r.admin()


def ask(port, key, model="gpt-4o-mini", prompt="[[tokens=1]]", **fields):
    """One chat by that gateway."""
    return call(port, "POST", "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}, {"authorization": f"Bearer {key}"})


def race(port, key):
    """One call that costs CALL."""
    return ask(port, key, "race", f"[[tokens={TOKENS}]]", max_tokens=TOKENS)


def volley(router, key, n, threads, prompt="[[tokens=1]]", **fields):
    """n calls over all gateways: (their answers, how long it took)."""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda i: ask(router.ports[i % len(router.ports)], key, prompt=prompt, **fields), range(n)))
    return answers, time.monotonic() - began


def passed(answers, kind):
    """Those that were let through; the others were refused by that limit."""
    good = [a for a in answers if a.status == 200]
    for a in answers:
        if a.status != 200:
            assert a.status == 429 and a.error["code"] == "rate_limit_exceeded" and a.error["type"] == kind, a
            assert 1 <= int(a.headers["retry-after"]) <= 60, a.headers
    return good


def all_well(racers):
    """Nobody paid but the caller, nothing is held, and the ledger says so."""
    router = racers.router
    wait_until("nothing stays held", 10, lambda: [racers.held(p)["open"] for p in router.ports] == [0] * len(router.ports), every=0.05)
    assert router.ok("GET", "/api/admin/system/ledger", token=racers.admin)["ok"] is True
    assert router.metric("router_meter_overage_nano_total") == 0


# ---- limits ----


def test_requests_a_minute_are_counted_once(world):
    router, admin = world
    limit = 60
    key = router.new_key(router.user(admin=admin)[1], rpm=limit)
    answers, took = volley(router, key, 200, 16)
    good = passed(answers, "requests")
    assert limit <= len(good) <= limit + limit * took / 60, (len(good), took)
    assert all(a.headers["x-ratelimit-limit-requests"] == str(limit) for a in answers)
    left = [int(a.headers["x-ratelimit-remaining-requests"]) for a in good]
    assert set(left) == set(range(limit)), sorted(left)  # each saw what the others, wherever they were admitted, had left
    assert all(int(a.headers["x-ratelimit-remaining-requests"]) == 0 for a in answers if a.status == 429)


def test_tokens_a_minute_are_counted_once(world):
    router, admin = world
    _, token = router.user(admin=admin)
    slow = {"prompt": "[[tokens=1 first=3000]]", "max_tokens": 100}  # none of them has ended, and told what it used, before all are decided
    (probe,), _ = volley(router, router.new_key(token, tpm=10**6), 1, 1, **{**slow, "prompt": "[[tokens=1 first=1000]]"})
    each = 10**6 - int(probe.headers["x-ratelimit-remaining-tokens"])
    limit = each * 10 + each // 2
    answers, took = volley(router, router.new_key(token, tpm=limit), 48, 48, **slow)
    good = passed(answers, "tokens")
    assert limit - each < len(good) * each <= limit * (1 + took / 60), (len(good), each, limit, took)
    assert all(0 <= int(a.headers["x-ratelimit-remaining-tokens"]) < limit for a in good)


def test_no_more_calls_at_once_than_the_key_may(world):
    router, admin = world
    _, token = router.user(admin=admin)
    limit = 5
    key = router.new_key(token, concurrency=limit)
    answers, _ = volley(router, key, 200, 24, "[[tokens=1 first=100]]", user=key[-8:])
    good = [a for a in answers if a.status == 200]
    refused = [a for a in answers if a.status != 200]
    assert len(good) > limit and refused and all(a.status == 429 for a in refused), (len(good), refused[:3])
    spans = [(int(r["end_ms"]) - int(r["took_ms"]), int(r["end_ms"])) for r in router.upstream.rows() if r["user"] == key[-8:]]
    assert len(spans) == len(good)
    at_once = [sum(a <= start < b for a, b in spans) for start, _ in spans]
    assert max(at_once) == limit, at_once


# ---- credit ----


def test_exactly_as_many_calls_as_the_credit_bears(world):
    racers = Racers(world[0])
    racers.grant(CALLS)
    with Watch(racers.router, racers.token) as watch, Burst(racers.router.ports, 32, racers.request()) as b:
        b.run(1000)
    only(b, {200: CALLS, 429: 1000 - CALLS})
    assert watch.looks > 5
    racers.all_paid(CALLS)
    all_well(racers)


def test_exactly_as_many_calls_as_the_budget_bears(world):
    racers = Racers(world[0])
    racers.grant(CALLS)
    key = racers.router.new_key(racers.token, budget_usd=str(CALL * CALLS / 2))
    with Burst(racers.router.ports, 32, racers.request(key=key)) as b:
        b.run(500)
    only(b, {200: CALLS // 2, 429: 500 - CALLS // 2})
    wait_until("the bill", 10, lambda: Decimal(racers.router.credits(racers.token)["spent_usd"]) == CALL * CALLS / 2)
    all_well(racers)


@PROCESSES
def test_every_authsvc_tells_what_all_of_them_hold():
    with Redis() as redis, sharing(redis) as router:
        racers = Racers(router)
        racers.grant(CALLS)
        running = racers.streams(REPLICAS, LONG_MS)  # one by each
        ids = {e.headers["x-request-id"] for e in running}
        for port in router.ports:
            held = racers.held(port)
            assert held["open"] == REPLICAS and {h["request_id"] for h in held["data"]} == ids, held
            assert Decimal(held["held_usd"]) == CALL * REPLICAS
            seen = call(port, "GET", "/api/credits", headers={"authorization": f"Bearer {racers.token}"}).json()
            assert Decimal(seen["held_usd"]) == CALL * REPLICAS, seen
        finish(running)
        all_well(racers)


def test_a_hold_grows_with_its_call_whoever_is_asked(world):
    """providersvc asks any authsvc for a larger hold than the one that another gave."""
    router, admin = world
    _, token = router.user(admin=admin)
    key = router.new_key(token)
    answers, _ = volley(router, key, 6, 3, "[[tokens=2000 nolimit]]", stream=True, max_tokens=20)
    for a in answers:
        assert a.status == 200 and a.body.count(b'"content":" t') == 1999 and a.body.endswith(b"data: [DONE]\n\n") and b"limited" not in a.body
    rows = router.settled(token, len(answers))
    assert all(r["status"] == "ok" and r["completion_tokens"] == 2000 for r in rows)
    _, token = router.user(credit="0.000033", admin=admin)
    answers, _ = volley(router, router.new_key(token), 1, 1, "[[tokens=5000 nolimit]]", stream=True)
    assert b'"finish_reason":"length"' in answers[0].body and b": the answer was limited to " in answers[0].body, answers
    (row,) = router.settled(token, 1)
    assert 0 < Decimal(row["cost_usd"]) <= Decimal("0.000033") and Decimal(router.credits(token)["balance_usd"]) >= 0


# ---- an authsvc comes and goes ----


def finish(running):
    for e in running:
        assert list(e)[-1] == "[DONE]"
        e.close()


def race_for_the_rest(racers, seconds=2):
    """All of its credit but what five calls cost is held by calls that run: five pass, whatever happens meanwhile."""
    until = time.monotonic() + seconds * TIME_SCALE
    with Watch(racers.router, racers.token), Burst(racers.router.ports, 32, racers.request(), keep={0, 503}) as b:
        b.run(10**9, stop=lambda: time.monotonic() > until)
    return b


@PROCESSES
def test_a_killed_authsvc_takes_no_hold_with_it():
    with Redis() as redis, sharing(redis, paired=False) as router:
        racers = Racers(router)
        racers.grant(CALLS)
        running = racers.streams(LONG, LONG_MS)
        killed = threading.Timer(0.3, lambda: router.processes.pop("authsvc1").kill())
        killed.start()
        b = race_for_the_rest(racers)
        killed.join()
        only(b, {200: CALLS - LONG, 429: b.answers() - (CALLS - LONG)})
        assert b.slowest < BOUND_S * TIME_SCALE, b.slowest
        finish(running)
        racers.all_paid(CALLS)
        all_well(racers)


@PROCESSES
def test_nobody_notices_that_authsvcs_are_killed():
    """Calls without end while one after the other is killed and started again: every one is answered, made once and billed once."""
    with Redis() as redis, sharing(redis, paired=False) as router:
        racers = Racers(router)
        racers.grant(10**5)
        over = threading.Event()

        def kill_often():
            try:
                for name in ("authsvc", "authsvc1", "authsvc2"):
                    time.sleep(0.5)
                    router.processes.pop(name).kill()
                    time.sleep(0.5)
                    router.start_service("authsvc", int(name[7:] or 0))
                    wait_until(f"{name} is back", 10, lambda: replicas(router) == REPLICAS, every=0.1)
            finally:
                over.set()

        with concurrent.futures.ThreadPoolExecutor(1) as pool, Burst(router.ports, 16, racers.request(), keep={0, 429, 500, 502, 503}) as b:
            killer = pool.submit(kill_often)
            b.run(10**9, stop=over.is_set)
            killer.result()
        assert set(b.statuses) == {200}, (b.statuses, b.bodies)
        assert b.slowest < BOUND_S * TIME_SCALE, b.slowest
        rows = b.answers()
        assert len(router.upstream.rows()) == rows
        wait_until("all is settled", 20, lambda: Decimal(router.credits(racers.token)["spent_usd"]) == CALL * rows, every=0.1)
        all_well(racers)


@PROCESSES
@pytest.mark.parametrize("how", ["killed", "new"])
def test_an_authsvc_that_starts_shares_at_once(how):
    """One that is started again knows what the others gave; so does one that was not there before."""
    with Redis() as redis, sharing(redis) as router:
        racers = Racers(router)
        racers.grant(CALLS)
        key = router.new_key(racers.token, rpm=REPLICAS)
        if how == "new":
            assert router.processes.pop("authsvc2").stop() == 0
        running = racers.streams(2, LONG_MS) if how == "killed" else []
        assert [race(router.ports[0], key).status for _ in range(REPLICAS)] == [200] * REPLICAS
        if how == "killed":
            kill_and_restart(router)
            router.processes.pop("authsvc2").kill()
        router.start_service("authsvc", 2)
        router.wait_ready()
        for port in router.ports:
            assert racers.held(port)["open"] >= len(running)
            a = race(port, key)
            assert a.status == 429 and a.error["type"] == "requests", a  # the minute's calls are used up, by whomever
        left = CALLS - len(running) - REPLICAS
        with Burst(router.ports, 12, racers.request(), keep={0, 503}) as b:
            b.run(300)
        only(b, {200: left, 429: 300 - left})
        finish(running)
        racers.all_paid(CALLS)
        all_well(racers)


@PROCESSES
def test_one_more_under_load():
    with Redis() as redis, Router(env={"REDIS_URL": redis.url}, authsvcs=4) as router:
        router.processes.pop("authsvc3").stop()
        wait_until("three take calls", 10, lambda: replicas(router) == 3)
        racers = Racers(router)
        racers.grant(10**5)
        began = threading.Timer(0.5, lambda: router.start_service("authsvc", 3))
        began.start()
        seen = []
        until = time.monotonic() + 15 * TIME_SCALE

        def enough():
            if int(time.monotonic() * 5) != (seen[-1] if seen else 0):  # a look five times a second
                seen.append(int(time.monotonic() * 5))
                return replicas(router) == 4 or time.monotonic() > until
            return False

        with Burst(router.ports, 8, racers.request(), keep={0, 429, 503}) as b:
            b.run(10**9, stop=enough)
            b.run(200)
        began.join()
        assert replicas(router) == 4
        assert set(b.statuses) == {200}, (b.statuses, b.bodies)
        wait_until("all is settled", 20, lambda: Decimal(router.credits(racers.token)["spent_usd"]) == CALL * b.answers(), every=0.1)
        all_well(racers)


# ---- Redis goes ----


def redis_check(router):
    """What each authsvc's health says of Redis."""
    return [c["ok"] for s in router.ok("GET", "/health/detailed")["services"] if s["service"] == "authsvc" for c in s["checks"] if c["name"] == "redis"]


def refused(router, key):
    """A call by each gateway is refused in time, with a word on when to come again."""
    for port in router.ports:
        began = time.monotonic()
        a = race(port, key)
        assert a.status == 503 and int(a.headers["retry-after"]) >= 1, (a, a.headers)
        assert set(a.error) == {"message", "type", "param", "code"} and a.error["type"] == "service_unavailable_error", a
        assert time.monotonic() - began < BOUND_S * TIME_SCALE


def passes(router, key):
    """True when a call by each gateway passes."""
    return all(ask(p, key).status == 200 for p in router.ports)


def test_redis_is_watched(world):
    router, _ = world
    n = REPLICAS if MODE == "processes" else 1
    assert router.metric("router_redis_up", service="authsvc") >= 1
    assert redis_check(router) and all(redis_check(router))
    assert router.metric("router_redis_seconds_count", service="authsvc") > 0
    if len(router.ports) == 1:
        assert router.metric("router_redis_up", service="authsvc") == n


def test_without_redis_calls_are_refused_and_nothing_is_given_twice():
    """It is killed while calls hold nearly all credit, stays away for a while, and comes back empty."""
    with Redis() as redis, sharing(redis) as router:
        racers = Racers(router)
        racers.grant(CALLS)
        other = router.new_key(router.user(admin=racers.admin)[1])
        running = racers.streams(LONG, LONG_MS)
        redis.kill()
        refused(router, racers.key)
        wait_until("its metric says so", 5, lambda: router.metric("router_redis_up", service="authsvc") == 0)
        assert redis_check(router) == [False] * len(redis_check(router)) != []
        assert router.metric("router_redis_errors_total", service="authsvc") > 0
        redis.start()
        back = time.monotonic()
        wait_until("calls pass again", BACK_S, lambda: passes(router, other))
        print(f"calls pass {time.monotonic() - back:.2f} s after Redis is back")
        b = race_for_the_rest(racers)
        only(b, {200: CALLS - LONG, 429: b.answers() - (CALLS - LONG)})
        finish(running)
        racers.all_paid(CALLS)
        all_well(racers)


def test_redis_is_killed_in_the_race():
    with Redis() as redis, sharing(redis) as router:
        racers = Racers(router)
        racers.grant(CALLS)
        running = racers.streams(LONG, LONG_MS)

        def kill_and_start():
            redis.kill()
            time.sleep(0.5)
            redis.start()

        killer = threading.Timer(0.1, kill_and_start)
        killer.start()
        b = race_for_the_rest(racers, seconds=4)
        killer.join()
        assert b.statuses[200] == CALLS - LONG and set(b.statuses) <= {200, 429, 503}, (b.statuses, b.bodies)
        assert set(b.codes) <= {"insufficient_quota", "server_is_overloaded"}, b.codes
        finish(running)
        racers.all_paid(CALLS)
        all_well(racers)


def test_each_decides_alone_where_that_is_wished():
    with Redis() as redis, sharing(redis, REDIS_FAILURE="local") as router:
        racers = Racers(router)
        racers.grant(CALLS)
        redis.kill()
        wait_until("each has noticed", 5, lambda: passes(router, racers.key))
        running = racers.streams(REPLICAS, LONG_MS)
        redis.start()
        for port in router.ports:  # what was held meanwhile goes there
            wait_until("all holds are everybody's", BACK_S, lambda port=port: racers.held(port)["open"] == REPLICAS)
        finish(running)
        wait_until("they are billed", 10, lambda: Decimal(router.credits(racers.token)["spent_usd"]) >= CALL * REPLICAS)
        all_well(racers)


def test_a_frozen_redis_holds_nobody_up():
    """Calls end in time; what Redis takes when it goes on, for calls that have been refused, is given back."""
    with Redis() as redis, sharing(redis) as router:
        racers = Racers(router)
        racers.grant(CALLS)
        other = router.new_key(router.user(admin=racers.admin)[1])
        assert passes(router, other)
        with redis.frozen():
            frozen = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                for done in [pool.submit(refused, router, racers.key) for _ in range(8)]:
                    done.result()
            time.sleep(max(0.0, 3 - (time.monotonic() - frozen)))
        wait_until("calls pass again", BACK_S, lambda: passes(router, other))
        wait_until("nothing stays held for who was refused", 10, lambda: racers.held()["open"] == 0)
        with Burst(router.ports, 12, racers.request(), keep={0, 503}) as b:
            b.run(200)
        only(b, {200: CALLS, 429: 200 - CALLS})
        racers.all_paid(CALLS)
        all_well(racers)


def test_what_is_wiped_is_filled_again():
    """FLUSHALL, in the middle of the race: the same server, without a word of what it knew."""
    with Redis() as redis, sharing(redis) as router:
        racers = Racers(router)
        racers.grant(CALLS)
        running = racers.streams(LONG, LONG_MS)
        wiped = threading.Timer(0.2, lambda: redis.cli("FLUSHALL"))
        wiped.start()
        b = race_for_the_rest(racers, seconds=3)
        wiped.join()
        assert b.statuses[200] == CALLS - LONG and set(b.statuses) <= {200, 429, 503}, (b.statuses, b.bodies)
        assert racers.held()["open"] >= LONG
        finish(running)
        racers.all_paid(CALLS)
        all_well(racers)


def test_a_password():
    with Redis(password="of-this-test") as redis, sharing(redis) as router:
        _, token = router.user()
        assert passes(router, router.new_key(token))
        assert "of-this-test" not in router.logs()


@PROCESSES
@pytest.mark.parametrize("url", ["localhost", "http://127.0.0.1:6379", "redis://", "redis://127.0.0.1:99999"])
def test_a_wrong_redis_url_stops_the_start_with_one_line(url, tmp_path):
    env = {"PATH": os.environ["PATH"], "JWT_SECRET": "0123456789abcdef0123456789abcdef", "REDIS_URL": url, "AUTHSVC_URL": f"ipc://{tmp_path}/a", "METERD_URL": f"ipc://{tmp_path}/m"}
    r = subprocess.run([str(BIN / "authsvc")], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert r.returncode == 2 and r.stderr.startswith("authsvc: REDIS_URL: ") and r.stderr.count("\n") == 1, r
