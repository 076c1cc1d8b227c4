"""People, sessions, keys, administration."""
import secrets

import pytest

from router import ADMIN_EMAIL, ADMIN_PASSWORD, Router


def fresh():
    return {"email": f"{secrets.token_hex(6)}@Example.com", "password": secrets.token_hex(12)}


def test_register_login_me(router):
    who = fresh()
    a = router.call("POST", "/auth/register", who)
    assert a.status == 201, a
    made = a.json()
    assert made["token_type"] == "Bearer" and made["expires_in"] > 0 and made["refresh_token"]
    assert made["user"]["email"] == who["email"].lower()
    assert made["user"]["balance_usd"] == "5"  # sign-up credit on a loopback HOST
    again = router.call("POST", "/auth/register", who)
    assert again.status == 409 and again.error["code"] == "email_taken"
    login = router.ok("POST", "/auth/login", who)
    me = router.ok("GET", "/auth/me", token=login["access_token"])
    assert me.get("user", me)["email"] == who["email"].lower()


def test_wrong_password_and_unknown_email_look_the_same(router):
    who = fresh()
    router.ok("POST", "/auth/register", who)
    bad = router.call("POST", "/auth/login", {**who, "password": "not the password"})
    unknown = router.call("POST", "/auth/login", fresh())
    assert bad.status == unknown.status == 401
    assert bad.error == unknown.error
    assert bad.error["code"] == "invalid_credentials"


