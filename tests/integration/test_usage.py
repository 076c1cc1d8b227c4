"""Usage in sums and call by call: whose, of when, of what. Administrators see everybody's by user; others see their own."""
import json
import time

import pytest

from router import Router


@pytest.fixture(scope="module")
def used():
    """A router with calls of two users: (router, administrator's token, [{user, token, key id, key}, …])."""
    with Router() as r:
        admin = r.admin()
        people = []
        for calls in (3, 1):
            user, token = r.user(admin=admin)
            key = r.ok("POST", "/api/keys", {"name": "k"}, token)
            for _ in range(calls):
                assert r.chat(key["key"], "[[tokens=5]]").status == 200
            people.append({"user": user, "token": token, "key_id": key["id"], "key": key["key"]})
        assert r.chat(people[0]["key"], "[[status=400]]", model="gpt-4o").status == 400
        for p, n in zip(people, (4, 1)):
            r.settled(p["token"], n)
        yield r, admin, people


def groups(r, admin, query):
    return r.ok("GET", f"/api/admin/usage?{query}", token=admin)


def test_an_administrator_sees_usage_by_user(used):
    r, admin, (one, other) = used
    said = groups(r, admin, "group_by=user")
    assert [(g["user_id"], g["email"], g["requests"]) for g in said["data"]] == [(p["user"]["id"], p["user"]["email"], n) for p, n in ((one, 4), (other, 1))]
    assert said["total"]["requests"] == 5 and said["total"]["user_id"] == ""
    for p, g in zip((one, other), said["data"]):
        own = r.ok("GET", "/api/usage", token=p["token"])["total"]
        assert {**own, "user_id": g["user_id"], "email": g["email"]} == g
    both = groups(r, admin, "group_by=user,model")["data"]
    assert sorted((g["user_id"], g["model"], g["requests"]) for g in both) == sorted([(one["user"]["id"], "gpt-4o", 1), (one["user"]["id"], "gpt-4o-mini", 3), (other["user"]["id"], "gpt-4o-mini", 1)])
    days = groups(r, admin, "group_by=day,user")["data"]
    assert {(g["user_id"], g["time"][10:]) for g in days} == {(p["user"]["id"], "T00:00:00Z") for p in (one, other)}


def test_an_administrator_looks_at_one_user(used):
    r, admin, (one, other) = used
    for p, n in ((one, 4), (other, 1)):
        who = p["user"]["id"]
        assert groups(r, admin, f"user={who}")["total"] == r.ok("GET", "/api/usage", token=p["token"])["total"]
        assert [g["user_id"] for g in groups(r, admin, f"user={who}&group_by=user")["data"]] == [who]
        for path, own in (("requests", "usage/requests"), ("ledger", "credits/ledger")):
            theirs = r.ok("GET", f"/api/admin/{path}?user={who}&limit=500", token=admin)["data"]
            assert theirs == r.ok("GET", f"/api/{own}?limit=500", token=p["token"])["data"] and len(theirs) >= n
    call = r.ok("GET", "/api/usage/requests", token=one["token"])["data"][0]["request_id"]
    assert r.ok("GET", f"/api/admin/requests/{call}?user={one['user']['id']}", token=admin)["request_id"] == call
    assert r.call("GET", f"/api/admin/requests/{call}?user={other['user']['id']}", token=admin).status == 404


@pytest.mark.parametrize("who", ["admin", "user"])
def test_each_filter_works(used, who):
    r, admin, (one, _) = used
    token, path, more = (admin, "/api/admin/requests", f"&user={one['user']['id']}") if who == "admin" else (one["token"], "/api/usage/requests", "")

    def found(query):
        return r.ok("GET", f"{path}?{query}{more}", token=token)["data"]

    now = int(time.time())
    assert len(found("")) == 4
    assert [c["status"] for c in found("status=error")] == ["error"] and len(found("status=ok")) == 3
    assert len(found("model=gpt-4o-mini")) == 3 and len(found("model=gpt-4o")) == 1 and found("model=gpt") == []
    assert len(found(f"key={one['key_id']}")) == 4 and found("key=key_none") == []
    assert len(found(f"from={now - 600}&to={now + 600}")) == 4 and found(f"from={now + 600}") == [] and found(f"to={now - 600}") == []
    assert len(found("model=gpt-4o-mini&status=ok&limit=2")) == 2


