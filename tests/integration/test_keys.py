"""A key's secrets and its addresses: rotation changes the secret and nothing else; ip_allow holds wherever a key is shown."""
import concurrent.futures
import json
import secrets
import time
from decimal import Decimal

import pytest

from batches import Batches
from fixtures_upstream import FixtureUpstream
from router import Events, Router, wait_until
from test_batches import Person

DAY = 86400
SHOWN = {"id", "key", "name", "prefix", "rpm", "tpm", "concurrency", "models", "expires_at", "created", "budget_usd", "budget_period", "ip_allow", "previous_until"}


class Key:
    """A key of a new user."""

    def __init__(self, router, admin, **limits):
        self.router = router
        self.user, self.token = router.user(admin=admin)
        self.made = router.ok("POST", "/api/keys", {"name": "laptop", **limits}, self.token)
        self.id, self.secret = self.made["id"], self.made["key"]

    def rotate(self, **body):
        before = self.secret
        a = self.router.call("POST", f"/api/keys/{self.id}/rotate", body or None, self.token)
        assert a.status == 200, a
        self.secret = a.json()["key"]
        assert self.secret != before
        return a.json()

    def show(self):
        return self.router.ok("GET", f"/api/keys/{self.id}", token=self.token)

    def update(self, **body):
        return self.router.ok("PATCH", f"/api/keys/{self.id}", body, self.token)

    def revoke(self):
        assert self.router.call("DELETE", f"/api/keys/{self.id}", token=self.token).status == 204


def chat(router, secret, prompt="[[tokens=1]]", **how):
    return router.call("POST", "/v1/chat/completions", {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}, secret, **how)


def ended(router, secret, within):
    """Waits until the secret is refused, and says so everywhere."""
    wait_until("the secret has ended", within, lambda: chat(router, secret).status == 401)
    assert router.call("GET", "/v1/models", token=secret).status == 401
    a = chat(router, secret)
    assert a.error["code"] == "invalid_api_key", a


# ---- rotation ----


def test_a_rotation_gives_another_secret_and_changes_nothing_else(router, admin):
    k = Key(router, admin, rpm=1000, budget_usd="5", budget_period="month", models=["gpt-4o*"], ip_allow=["127.0.0.0/8"])
    old, before = k.secret, k.show()
    assert chat(router, old).status == 200
    rotated = k.rotate()
    assert set(rotated) >= SHOWN, SHOWN - set(rotated)
    assert rotated["key"].startswith(rotated["prefix"]) and rotated["prefix"] != before["prefix"]
    assert DAY - 5 <= rotated["previous_until"] - time.time() <= DAY + 5
    same = set(SHOWN) - {"key", "prefix", "previous_until"}
    assert {n: rotated[n] for n in same} == {n: k.made[n] for n in same}
    assert chat(router, old).status == chat(router, rotated["key"]).status == 200
    shown = k.show()
    assert shown["prefix"] == rotated["prefix"] and shown["previous_until"] == rotated["previous_until"] and "key" not in shown
    assert [x["id"] for x in router.ok("GET", "/api/keys", token=k.token)["data"]] == [k.id]
    rows = router.settled(k.token, 3)
    assert {r["key_id"] for r in rows} == {k.id}
    spent = sum(Decimal(r["cost_usd"]) for r in rows)
    wait_until("the budget has all three", 5, lambda: Decimal(k.show()["budget_spent_usd"]) == spent > 0)


def test_the_former_secret_ends_with_its_grace(router, admin):
    k = Key(router, admin)
    old = k.secret
    began = time.time()
    rotated = k.rotate(grace_s=2)
    assert rotated["previous_until"] - began <= 3
    while time.time() < began + 1.5:
        assert chat(router, old).status == 200
    ended(router, old, 3)
    assert "rotation" in chat(router, old).error["message"]
    assert chat(router, k.secret).status == 200
    assert k.show()["previous_until"] == 0
    old = k.secret
    k.rotate(grace_s=0)
    assert chat(router, old).status == 401  # when it was answered it was in force
    assert chat(router, k.secret).status == 200


def test_only_one_former_secret_at_a_time(router, admin):
    k = Key(router, admin)
    first = k.secret
    second = k.rotate()["key"]
    third = k.rotate()["key"]
    assert chat(router, first).status == 401
    assert chat(router, second).status == chat(router, third).status == 200
    k.revoke()
    assert [chat(router, s).status for s in (first, second, third)] == [401] * 3
    a = router.call("POST", f"/api/keys/{k.id}/rotate", token=k.token)
    assert a.status == 409 and a.error["code"] == "key_revoked", a


