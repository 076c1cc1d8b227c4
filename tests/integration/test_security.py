"""What attackers do is seen, counted and told to administrators, and to nobody else."""
import secrets
import socket

import pytest

from router import Router, wait_until
from test_keys import Key, chat

PATH = "/api/admin/security-events"
SECONDS = 10


@pytest.fixture(scope="module")
def router():
    with Router(env={"TRUSTED_PROXIES": "127.0.0.1"}) as r:
        yield r


@pytest.fixture(scope="module")
def admin(router):
    return router.admin()


@pytest.fixture
def address():
    return f"203.0.{secrets.randbelow(256)}.{secrets.randbelow(256)}"


def events(router, admin, query):
    return router.ok("GET", f"{PATH}?{query}", token=admin)["data"]


def counted(router, admin, query, n):
    """The one event that matches, once it has the count."""
    wait_until(f"{query} is counted {n} times", SECONDS, lambda: [e["count"] for e in events(router, admin, query)] == [n], every=0.2)
    return events(router, admin, query)[0]


def attempt(router, who, address):
    return router.call("POST", "/auth/login", who, headers={"x-forwarded-for": address}).status


def test_wrong_passwords_are_counted(router, admin, address):
    who = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_hex(12)}
    router.ok("POST", "/auth/register", who)
    wrong = {**who, "password": "not the password"}
    statuses = [attempt(router, wrong, address) for _ in range(30)]
    assert statuses == [401] * 10 + [429] * 20
    failed = counted(router, admin, f"kind=login_failed&address={address}", 10)
    throttled = counted(router, admin, f"kind=login_throttled&subject={who['email']}", 20)
    assert failed["subject"] == throttled["subject"] == who["email"] and throttled["address"] == address
    assert failed["first_seen"] <= failed["last_seen"]
    assert router.metric("router_security_events_total", kind="login_failed") >= 10
    assert not any(secret in str(events(router, admin, "limit=500")) for secret in (who["password"], wrong["password"]))


def test_guessed_keys_are_told_of_and_a_wrong_one_is_not(router, admin, address):
    head = {"x-forwarded-for": address}
    guesses = ["sk-or-" + secrets.token_hex(20) for _ in range(15)] + ["nonsense"]
    for key in guesses:
        assert chat(router, key, headers=head).status == 401
    e = counted(router, admin, f"kind=key_guessing&address={address}", len(guesses))
    assert not e.get("subject")
    for _ in range(30):
        assert chat(router, guesses[0], headers={"x-forwarded-for": "203.0.113.200"}).status == 401
    assert events(router, admin, "kind=key_guessing&address=203.0.113.200") == []


def test_keys_that_are_over_and_keys_elsewhere(router, admin, address):
    head = {"x-forwarded-for": address}
    k = Key(router, admin)
    before = k.secret
    k.rotate(grace_s=1)
    wait_until("the former secret is over", SECONDS, lambda: chat(router, before, headers=head).status == 401)
    counted(router, admin, f"kind=key_revoked_used&subject={k.id}", 1)
    k.revoke()
    assert chat(router, k.secret, headers=head).status == 401
    assert counted(router, admin, f"kind=key_revoked_used&subject={k.id}", 2)["address"] == address
    bound = Key(router, admin, ip_allow=["192.0.2.7"])
    assert chat(router, bound.secret, headers=head).status == 403
    assert counted(router, admin, f"kind=ip_not_allowed&subject={bound.id}", 1)["address"] == address
    shown = str(events(router, admin, "limit=500"))
    assert not any(secret in shown for secret in (before, k.secret, bound.secret))


def test_a_refresh_token_that_comes_again(router, admin, address):
    who = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_hex(12)}
    tokens = router.ok("POST", "/auth/register", who)
    body = {"refresh_token": tokens["refresh_token"]}
    router.ok("POST", "/auth/refresh", body)
    assert router.call("POST", "/auth/refresh", body, headers={"x-forwarded-for": address}).status == 401
    e = counted(router, admin, f"kind=refresh_token_reused&subject={tokens['user']['id']}", 1)
    assert e["address"] == address


def test_who_is_no_administrator_sees_nothing_and_is_seen(router, admin):
    user, token = router.user(admin=admin)
    assert router.call("GET", PATH, token=token).status == 403
    assert router.call("GET", PATH).status == 401
    counted(router, admin, f"kind=admin_denied&subject={user['id']}", 1)


def test_hostile_framing_is_told_without_its_bytes(router, admin):
    bad = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nX-Evil: smuggled-bytes\r\n\r\n0\r\n\r\n"
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", router.port), 10) as s:
            s.sendall(bad)
            assert b" 400 " in s.recv(4096)
    e = counted(router, admin, "kind=hostile_request", 3)
    assert e["address"] == "127.0.0.1" and e["subject"] and "smuggled" not in str(e)


def test_pages_filters_and_the_command(router, admin, address):
    for _ in range(3):
        attempt(router, {"email": f"{secrets.token_hex(6)}@example.com", "password": "wrong-password"}, address)
    query = f"kind=login_failed&address={address}"
    wait_until("three rows", SECONDS, lambda: len(events(router, admin, query)) == 3, every=0.2)
    rows, cursor = [], ""
    while True:
        page = router.ok("GET", f"{PATH}?{query}&limit=2{cursor}", token=admin)
        rows += page["data"]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next']}"
    assert [r["id"] for r in rows] == [r["id"] for r in events(router, admin, query)] and len(rows) == 3
    assert events(router, admin, query + f"&from={rows[0]['last_seen'] + 3600}") == []
    for wrong, field in (("kind=nonsense", "kind"), ("from=5&to=5", "to"), ("limit=501", "limit"), ("cursor=x", "cursor")):
        a = router.call("GET", f"{PATH}?{wrong}", token=admin)
        assert a.status == 400 and a.error["param"] == field, a
    code, out = router.ctl("security-events", "--kind", "login_failed", "--limit", "500")[:2]
    assert code == 0 and address in out


def test_meterd_may_be_away(address):
    with Router(mode="processes", env={"TRUSTED_PROXIES": "127.0.0.1"}) as r:
        admin = r.admin()
        _, token = r.user(admin=admin)
        key = r.new_key(token)
        assert r.chat(key).status == 200
        r.processes["meterd"].kill()
        for _ in range(15):
            assert chat(r, "sk-or-" + secrets.token_hex(20), headers={"x-forwarded-for": address}).status == 401
        r.start_service("meterd")
        counted(r, admin, f"kind=key_guessing&address={address}", 15)