@pytest.mark.parametrize("query, param", [("user={}", "user"), ("group_by=user", "group_by"), ("group_by=model,user", "group_by")])
def test_users_do_not_choose_whose(used, query, param):
    r, _, (one, other) = used
    paths = ["/api/usage", "/api/usage/requests", "/api/credits/ledger"] if param == "user" else ["/api/usage"]
    for path in paths:
        a = r.call("GET", f"{path}?{query.format(other['user']['id'])}", token=one["token"])
        assert (a.status, a.json()["error"]["param"]) == (400, param), a
        if param == "user":
            assert a.json()["error"] == {"message": "Unknown parameter: 'user'.", "type": "invalid_request_error", "param": "user", "code": "unknown_parameter"}


BAD = [
    ("usage", "group_by=colour", "group_by"), ("usage", "group_by=user,", "group_by"), ("usage", "group_by=User", "group_by"),
    ("usage", "from=yesterday", "from"), ("usage", "to=-1", "to"), ("usage", "from=20&to=20", "to"),
    ("requests", "status=bogus", "status"), ("requests", "limit=501", "limit"), ("requests", "cursor=x", "cursor"),
    ("requests", "model=" + "m" * 257, "model"), ("requests", "key=" + "k" * 65, "key"), ("requests", "group_by=user", "group_by"),
    ("requests", "cursor=" + "1" * 5000, "cursor"), ("requests", "model=%zz", "model"), ("usage", "user=%00", "user"), ("usage", "group_by=%ff", "group_by"),
    ("ledger", "limit=x", "limit"), ("ledger", "model=gpt-4o", "model"),
]  # fmt: skip
BAD += [(path, f"user={user}", "user") for path in ("usage", "requests", "ledger") for user in ("usr_none", "a@x.test", "%27%20OR%201=1", "u" * 65)]
BAD += [(path, f"{closed}=usr_1", closed) for path in ("usage", "requests", "ledger") for closed in ("actor_id", "users")]


@pytest.mark.parametrize("path, query, param", BAD)
def test_a_bad_value_is_refused_by_name(used, path, query, param):
    r, admin, _ = used
    a = r.call("GET", f"/api/admin/{path}?{query}", token=admin)
    assert (a.status, a.json()["error"]["param"]) == (400, param), a


def test_routerctl_shows_everybodys(used):
    r, _, (one, other) = used
    code, out, err = r.ctl("usage", "--all", "--group-by", "user")
    assert code == 0, err
    table = [line.split() for line in out.splitlines()][-3:]
    assert table[0][:3] == ["user_id", "email", "model"], out
    assert [row[:2] for row in table[1:]] == [[p["user"]["id"], p["user"]["email"]] for p in (one, other)]
    for who in (other["user"]["id"], other["user"]["email"]):
        assert r.ctl("usage", "--all", "--user", who, "--field", "total.requests") == (0, "1\n", "")
        assert r.ctl("usage", "--user", who, "--field", "total.requests") == (0, "1\n", "")
        rows = json.loads(r.ctl("requests", "--all", "--user", who, "--json")[1])["data"]
        assert [c["user_id"] for c in rows] == [other["user"]["id"]]
        entries = json.loads(r.ctl("ledger", "list", "--user", who, "--json")[1])["data"]
        assert len(entries) == 2 and {e["account"] for e in entries} == {"available"}
    assert len(json.loads(r.ctl("requests", "--all", "--json")[1])["data"]) == 5
    call = rows[0]["request_id"]
    assert r.ctl("receipt", "--all", call, "--field", "user_id") == (0, other["user"]["id"] + "\n", "")
    assert r.ctl("receipt", call)[0] == 1, "it is not the administrator's own"
    own = r.ctl("usage", "--group-by", "model", ROUTER_TOKEN=one["token"])[1]
    assert own.splitlines()[-3].startswith("model  ") and "gpt-4o-mini" in own, "columns of users are only where there are some"
    for words in (["usage", "--all"], ["requests", "--all"], ["receipt", call, "--all"]):
        code, out, err = r.ctl(*words, ROUTER_TOKEN=one["token"])
        assert code == 1 and out == "" and "HTTP 403" in err, (out, err)
    assert r.ctl("usage", "--all", "--user", "nobody@example.com") == (1, "", "routerctl: there is no user nobody@example.com\n")