def test_what_cannot_be_rotated(router, admin):
    k, other = Key(router, admin), Key(router, admin)
    assert router.call("POST", f"/api/keys/{k.id}/rotate", token=other.token).status == 404
    assert router.call("POST", f"/api/keys/{k.id}/rotate").status == 401
    assert router.call("POST", f"/api/keys/{k.id}/rotate", token=k.secret).status == 401
    for body, param in (({"grace_s": 7 * DAY + 1}, "grace_s"), ({"grace_s": -1}, "grace_s"), ({"grace_s": "x"}, "grace_s"), ({"id": "key_1"}, "id"), ({"x": 1}, "x")):
        a = router.call("POST", f"/api/keys/{k.id}/rotate", body, k.token)
        assert a.status == 400 and a.error["param"] == param, (body, a)
    assert chat(router, k.secret).status == 200
    k.rotate(grace_s=7 * DAY)
    k.update(expires_at=int(time.time()) + 1)
    wait_until("it has expired", 5, lambda: chat(router, k.secret).status == 401)
    a = router.call("POST", f"/api/keys/{k.id}/rotate", token=k.token)
    assert a.status == 409 and a.error["code"] == "key_expired", a
    k.update(expires_at=0)
    assert chat(router, k.secret).status == 200


def test_limits_are_shared_by_both_secrets(router, admin):
    k = Key(router, admin, rpm=4)
    old = k.secret
    assert chat(router, old).status == 200
    k.rotate()
    left = [chat(router, s) for s in (k.secret, old, k.secret)]
    assert [a.status for a in left] == [200] * 3
    assert left[-1].headers["x-ratelimit-remaining-requests"] == "0"
    assert chat(router, old).status == chat(router, k.secret).status == 429
    k.rotate()  # another one neither
    assert chat(router, k.secret).status == 429
    k = Key(router, admin, concurrency=1)
    stream = Events(router, k.secret, "[[tokens=40 delay=50]]")
    assert stream.status == 200
    old = k.secret
    k.rotate()
    assert chat(router, k.secret).status == chat(router, old).status == 429
    assert len(list(stream)) > 40  # a rotation cuts nothing off
    wait_until("its place is free", 5, lambda: chat(router, k.secret).status == 200)


def test_budgets_are_shared_by_both_secrets(router, admin):
    k = Key(router, admin, budget_usd="0.0006")
    asked = {"model": "gpt-4o-mini", "max_tokens": 1000, "messages": [{"role": "user", "content": "[[tokens=1 completion=1000]]"}]}  # all of it
    assert router.call("POST", "/v1/chat/completions", asked, k.secret).status == 200
    row = router.settled(k.token, 1)[0]
    wait_until("the budget has it", 5, lambda: Decimal(k.show()["budget_spent_usd"]) == Decimal(row["cost_usd"]) >= Decimal("0.0006"))
    old = k.secret
    k.rotate()
    for secret in (k.secret, old):
        a = router.call("POST", "/v1/chat/completions", asked, secret)
        assert a.status == 429 and a.error["code"] == "insufficient_quota" and "budget" in a.error["message"], a
    k.update(budget_usd="1")
    assert [chat(router, secret).status for secret in (k.secret, old)] == [200, 200]
    rows = router.settled(k.token, 3)
    assert {r["key_id"] for r in rows} == {k.id}
    wait_until("the budget has all", 5, lambda: Decimal(k.show()["budget_spent_usd"]) == sum(Decimal(r["cost_usd"]) for r in rows))


def test_a_call_may_outlive_its_secret(router, admin):
    k = Key(router, admin, concurrency=1, budget_usd="1")
    stream = Events(router, k.secret, "[[tokens=30 delay=50]]")
    assert stream.status == 200
    k.rotate(grace_s=0)
    k.rotate(grace_s=0)
    assert len(list(stream)) > 30
    row = router.settled(k.token, 1)[0]
    assert row["key_id"] == k.id and row["status"] == "ok" and Decimal(row["cost_usd"]) > 0
    wait_until("nothing is held", 5, lambda: Decimal(router.credits(k.token)["held_usd"]) == 0)
    assert chat(router, k.secret).status == 200