def test_refresh_tokens_rotate_and_reuse_ends_the_family(router):
    who = fresh()
    first = router.ok("POST", "/auth/register", who)
    second = router.ok("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert second["refresh_token"] != first["refresh_token"]
    assert router.call("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]}).status == 401
    assert router.call("POST", "/auth/refresh", {"refresh_token": second["refresh_token"]}).status == 401
    for tokens in (first, second):
        assert router.call("GET", "/auth/me", token=tokens["access_token"]).status == 401


def test_a_session_that_is_over_stays_so_after_a_restart():
    """However it ended: what its access tokens are good for no more is state, not one process's memory."""
    with Router(upstream=False) as r:
        out, changed, reused = ({"email": f"{n}@example.com", "password": "a long password"} for n in ("out", "changed", "reused"))
        gone = [r.ok("POST", "/auth/register", who) for who in (out, changed, reused)]
        stays = r.ok("POST", "/auth/login", changed)["access_token"]
        assert r.call("POST", "/auth/logout", token=gone[0]["access_token"]).status == 204
        r.call("POST", "/auth/password", {"current_password": "a long password", "new_password": "another long one"}, stays)
        second = r.ok("POST", "/auth/refresh", {"refresh_token": gone[2]["refresh_token"]})
        assert r.call("POST", "/auth/refresh", {"refresh_token": gone[2]["refresh_token"]}).status == 401
        tokens = [g["access_token"] for g in gone] + [second["access_token"]]
        assert [r.call("GET", "/auth/me", token=t).status for t in tokens] == [401] * 4
        r.stop()
        r.start()
        for t in tokens:
            a = r.call("GET", "/auth/me", token=t)
            assert (a.status, a.error["message"]) == (401, "The session has ended."), a
        assert r.call("GET", "/auth/me", token=stays).status == 200


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c3JfMSJ9."])
def test_bad_tokens(router, token):
    assert router.call("GET", "/auth/me", token=token).status == 401


def test_an_api_key_is_no_access_token_and_is_told_so(router, account):
    for path in ("/auth/me", "/api/keys", "/api/admin/users"):
        a = router.call("GET", path, token=account[2])
        assert a.status == 401 and a.error["code"] == "invalid_token", a
        assert "API key" in a.error["message"] and "POST /auth/login" in a.error["message"], a
        assert account[2] not in a.error["message"]


@pytest.mark.parametrize("body", [{"email": "no-at-sign", "password": "12345678"}, {"email": "a@b.c", "password": "short"}, {"email": "a@b.c"}])
def test_bad_registrations(router, body):
    assert router.call("POST", "/auth/register", body).status == 400


def test_keys_are_shown_once(router, account):
    _, token, _ = account
    made = router.ok("POST", "/api/keys", {"name": "laptop", "rpm": 10}, token)
    assert made["key"].startswith("sk-or-")
    listed = [k for k in router.ok("GET", "/api/keys", token=token)["data"] if k["id"] == made["id"]]
    assert listed and "key" not in listed[0]
    assert made["key"].startswith(listed[0]["prefix"])
    assert listed[0]["rpm"] == 10


def test_one_user_never_sees_anothers(router, admin, account):
    _, token, key = account
    _, other = router.user(admin=admin)
    made = router.ok("POST", "/api/keys", {"name": "mine"}, token)
    a = router.chat(key, "[[tokens=1]]")
    router.settled(token, 1)
    rid = a.headers["x-request-id"]
    assert router.call("DELETE", f"/api/keys/{made['id']}", token=other).status == 404
    assert router.call("GET", f"/api/usage/requests/{rid}", token=other).status == 404
    assert router.call("GET", f"/api/usage/requests/{rid}", token=token).status == 200
    assert router.ok("GET", "/api/usage/requests", token=other)["data"] == []


ADMIN_ROUTES = [
    ("GET", "/api/admin/users", None),
    ("POST", "/api/admin/users", {"email": "x@example.com", "password": "12345678"}),
    ("GET", "/api/admin/users/usr_1", None),
    ("PATCH", "/api/admin/users/usr_1", {"role": "admin"}),
    ("POST", "/api/admin/users/usr_1/credits", {"amount_usd": "5"}),
    ("GET", "/api/admin/plans", None),
    ("PATCH", "/api/admin/plans", {"name": "free", "rpm": 1}),
    ("GET", "/api/admin/prices", None),
    ("POST", "/api/admin/prices", {"model": "x", "input": "1", "output": "1"}),
    ("GET", "/api/admin/usage", None),
    ("GET", "/api/admin/requests", None),
    ("GET", "/api/admin/system", None),
    ("GET", "/api/admin/system/ledger", None),
    ("POST", "/api/admin/system/backup", {}),
    ("GET", "/api/admin/system/holds", None),
]


@pytest.mark.parametrize("method,path,body", ADMIN_ROUTES)
def test_administration_is_for_administrators(router, account, method, path, body):
    _, token, key = account
    assert router.call(method, path, body).status == 401
    assert router.call(method, path, body, token=token).status == 403
    assert router.call(method, path, body, token=key).status == 401


def test_administration(router, admin):
    user, token = router.user(credit=None, plan="free", admin=admin)
    listed = router.ok("GET", "/api/admin/users?limit=500", token=admin)["data"]
    assert user["id"] in [u["id"] for u in listed]
    changed = router.ok("PATCH", f"/api/admin/users/{user['id']}", {"plan": "pro", "name": "Ann"}, admin)
    assert changed.get("user", changed)["plan"] == "pro"
    shown = router.ok("GET", f"/api/admin/users/{user['id']}", token=admin)
    assert shown.get("user", shown)["name"] == "Ann"
    granted = router.ok("POST", f"/api/admin/users/{user['id']}/credits", {"amount_usd": "2.25", "note": "hello"}, admin)
    assert granted["balance_usd"] == "2.25"
    for bad in ("0", "abc", "1e5", "0.0000000001"):
        assert router.call("POST", f"/api/admin/users/{user['id']}/credits", {"amount_usd": bad}, admin).status == 400
    assert router.call("POST", "/api/admin/users/usr_none/credits", {"amount_usd": "1"}, admin).status == 404
    plans = {p["name"]: p for p in router.ok("GET", "/api/admin/plans", token=admin)["data"]}
    assert plans["free"]["rpm"] == 60 and plans["free"]["tpm"] == 100000 and plans["pro"]["concurrency"] == 200
    router.ok("PATCH", "/api/admin/plans", {"name": "team", "rpm": 7}, admin)
    assert {p["name"]: p for p in router.ok("GET", "/api/admin/plans", token=admin)["data"]}["team"]["rpm"] == 7
    prices = router.ok("GET", "/api/admin/prices?model=gpt-4o-mini", token=admin)["data"]
    assert prices[0]["input"] == "0.15" and prices[0]["output"] == "0.6"


def test_the_plans_key_count_holds(router, admin):
    _, token = router.user(plan="free", admin=admin)
    for i in range(5):
        router.ok("POST", "/api/keys", {"name": f"k{i}"}, token)
    a = router.call("POST", "/api/keys", {"name": "one too many"}, token)
    assert a.status == 403, a


def test_password_guessing_is_slowed(router):
    who = fresh()
    router.ok("POST", "/auth/register", who)
    seen = [router.call("POST", "/auth/login", {"email": who["email"], "password": f"guess-{i}"}) for i in range(12)]
    assert seen[0].status == 401 and seen[-1].status == 429
    assert seen[-1].error["message"] == "Too many failed sign-ins. Try again in 15 minutes."
    assert 840 < int(seen[-1].headers["retry-after"]) <= 900, "what the message says"


def test_the_administrator_of_the_first_start(router):
    login = router.ok("POST", "/auth/login", {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})
    assert login["user"]["role"] == "admin" and login["user"]["plan"] == "unlimited"


def test_secrets_are_in_no_log(router, account):
    _, token, key = account
    router.chat(key, "[[tokens=1]] canary-prompt-text")
    text = router.logs()
    for secret in (key, token, ADMIN_PASSWORD, "canary-prompt-text", "sk-upstream-secret"):
        assert secret not in text


NETWORK_FAILURES = 30  # authsvc/throttle.h


def test_behind_a_proxy_one_clients_guesses_do_not_lock_the_others_out():
    with Router(env={"TRUSTED_PROXIES": "127.0.0.1"}, upstream=False) as r:
        who = fresh()
        r.ok("POST", "/auth/register", who)

        def login(client, **changed):
            return r.call("POST", "/auth/login", {**who, **changed}, headers={"x-forwarded-for": f"203.0.113.9, {client}"})

        for _ in range(NETWORK_FAILURES):
            assert login("192.0.2.1", email=fresh()["email"]).status == 401
        assert login("192.0.2.1").status == 429
        assert login("192.0.2.2").status == 200
        assert r.call("POST", "/auth/login", who).status == 200  # the proxy itself


def test_a_proxy_that_is_no_address_stops_the_start():
    router = Router(env={"TRUSTED_PROXIES": "proxy.example"}, upstream=False)
    with pytest.raises(Exception, match="(?s)TRUSTED_PROXIES.*proxy.example"):
        router.__enter__()
