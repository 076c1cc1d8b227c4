"""Load on providers that fail: retries never become the load, a dead one is left alone at once and found again.

STORM_S: seconds of each storm, 8 unless said (2 with four processes: what is tried is the same); a minute is the long form.
"""
import collections
import concurrent.futures
import json
import os
import time

import pytest
from router import MODE, TIME_SCALE, OddUpstream, Router, free_port

MASTER = "a-master-key-of-more-than-thirty-two-characters"
STORM_S = float(os.environ.get("STORM_S", "8" if MODE == "launcher" else "2"))
CLIENTS = 6
FLOOR = 3 + 5  # retries that cost nothing, and the calls in hand when a breaker opens
TENTH = 1.1
STORMS = {
    "all": {"what": "status", "status": 500},
    "half": {"what": "status", "status": 503, "share": 0.5},
    "limit": {"what": "status", "status": 429, "lines": ["retry-after-ms: 200"]},
    "slow": {"what": "answer", "first": 2},  # slower than it may be
    "cut": {"what": "cut"},
}


@pytest.fixture(scope="module")
def world():
    router = Router(upstream=False, env={"MASTER_KEY": MASTER, "LOG_LEVEL": "error"})
    odd = OddUpstream(router.folder)
    names = [f"{name}-{kind}" for name in STORMS for kind in ("alone", "spared")]
    hurried = {"timeouts": {"first_byte_ms": 400}}  # who is to be too slow; on a busy machine the others would be, too
    providers = [{"name": n, "kind": "openai", "base_url": odd.url(n), "api_keys": ["sk-a"], **(hurried if n.startswith("slow") else {})} for n in [*names, "spare"]]
    models = [model(n, *([n] if n.endswith("alone") else [n, "spare"])) for n in names]
    config = router.folder / "config.yaml"
    config.write_text(json.dumps({"providers": providers, "models": models}))  # JSON is YAML
    router.extra["CONFIG"] = str(config)
    with router:
        router.key = router.new_key(router.user(credit="100000")[1])
        router.odd = odd
        router.past = []  # when the last storm's calls began
        yield router
        odd.stop()


def model(name, *providers, tier=None):
    routes = [{"provider": p, "model": "m", "tier": tier or i + 1} for i, p in enumerate(providers)]
    return {"name": name, "routes": routes, "price": {"input": "1", "output": "2"}}


class Load:
    """CLIENTS clients that call a model without a pause: log of (when it began, status, who answered, seconds)."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.log, self.stop = [], False

    def client(self):
        while not self.stop:
            at = time.monotonic()
            a = self.world.chat(self.world.key, model=self.name)
            self.log.append((at, a.status, a.headers.get("x-router-provider"), time.monotonic() - at))
            if a.status == 503:
                time.sleep(0.005)  # else two cores would be busy with refusing

    def again(self, healed):
        """When its own provider answered again, in seconds since it healed."""
        return [x[0] - healed for x in list(self.log) if x[0] > healed and x[1] == 200 and x[2] == self.name]

    def __enter__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(CLIENTS)
        self.clients = [self.pool.submit(self.client) for _ in range(CLIENTS)]
        return self

    def __exit__(self, *exc):
        self.stop = True
        for c in self.clients:
            c.result()
        self.pool.shutdown()


@pytest.mark.parametrize("name", STORMS)
def test_a_storm(world, name):
    """Of one provider alone, and of one that has a spare, at the same time."""
    alone, spared = f"{name}-alone", f"{name}-spared"
    before = {n: world.odd.count(n) for n in (alone, spared, "spare")}
    for who in (alone, spared):
        world.odd.do(who, **STORMS[name])
    with Load(world, alone) as one, Load(world, spared) as two:
        time.sleep(STORM_S)
        for who in (alone, spared):
            world.odd.do(who)
        healed = time.monotonic()
        end = healed + 5 * TIME_SCALE
        while time.monotonic() < end and not (one.again(healed) and two.again(healed)):
            time.sleep(0.1)
    asked = {n: world.odd.count(n) - b for n, b in before.items()}
    for load, calls in ((one, asked[alone]), (two, asked[spared] + asked["spare"])):
        states = collections.Counter(x[1] for x in load.log if x[0] < healed)
        again = load.again(healed)
        print(f"{load.name}: {len(load.log)} calls, {calls} upstream; in the storm {dict(states)}; again after {min(again, default=99):.2f} s")
        assert again, "healed, and not used again within five seconds"
    earlier = [at for at in world.past if at > one.log[0][0] - 10]  # retries are paid by all calls of ten seconds
    world.past = [x[0] for x in one.log + two.log]
    assert sum(asked.values()) <= TENTH * (len(one.log) + len(two.log)) + FLOOR + len(earlier) / 10
    check_alone(name, [x for x in one.log if x[0] < healed], [x[3] for x in two.log if x[0] < healed and x[1] == 200])
    failed = [x[0] - two.log[0][0] for x in two.log if x[0] < healed and x[1] != 200]
    assert len(failed) <= CLIENTS + FLOOR and all(x < 1 * TIME_SCALE for x in failed), failed


def check_alone(name, storm, answered):
    """Who answers, if only with errors, is asked all the same when there is nobody else; who breaks off is left alone."""
    refused = [x for x in storm if x[1] == 503]
    if name == "all":
        assert not refused, "the client sees its own provider's errors"
    if name != "cut":
        return
    assert refused[0][0] - storm[0][0] < 1 * TIME_SCALE, "its breaker opens within a second"
    # At once, or on a machine so busy that nothing is: sooner than an answer.
    assert sorted(x[3] for x in refused)[len(refused) // 2] < max(0.05 * TIME_SCALE, sorted(answered)[len(answered) // 2])


def test_one_of_two_upstreams_dies(world):
    """kill -9 in the middle of traffic: no errors once its breaker is open, open within a second, used again within five of its return."""
    port = free_port()
    twin = OddUpstream(world.folder, port=port)
    admin = world.admin()
    try:
        world.ok("POST", "/api/admin/providers", {"name": "twin", "kind": "openai", "base_url": twin.url("twin"), "api_keys": ["sk-t"]}, admin)
        world.ok("POST", "/api/admin/models", model("pair", "twin", "spare", tier=1), admin)
        with Load(world, "pair") as load:
            time.sleep(1.5)
            twin.kill()
            died = time.monotonic()
            time.sleep(3)
            twin = OddUpstream(world.folder, port=port)
            back = time.monotonic()
            time.sleep(5 * TIME_SCALE)
        errors = [(at - died, status) for at, status, _, _ in load.log if status != 200]
        again = [at - back for at, _, name, _ in load.log if at > back and name == "twin"]
        print(f"{len(load.log)} calls, {len(errors)} errors, used again after {min(again, default=99):.2f} s")
        assert {name for at, _, name, _ in load.log if at < died} == {"twin", "spare"}
        assert all(-0.5 < at < 1 * TIME_SCALE for at, _ in errors) and len(errors) <= CLIENTS, errors  # those in its hands
        assert again and min(again) < 5 * TIME_SCALE
    finally:
        twin.stop()