def test_rotating_under_load_loses_nothing(router, admin):
    """Clients that change over as soon as there is a new secret never see a refusal."""
    k = Key(router, admin)
    until = time.monotonic() + 3

    def client(_):
        n = 0
        while time.monotonic() < until:
            a = chat(router, k.secret)
            assert a.status == 200, a
            n += 1
        return n

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        counts = [pool.submit(client, i) for i in range(4)]
        while time.monotonic() < until:
            k.rotate(grace_s=60)
            time.sleep(0.3)
        n = sum(f.result() for f in counts)
    rows = router.settled(k.token, n, seconds=20)
    assert len(rows) == n and {r["key_id"] for r in rows} == {k.id}
    wait_until("nothing is held", 10, lambda: Decimal(router.credits(k.token)["held_usd"]) == 0)


def test_an_answer_is_repeated_to_the_new_secret(router, admin):
    k = Key(router, admin)
    head = {"idempotency-key": secrets.token_hex(8)}
    first = chat(router, k.secret, headers=head)
    assert first.status == 200
    old = k.secret
    k.rotate()
    for secret in (k.secret, old):
        again = chat(router, secret, headers=head)
        assert again.body == first.body and again.headers["x-router-replayed"] == "true"
    assert len(router.settled(k.token, 1)) == 1


def test_objects_stay_the_keys():
    with FixtureUpstream() as up:
        up.batches = Batches()
        with Router(upstream=False, env=up.env()) as r:
            p = Person((up, r, r.admin()))
            batch, _ = p.create()
            p.look(batch)
            key_id = r.ok("GET", "/api/keys", token=p.token)["data"][0]["id"]
            new = r.ok("POST", f"/api/keys/{key_id}/rotate", token=p.token)["key"]
            for secret in (p.key, new):
                assert r.call("GET", f"/v1/batches/{batch}", token=secret).status == 200
            newest = r.ok("POST", f"/api/keys/{key_id}/rotate", {"grace_s": 0}, p.token)["key"]
            assert r.call("GET", f"/v1/batches/{batch}", token=newest).status == 200
            assert r.call("GET", f"/v1/batches/{batch}", token=new).status == 401
            r.ok("PATCH", f"/api/keys/{key_id}", {"ip_allow": ["192.0.2.1"]}, p.token)
            assert refused(r.call("GET", f"/v1/batches/{batch}", token=newest))


def test_a_restart_keeps_the_former_secret():
    with Router() as r:
        admin = r.admin()
        k = Key(r, admin, ip_allow=["127.0.0.1"])
        far = Key(r, admin, ip_allow=["192.0.2.1"])
        first = k.secret
        second = k.rotate()["key"]
        third = k.rotate(grace_s=3600)["key"]
        name = "authsvc" if r.mode == "processes" else "openai-router"
        r.processes.pop(name).kill()
        r.start_service(name)
        r.wait_ready()
        wait_until("its keys are known", 10, lambda: chat(r, third).status == 200)
        assert chat(r, second).status == 200
        assert chat(r, first).status == 401
        assert chat(r, far.secret).status == 403
        k.revoke()
        ended(r, second, 1)
        ended(r, third, 1)


# ---- addresses ----


def refused(a):
    return a.status == 403 and a.error["code"] == "ip_not_allowed"


