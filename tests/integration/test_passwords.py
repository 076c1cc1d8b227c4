"""Passwords are changed, and what administrators change of people and money is in the audit."""
import contextlib
import json
import os
import pty
import secrets
import select
import subprocess

import pytest

from router import ADMIN_EMAIL, ADMIN_PASSWORD, BIN, Router, wait_until

FAILURES = 10  # authsvc/throttle.h


@pytest.fixture(scope="module")
def router():
    """One of our own: wrong passwords are counted for the client's network, whose every test signs in."""
    with Router() as r:
        yield r


@pytest.fixture(scope="module")
def admin(router):
    return router.admin()


@pytest.fixture
def person(router):
    """A user with an own password and two sessions: (address and password, user, own tokens, other tokens)."""
    who = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_hex(12)}
    own = router.ok("POST", "/auth/register", who)
    return who, own["user"], own, router.ok("POST", "/auth/login", who)


def change(router, tokens, current, new):
    return router.call("POST", "/auth/password", {"current_password": current, "new_password": new}, tokens["access_token"])


def alive(router, tokens):
    return router.call("GET", "/auth/me", token=tokens["access_token"]).status == 200


def is_over(router, tokens):
    """Both kinds of tokens, within a second."""
    wait_until("the access token is refused", 1, lambda: not alive(router, tokens))
    a = router.call("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    assert a.status == 401, a


def test_a_new_password_ends_the_other_sessions(router, person):
    who, _, own, other = person
    key = router.new_key(own["access_token"])
    fresh = secrets.token_hex(12)
    a = change(router, own, who["password"], fresh)
    assert a.status == 204 and not a.body, a
    is_over(router, other)
    assert alive(router, own)
    own = router.ok("POST", "/auth/refresh", {"refresh_token": own["refresh_token"]})
    assert alive(router, own)
    assert router.chat(key, "[[tokens=1]]").status == 200
    old = router.call("POST", "/auth/login", who)
    assert old.status == 401 and old.error["code"] == "invalid_credentials"
    assert router.call("POST", "/auth/login", {**who, "password": fresh}).status == 200
    for secret in (who["password"], fresh):
        assert secret not in router.logs()


def test_a_wrong_current_password_changes_nothing(router, person):
    who, _, own, other = person
    a = change(router, own, "not the password", secrets.token_hex(12))
    assert a.status == 401 and a.error["code"] == "invalid_credentials" and a.error["param"] == "current_password", a
    assert alive(router, own) and alive(router, other)
    assert router.call("POST", "/auth/login", who).status == 200


@pytest.mark.parametrize(
    "body,param",
    [
        ({"current_password": "right", "new_password": "short"}, "new_password"),
        ({"current_password": "right", "new_password": "x" * 1025}, "new_password"),
        ({"current_password": "right", "new_password": ""}, "new_password"),
        ({"current_password": "right", "new_password": 12345678}, "new_password"),
        ({"current_password": "right"}, "new_password"),
        ({"new_password": "long enough"}, "current_password"),
        ({}, "current_password"),
        ({"current_password": "right", "new_password": "long enough", "session_id": "ses_1"}, "session_id"),
        ({"current_password": "right", "new_password": "long enough", "actor_id": "usr_1"}, "actor_id"),
        ({"current_password": "right", "new_password": "long enough", "client_ip": "192.0.2.1"}, "client_ip"),
    ],
)
def test_a_bad_request_names_the_field(router, person, body, param):
    who, _, own, other = person
    if body.get("current_password") == "right":
        body = {**body, "current_password": who["password"]}
    a = router.call("POST", "/auth/password", body, own["access_token"])
    assert a.status == 400 and a.error["param"] == param, a
    assert alive(router, other) and router.call("POST", "/auth/login", who).status == 200


def test_it_takes_a_session(router, account):
    body = {"current_password": "12345678", "new_password": "12345678"}
    for token in (None, "x", account[2]):
        assert router.call("POST", "/auth/password", body, token).status == 401
    assert router.call("GET", "/auth/password", token=account[1]).status == 405


def test_guesses_are_slowed_like_sign_ins(router, person):
    who, _, own, other = person
    for i in range(FAILURES - 1):
        assert change(router, own, f"guess-{i}", "long enough").status == 401
    assert router.call("POST", "/auth/login", {**who, "password": "guess"}).status == 401
    a = change(router, own, who["password"], "long enough")
    assert a.status == 429 and 840 < int(a.headers["retry-after"]) <= 900, a
    assert router.call("POST", "/auth/login", who).status == 429
    assert alive(router, own) and alive(router, other)


def test_an_administrator_sets_a_password(router, admin, person):
    who, user, own, other = person
    url = f"/api/admin/users/{user['id']}/password"
    key = router.new_key(own["access_token"])
    fresh = secrets.token_hex(12)
    assert router.call("POST", url, {"password": fresh}).status == 401
    assert router.call("POST", url, {"password": fresh}, own["access_token"]).status == 403
    for body, param in (({}, "password"), ({"password": "short"}, "password"), ({"password": fresh, "id": "usr_1"}, "id")):
        a = router.call("POST", url, body, admin)
        assert a.status == 400 and a.error["param"] == param, a
    assert router.call("POST", "/api/admin/users/usr_none/password", {"password": fresh}, admin).status == 404
    assert alive(router, own) and alive(router, other)
    a = router.call("POST", url, {"password": fresh}, admin)
    assert a.status == 204 and not a.body, a
    is_over(router, own)
    is_over(router, other)
    assert router.chat(key, "[[tokens=1]]").status == 200
    assert router.call("POST", "/auth/login", who).status == 401
    assert router.call("POST", "/auth/login", {**who, "password": fresh}).status == 200
    assert router.call("GET", "/api/admin/users", token=admin).status == 200  # the administrator's own session
    assert fresh not in router.logs()


def test_the_disabled_change_nothing(router, admin, person):
    who, user, own, _ = person
    router.ok("PATCH", f"/api/admin/users/{user['id']}", {"status": "disabled"}, admin)
    assert change(router, own, who["password"], "long enough").status == 401
    router.ok("PATCH", f"/api/admin/users/{user['id']}", {"status": "active"}, admin)
    assert router.call("POST", "/auth/login", who).status == 200


# ---- routerctl ----


def test_routerctl_sets_a_users_password(router, person):
    who, user, own, _ = person
    for name in (who["email"], user["id"]):
        fresh = secrets.token_hex(12)
        assert router.ctl("user", "password", name, stdin=f"{fresh}\nrest\n") == (0, "", "")
        assert router.call("POST", "/auth/login", {**who, "password": fresh}).status == 200
    is_over(router, own)
    for stdin, said in (("", "no password"), ("\n", "empty"), ("short\n", "password"), ("x" * 1025, "at most")):
        code, out, err = router.ctl("user", "password", who["email"], stdin=stdin)
        assert code == 1 and out == "" and said in err, err
    assert router.ctl("user", "password", who["email"], "a password", stdin="x")[0] == 2  # never as an argument
    assert router.call("POST", "/auth/login", {**who, "password": fresh}).status == 200


def typed(router, name, *lines):
    """`routerctl user password` at a terminal: (exit code, what the terminal showed)."""
    terminal, stdin = pty.openpty()
    env = {"PATH": os.environ["PATH"], "ROUTER_URL": f"http://127.0.0.1:{router.port}", "ADMIN_EMAIL": ADMIN_EMAIL, "ADMIN_PASSWORD": ADMIN_PASSWORD}
    p = subprocess.Popen([str(BIN / "routerctl"), "user", "password", name], env=env, stdin=stdin, stdout=stdin, stderr=stdin)
    os.close(stdin)
    shown = b""
    try:
        for line in lines:
            while not shown.endswith(b": "):
                assert select.select([terminal], [], [], 10)[0], shown
                shown += os.read(terminal, 1000)
            os.write(terminal, line.encode() + b"\n")
            shown += b"\n"  # what came before was a question that has its answer
        code = p.wait(30)
        with contextlib.suppress(OSError):  # nobody has the other side any more
            while True:
                shown += os.read(terminal, 1000)
    finally:
        p.kill()
        os.close(terminal)
    return code, shown.decode()


def test_what_is_typed_is_not_shown(router, person):
    who, _, _, _ = person
    fresh = secrets.token_hex(12)
    code, shown = typed(router, who["email"], fresh, "something else")
    assert code == 1 and "not the same" in shown and fresh not in shown, shown
    assert router.call("POST", "/auth/login", who).status == 200
    code, shown = typed(router, who["email"], fresh, fresh)
    assert code == 0 and "new password" in shown and "again" in shown and fresh not in shown, shown
    assert router.call("POST", "/auth/login", {**who, "password": fresh}).status == 200


def test_routerctl_changes_its_own_password():
    with Router(upstream=False) as r:
        fresh = secrets.token_hex(12)
        code, out, err = r.ctl("password", stdin="short\n")
        assert code == 1 and "new_password" in err, err
        code, out, err = r.ctl("password", stdin=fresh + "\n")
        assert code == 0 and out == "" and "ADMIN_PASSWORD" in err and fresh not in err, err
        assert r.ctl("user", "list")[0] == 1
        assert r.ctl("user", "list", ADMIN_PASSWORD=fresh)[0] == 0
        code, _, err = r.ctl("password", stdin=fresh + "\n", ROUTER_TOKEN="x")
        assert code == 1 and "ROUTER_TOKEN" in err, err


def test_the_file_of_the_first_password_follows(tmp_path):
    """Where routerctl signs in by the file that meterd made, it still can after its password was changed."""
    with Router(upstream=False) as r:
        file = tmp_path / "admin_password"
        file.write_text(ADMIN_PASSWORD + "\n")
        env = {"ADMIN_PASSWORD": "", "DB_PATH": str(tmp_path / "app.db")}
        fresh = secrets.token_hex(12)
        assert r.ctl("password", stdin=fresh + "\n", **env) == (0, "", "")
        assert file.read_text() == fresh + "\n" and file.stat().st_mode & 0o777 == 0o600
        assert [p.name for p in tmp_path.iterdir()] == ["admin_password"]
        assert r.ctl("user", "list", **env)[0] == 0


# ---- the audit ----


def test_the_audit_of_people_and_money():
    with Router() as r:
        admin = r.admin()
        root = r.ok("GET", "/auth/me", token=admin)["id"]
        newest = r.ok("GET", "/api/admin/audit?limit=1", token=admin)["data"]
        who = {"email": "ann@example.com", "password": secrets.token_hex(12)}
        fresh = [secrets.token_hex(12) for _ in range(2)]
        user = r.ok("POST", "/api/admin/users", {**who, "name": "Ann"}, admin)
        users = f"/api/admin/users/{user['id']}"
        r.ok("PATCH", users, {"plan": "pro", "role": "admin"}, admin)
        r.ok("PATCH", users, {"plan": "pro"}, admin)  # changes nothing
        grant = {"amount_usd": "2.5", "note": "welcome"}
        for _ in range(3):
            r.ok("POST", f"{users}/credits", grant, admin, headers={"idempotency-key": "once"})
        codes = r.ok("POST", "/api/admin/codes", {"amount_usd": "1", "count": 2}, admin)["data"]
        r.ok("DELETE", f"/api/admin/codes/{codes[0]['id']}", token=admin)
        r.ok("PATCH", "/api/admin/plans", {"name": "team", "rpm": 7}, admin)
        r.ok("PATCH", "/api/admin/plans", {"name": "team", "rpm": 8}, admin)
        r.ok("POST", "/api/admin/prices", {"model": "ours", "input": "1", "output": "3"}, admin)
        r.ok("POST", "/api/admin/system/backup", {"name": "noted.db"}, admin)
        r.ok("POST", f"{users}/password", {"password": fresh[0]}, admin)
        ann = r.ok("POST", "/auth/login", {**who, "password": fresh[0]})["access_token"]
        r.ok("POST", "/auth/password", {"current_password": fresh[0], "new_password": fresh[1]}, ann)
        r.ok("PATCH", users, {"status": "disabled"}, ann)
        # What fails, and what nobody of the administration does, is in no audit.
        r.call("PATCH", users, {"plan": "none"}, admin)
        r.call("POST", f"{users}/credits", {"amount_usd": "0"}, admin)
        r.call("POST", "/api/admin/system/backup", {"name": "noted.db"}, admin)
        r.ok("POST", "/auth/register", {"email": "stranger@example.com", "password": "12345678"})

        rows = r.ok("GET", "/api/admin/audit?limit=500", token=admin)["data"]
        rows = [row for row in rows if row["id"] > (newest[0]["id"] if newest else 0)][::-1]
        assert [(row["action"], row["object"], row["actor_id"]) for row in rows] == [
            ("user.create", user["id"], root),
            ("user.update", user["id"], root),
            ("credit.grant", user["id"], root),
            ("code.create", codes[0]["id"], root),
            ("code.create", codes[1]["id"], root),
            ("code.revoke", codes[0]["id"], root),
            ("plan.create", "team", root),
            ("plan.update", "team", root),
            ("price.put", "ours", root),
            ("backup.create", "noted.db", root),
            ("user.password", user["id"], root),
            ("user.password", user["id"], user["id"]),
            ("user.update", user["id"], user["id"]),
        ]
        details = [json.loads(row["detail"] or "null") for row in rows]
        assert details[:3] == [
            {"email": "ann@example.com", "name": "Ann", "role": "user", "plan": details[0]["plan"], "status": "active"},
            {"role": "admin", "plan": "pro"},
            {"amount_usd": "2.5", "note": "welcome", "kind": "grant"},
        ]
        assert details[3:9] == [{"amount_usd": "1"}, {"amount_usd": "1"}, None, {"name": "team", "rpm": 7}, {"rpm": 8}, {"input": "1", "output": "3"}]
        assert details[9]["bytes"] > 0 and details[10:] == [None, None, {"status": "disabled"}]
        text = json.dumps(rows) + r.logs()
        for secret in [who["password"], *fresh, *(c["code"] for c in codes)]:
            assert secret not in text
        assert "credit.grant" in r.ctl("audit")[1]
        assert ADMIN_EMAIL not in json.dumps(rows)