def test_a_key_works_from_its_addresses_only(router, admin):
    k = Key(router, admin, ip_allow=["192.0.2.7"])
    assert k.made["ip_allow"] == k.show()["ip_allow"] == ["192.0.2.7"]
    a = chat(router, k.secret)
    assert refused(a) and a.error["type"] == "invalid_request_error", a
    assert refused(router.call("GET", "/v1/models", token=k.secret))
    assert refused(router.call("GET", "/v1/models/gpt-4o-mini", token=k.secret))
    assert refused(router.call("GET", "/v1/files/file-1", token=k.secret))
    assert refused(router.call("GET", "/v1/files", token=k.secret))
    assert refused(chat(router, k.secret, headers={"idempotency-key": "x"}))
    assert refused(chat(router, k.secret, "x" * 200_000))  # a body that is not read before the key is known
    body = {"model": "gpt-4o-mini", "max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]}
    a = router.call("POST", "/v1/messages", body, headers={"x-api-key": k.secret, "anthropic-version": "2023-06-01"})
    assert a.status == 403 and a.json()["type"] == "error" and a.error["type"] == "permission_error", a
    time.sleep(0.3)
    assert router.ok("GET", "/api/usage/requests", token=k.token)["data"] == []
    assert Decimal(router.credits(k.token)["held_usd"]) == 0
    logged = [json.loads(line) for line in router.logs().splitlines() if '"ip_not_allowed"' in line]
    assert any(e["key_id"] == k.id and e["client_ip"] == "127.0.0.1" and e["level"] == "warn" for e in logged), logged
    k.update(ip_allow=["10.0.0.0/8", "127.0.0.0/8"])
    assert chat(router, k.secret).status == 200
    k.update(name="renamed")
    assert k.show()["ip_allow"] == ["10.0.0.0/8", "127.0.0.0/8"]
    k.update(ip_allow=["::1"])
    assert refused(chat(router, k.secret))
    rotated = k.rotate()
    assert rotated["ip_allow"] == ["::1"] and refused(chat(router, k.secret))
    k.update(ip_allow=[])
    assert chat(router, k.secret).status == 200


def test_an_answer_is_repeated_to_allowed_addresses_only(router, admin):
    k = Key(router, admin)
    head = {"idempotency-key": secrets.token_hex(8)}
    first = chat(router, k.secret, headers=head)
    assert first.status == 200
    k.update(ip_allow=["192.0.2.7"])
    assert refused(chat(router, k.secret, headers=head))
    k.update(ip_allow=["127.0.0.1"])
    assert chat(router, k.secret, headers=head).body == first.body


def test_addresses_are_written_one_way(router, admin):
    k = Key(router, admin, ip_allow=["::ffff:192.0.2.7", "10.9.8.7/8", "2001:DB8:0:0::1/32", "0.0.0.0/0"])
    assert k.show()["ip_allow"] == ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"]
    assert k.made["ip_allow"] == k.show()["ip_allow"]
    assert chat(router, k.secret).status == 200
    assert Key(router, admin, ip_allow=None).made["ip_allow"] == []
    for bad in ("localhost", "10.0.0.0/33", "", "1.2.3.4:80", "10.0.0.0/8 ", "a" * 100):
        for method, path in (("POST", "/api/keys"), ("PATCH", f"/api/keys/{k.id}")):
            a = router.call(method, path, {"name": "x", "ip_allow": ["::1", "::1", "::1", bad]}, k.token)
            assert a.status == 400 and a.error["param"] == "ip_allow[3]", (bad, a)
    a = router.call("POST", "/api/keys", {"name": "x", "ip_allow": ["::1"] * 33}, k.token)
    assert a.status == 400 and a.error["param"] == "ip_allow", a
    assert len(k.update(ip_allow=["::1"] * 32)["ip_allow"]) == 32


@pytest.mark.parametrize("trusted", [None, "127.0.0.1"])
def test_who_is_behind_a_proxy_is_said_by_trusted_ones(trusted):
    with Router(env={"TRUSTED_PROXIES": trusted} if trusted else None) as r:
        k = Key(r, r.admin(), ip_allow=["192.0.2.0/24", "2001:db8::/32"])

        def status(forwarded):
            return chat(r, k.secret, headers={"x-forwarded-for": forwarded} if forwarded else {}).status

        yes = 200 if trusted else 403
        for allowed in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::9", "[2001:db8::9]:4711", "198.51.100.1, 192.0.2.9"):
            assert status(allowed) == yes, allowed
        for other in (None, "192.0.3.9", "2001:db9::9", "192.0.2.9, 198.51.100.1", "nobody", "192.0.2.9 x"):
            assert status(other) == 403, other
        head = {"authorization": f"Bearer {k.secret}", "x-forwarded-for": "192.0.2.9"}
        assert r.call("GET", "/v1/models", headers=head).status == yes


# ---- routerctl ----


def test_routerctl_makes_binds_and_rotates(router):
    code, key, err = router.ctl("key", "create", "ctl", "--ip-allow", "192.0.2.0/24,127.0.0.1", "--field", "id")
    assert code == 0, err
    key = key.strip()
    assert router.ctl("key", "show", key, "--field", "ip_allow.1")[1] == "127.0.0.1\n"
    code, out, err = router.ctl("key", "rotate", key, "--grace", "60", "--json")
    assert code == 0, err
    rotated = json.loads(out)
    assert rotated["id"] == key and 50 < rotated["previous_until"] - time.time() < 70
    assert chat(router, rotated["key"]).status != 403
    assert router.ctl("key", "update", key, "--ip-allow", "")[0] == 0
    assert json.loads(router.ctl("key", "show", key, "--json")[1])["ip_allow"] == []
    assert router.ctl("key", "rotate", key, "--grace", "x")[2] == "routerctl: grace: 'x' is not a whole number\n"
    assert router.ctl("key", "rotate", key, "--grace", "604801")[0] == 1
    assert router.ctl("key", "revoke", key)[0] == 0
