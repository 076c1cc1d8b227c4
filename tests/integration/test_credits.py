"""Credit as a product: kinds, refunds, codes, monthly credit, budgets of keys, ledgers and receipts."""
import concurrent.futures
import http.server
import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from decimal import Decimal

from router import BIN, wait_until, within_a_day


def grant(router, admin, user, amount, key=None, **fields):
    head = {"idempotency-key": key} if key else {}
    return router.call("POST", f"/api/admin/users/{user['id']}/credits", {"amount_usd": amount, **fields}, admin, headers=head)


def a_call(router, account):
    """The first call of the account, settled: its row in the log."""
    _, token, key = account
    assert router.chat(key, "[[prompt=1000 tokens=100]]").status == 200
    return router.settled(token, 1)[0]


def clean(router, admin):
    report = router.ok("GET", "/api/admin/system/ledger", token=admin)
    assert report["ok"] and report["sum_usd"] == "0", report
    assert report["problems"] == []


# ---- kinds ----


def test_kinds_of_credit_and_the_ledger(router, admin, account):
    user, token, _ = account
    assert grant(router, admin, user, "1", kind="topup", note="invoice 7").status == 201
    assert grant(router, admin, user, "-2", kind="adjustment").json()["balance_usd"] == "9"
    for amount, fields, param in (
        ("1", {"kind": "gift"}, "kind"),
        ("-1", {"kind": "topup"}, "amount_usd"),
        ("1", {"kind": "refund"}, "request_id"),
        ("1", {"request_id": "req_x"}, "request_id"),
        ("1", {"kind": "refund", "request_id": "req_x"}, "request_id"),
    ):
        a = grant(router, admin, user, amount, **fields)
        assert a.status == 400 and a.error["param"] == param, a
    assert grant(router, admin, user, "-100", kind="adjustment").status == 409
    rows = router.ok("GET", "/api/credits/ledger", token=token)["data"]
    assert [(r["kind"], r["amount_usd"], r["balance_usd"]) for r in rows] == [
        ("adjustment", "-2", "9"),
        ("topup", "1", "11"),
        ("grant", "10", "10"),
    ]
    assert rows[1]["note"] == "invoice 7" and {r["account"] for r in rows} == {"available"}
    first = router.ok("GET", "/api/credits/ledger?limit=2", token=token)
    assert first["has_more"] and len(first["data"]) == 2
    rest = router.ok("GET", f"/api/credits/ledger?limit=2&cursor={first['next']}", token=token)
    assert not rest["has_more"] and [r["id"] for r in first["data"] + rest["data"]] == [r["id"] for r in rows]
    everything = router.ok("GET", "/api/admin/ledger?limit=2", token=admin)["data"]
    assert {r["account"] for r in everything} == {"available", "grants"}
    assert sum(Decimal(r["amount_usd"]) for r in everything) == 0
    assert router.call("GET", "/api/admin/ledger", token=token).status == 403
    clean(router, admin)


def test_a_call_is_refunded_at_most_once(router, admin, account):
    user, token, _ = account
    row = a_call(router, account)
    cost = Decimal(row["cost_usd"])
    part = str((cost / 4).quantize(Decimal("0.000000001")))
    balance = Decimal(router.credits(token)["balance_usd"])

    def one(i):
        return grant(router, admin, user, part, kind="refund", request_id=row["request_id"]).status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        seen = list(pool.map(one, range(16)))
    fit = int(cost / Decimal(part))
    assert sorted(seen) == [201] * fit + [409] * (16 - fit)
    assert Decimal(router.credits(token)["balance_usd"]) == balance + fit * Decimal(part)
    again = [grant(router, admin, user, "0.5", key="refund-key", kind="topup") for _ in range(3)]
    assert len({a.json()["entry_id"] for a in again}) == 1
    other = grant(router, admin, user, "0.5", key="refund-key", kind="grant")
    assert other.status == 409 and other.error["code"] == "idempotency_conflict"
    refunds = [r for r in router.ok("GET", "/api/credits/ledger", token=token)["data"] if r["kind"] == "refund"]
    assert len(refunds) == fit and {r["request_id"] for r in refunds} == {row["request_id"]}
    clean(router, admin)


# ---- codes ----


def make_codes(router, admin, amount, **fields):
    return router.ok("POST", "/api/admin/codes", {"amount_usd": amount, **fields}, admin)["data"]


def test_a_code_raced_for_is_one_persons(router, admin):
    people = [router.user(credit=None, admin=admin)[1] for _ in range(4)]
    for code in make_codes(router, admin, "3", count=3, note="conference"):
        assert re.fullmatch(r"rc-[a-z2-7]{26,}", code["code"])

        def one(i, code=code):
            a = router.call("POST", "/api/credits/redeem", {"code": code["code"]}, people[i % len(people)])
            return a.status, i % len(people)

        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            seen = list(pool.map(one, range(64)))
        winners = [i for status, i in seen if status == 201]
        assert len(winners) == 1 and sorted({s for s, _ in seen}) == [201, 409]
        listed = {c["id"]: c for c in router.ok("GET", "/api/admin/codes", token=admin)["data"]}[code["id"]]
        assert listed["status"] == "redeemed" and listed["code"] == "" and code["code"].startswith(listed["prefix"])
        assert listed["user_id"] == router.ok("GET", "/auth/me", token=people[winners[0]])["id"]
    assert sum(Decimal(router.credits(t)["balance_usd"]) for t in people) == 9
    clean(router, admin)


def test_codes_are_revoked_expire_and_cannot_be_guessed(router, admin, account):
    _, token, _ = account
    until = int(time.time()) + 3  # still to come when meterd reads it
    gone, late = make_codes(router, admin, "1")[0], make_codes(router, admin, "1", expires_at=until)[0]
    for _ in range(2):
        assert router.call("DELETE", f"/api/admin/codes/{gone['id']}", token=admin).status == 204
    a = router.call("POST", "/api/credits/redeem", {"code": gone["code"]}, token)
    assert a.status == 409 and a.error["code"] == "code_revoked" and a.error["param"] == "code"
    time.sleep(max(0, until + 0.1 - time.time()))
    a = router.call("POST", "/api/credits/redeem", {"code": late["code"]}, token)
    assert a.status == 409 and a.error["code"] == "code_expired"
    assert router.call("POST", "/api/admin/codes", {"amount_usd": "1"}, token).status == 403
    assert router.call("POST", "/api/admin/codes", {"amount_usd": "0"}, admin).status == 400
    guesses = [router.call("POST", "/api/credits/redeem", {"code": f"rc-{i}"}, token) for i in range(11)]
    assert [g.status for g in guesses] == [404] * 10 + [429]
    assert int(guesses[-1].headers["retry-after"]) > 0
    good = make_codes(router, admin, "1")[0]
    assert router.call("POST", "/api/credits/redeem", {"code": good["code"]}, token).status == 429
    assert router.call("POST", "/api/credits/redeem", {"code": good["code"]}, router.user(admin=admin)[1]).status == 201
    text = router.logs()
    for code in (gone, late, good):
        assert code["code"] not in text


# ---- monthly credit ----


def test_monthly_credit_comes_once(router, admin):
    within_a_day()
    old, _ = router.user(credit=None, plan="free", admin=admin)
    router.ok("PATCH", "/api/admin/plans", {"name": "monthly", "monthly_credit_usd": "2.5", "max_keys": 5}, admin)
    user, token = router.user(credit=None, plan="monthly", admin=admin)
    assert router.credits(token)["balance_usd"] == "2.5"  # who is made in mid-month
    moved = router.ok("PATCH", f"/api/admin/users/{old['id']}", {"plan": "monthly"}, admin)
    assert moved["balance_usd"] == "2.5"  # who joins
    for plan in ("free", "monthly"):
        moved = router.ok("PATCH", f"/api/admin/users/{old['id']}", {"plan": plan}, admin)
    assert moved["balance_usd"] == "2.5"
    router.ok("PATCH", "/api/admin/plans", {"name": "later"}, admin)
    waiting = [router.user(credit=None, plan="later", admin=admin)[1] for _ in range(3)]
    assert router.credits(waiting[0])["balance_usd"] == "0"
    router.ok("PATCH", "/api/admin/plans", {"name": "later", "monthly_credit_usd": "1"}, admin)
    for t in waiting:  # whom the writer's own round finds
        wait_until("monthly credit", 10, lambda t=t: router.credits(t)["balance_usd"] == "1")
    rows = router.ok("GET", "/api/credits/ledger", token=token)["data"]
    assert [r["kind"] for r in rows] == ["monthly"] and time.strftime("%Y-%m", time.gmtime()) in rows[0]["note"]
    assert router.call("PATCH", "/api/admin/plans", {"name": "later", "monthly_credit_usd": "-1"}, admin).status == 400
    clean(router, admin)


# ---- budgets ----


def key_with(router, token, **fields):
    return router.ok("POST", "/api/keys", {"name": "budget", **fields}, token)


def test_a_budget_is_a_budget_however_many_race(router, admin, account):
    """Room for some 20 calls, 200 attempts from 32 clients. No call costs more than it holds."""
    within_a_day()
    _, token, _ = account
    one = Decimal("0.15") * 50 / 1_000_000 + Decimal("0.60") * 100 / 1_000_000  # more than a call costs or holds
    made = key_with(router, token, budget_usd="0.0013", budget_period="month")
    assert made["budget_usd"] == "0.0013" and made["budget_period"] == "month"

    def call(i):
        return router.chat(made["key"], "[[prompt=5 tokens=100]]", max_tokens=100)

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(call, range(200)))
    refused = [a for a in answers if a.status != 200]
    admitted = len(answers) - len(refused)
    assert refused and {(a.status, a.error["code"]) for a in refused} == {(429, "insufficient_quota")}
    assert {a.headers["x-should-retry"] for a in refused} == {"false"}
    assert all("budget" in a.error["message"] for a in refused)
    rows = router.settled(token, admitted)
    spent = sum(Decimal(r["cost_usd"]) for r in rows)
    assert 0 < spent <= Decimal("0.0013") and Decimal("0.0013") - spent < 2 * one
    shown = router.ok("GET", f"/api/keys/{made['id']}", token=token)
    assert Decimal(shown["budget_spent_usd"]) == spent and "key" not in shown
    listed = {k["id"]: k for k in router.ok("GET", "/api/keys", token=token)["data"]}[made["id"]]
    assert listed["budget_spent_usd"] == shown["budget_spent_usd"]
    clean(router, admin)


def test_budgets_change_and_shorten_answers(router, account):
    _, token, free = account
    made = key_with(router, token, budget_usd="0.00002")
    assert made["budget_period"] == "total"
    a = router.chat(made["key"], "[[prompt=5 tokens=1000]]")
    assert a.status == 200, a
    assert a.json()["usage"]["completion_tokens"] <= 33  # what the budget bears at 0.60 USD a million
    assert router.chat(free, "[[tokens=3]]").status == 200
    wait_until("the bill", 10, lambda: router.ok("GET", f"/api/keys/{made['id']}", token=token)["budget_spent_usd"] != "0")
    assert router.chat(made["key"], "[[prompt=5 tokens=100]]").status == 429
    path = f"/api/keys/{made['id']}"
    changed = router.ok("PATCH", path, {"budget_usd": "1", "budget_period": "week", "name": "renamed"}, token)
    assert changed["name"] == "renamed" and changed["budget_period"] == "week" and changed["budget_spent_usd"] == "0"
    assert router.chat(made["key"], "[[tokens=3]]").status == 200
    assert router.ok("PATCH", path, {"budget_usd": "0"}, token)["budget_period"] == ""
    for body, param in (({"budget_usd": "-1"}, "budget_usd"), ({"budget_usd": "1", "budget_period": "year"}, "budget_period"), ({"name": ""}, "name")):
        a = router.call("PATCH", path, body, token)
        assert a.status == 400 and a.error["param"] == param, a
    assert router.call("PATCH", path, {"user_id": "usr_1"}, token).status == 400
    assert router.call("DELETE", path, token=token).status == 204
    assert router.call("PATCH", path, {"rpm": 1}, token).status == 409


def test_keys_are_their_owners(router, admin, account):
    _, token, _ = account
    made = key_with(router, token, rpm=7)
    other = router.user(admin=admin)[1]
    assert router.call("GET", f"/api/keys/{made['id']}", token=other).status == 404
    assert router.call("PATCH", f"/api/keys/{made['id']}", {"rpm": 8}, other).status == 404
    assert router.ok("GET", f"/api/keys/{made['id']}", token=token)["rpm"] == 7


# ---- receipts ----


def test_a_receipt_proves_itself(router, admin, account):
    _, token, _ = account
    row = a_call(router, account)
    for absent in ("price", "attempt_log", "entries"):
        assert absent not in row
    receipt = router.ok("GET", f"/api/usage/requests/{row['request_id']}", token=token)
    assert {k: receipt[k] for k in row} == row
    assert Decimal(receipt["hold_usd"]) >= Decimal(receipt["cost_usd"])
    price, entries, attempts = receipt["price"], receipt["entries"], receipt["attempt_log"]
    exact = (Decimal(price["input"]) * receipt["prompt_tokens"] + Decimal(price["output"]) * receipt["completion_tokens"]) / 1_000_000
    assert price["id"] == receipt["price_id"] and Decimal(receipt["cost_usd"]) == exact
    assert {e["account"]: e["amount_usd"] for e in entries} == {"available": f"-{receipt['cost_usd']}", "revenue": receipt["cost_usd"]}
    answered = [a for a in attempts if a["answered"]]
    assert len(answered) == 1 and answered[0]["cost_usd"] == receipt["cost_usd"]
    assert answered[0]["provider"] == receipt["provider"] and answered[0]["outcome"] == "ok"
    assert router.ok("GET", f"/api/admin/requests/{row['request_id']}", token=admin)["entries"] == entries
    assert router.call("GET", f"/api/usage/requests/{row['request_id']}", token=router.user(admin=admin)[1]).status == 404


# ---- the command line ----


class LossyFront(http.server.BaseHTTPRequestHandler):
    """Passes a request on to server.to; the answer to a grant is lost, or becomes server.instead."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        head = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")}
        with urllib.request.urlopen(urllib.request.Request(self.server.to + self.path, body, head), timeout=30) as answer:
            assert answer.status == 201
        self.server.keys.append(self.headers.get("idempotency-key"))
        self.close_connection = True
        if self.server.instead:
            self.send_response(self.server.instead)
            self.send_header("content-length", "0")
            self.end_headers()

    def log_message(self, *_):
        pass


def test_routerctl_names_the_key_of_a_grant_whose_answer_was_lost(router, admin):
    user, token = router.user(credit=None, admin=admin)
    direct = f"http://127.0.0.1:{router.port}"

    def grant_at(url, *more):
        env = {"PATH": os.environ["PATH"], "ROUTER_URL": url, "ROUTER_TOKEN": admin}
        argv = [str(BIN / "routerctl"), "credits", "grant", user["id"], "2", *more]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)

    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), LossyFront)
    front.to, front.keys = direct, []
    threading.Thread(target=front.serve_forever, daemon=True).start()
    try:
        for instead, given in ((None, ()), (502, ()), (None, ("--idempotency-key", "my-own"))):
            front.instead = instead
            before = Decimal(router.credits(token)["balance_usd"])
            lost = grant_at(f"http://127.0.0.1:{front.server_port}", *given)
            assert lost.returncode == 1 and lost.stdout == "", lost
            key = re.search(r"repeat it with --idempotency-key (\S+),", lost.stderr).group(1)
            assert key == front.keys[-1] and (key == "my-own" if given else re.fullmatch(r"ctl-[0-9a-f]{32}", key)), lost
            for _ in range(2):
                assert grant_at(direct, "--idempotency-key", key).returncode == 0
            assert Decimal(router.credits(token)["balance_usd"]) == before + 2
    finally:
        front.shutdown()
        front.server_close()
    assert len(set(front.keys)) == 3
    refused = grant_at(direct, "--kind", "nonsense")
    assert refused.returncode == 1 and "idempotency" not in refused.stderr  # nothing was done: there is nothing to be sure of
    before = Decimal(router.credits(token)["balance_usd"])
    assert [grant_at(direct).returncode for _ in range(2)] == [0, 0]  # two commands are two grants
    assert Decimal(router.credits(token)["balance_usd"]) == before + 4
    clean(router, admin)


def test_routerctl(router, admin):
    user, _ = router.user(credit=None, admin=admin)
    session = router.ok("POST", "/auth/register", {"email": "cli@example.com", "password": "a long password"})
    me, mine = session["user"], session["access_token"]

    def ctl(*args, who=admin, code=0):
        env = {"PATH": os.environ["PATH"], "ROUTER_URL": f"http://127.0.0.1:{router.port}", "ROUTER_TOKEN": who}
        r = subprocess.run([str(BIN / "routerctl"), *args], env=env, capture_output=True, text=True, timeout=60)
        assert r.returncode == code, r
        return r.stdout

    ctl("credits", "grant", user["email"], "4", "--kind", "topup", "--note", "paid")
    ctl("credits", "grant", me["id"], "1", "--kind", "nonsense", code=1)
    assert "topup" in ctl("ledger", "list", "--limit", "4")
    codes = [json.loads(ctl("codes", "create", "2", "--count", "2", "--json"))["data"][i]["code"] for i in (0, 1)]
    assert "rc-" in ctl("codes", "create", "2") and "open" in ctl("codes", "list")
    assert codes[0] not in ctl("codes", "list", "--json")
    assert ctl("redeem", codes[0], "--field", "balance_usd", who=mine).strip() == "7"
    ctl("redeem", codes[0], who=mine, code=1)
    key = json.loads(ctl("key", "create", "laptop", "--budget", "5", "--budget-period", "month", "--json", who=mine))
    assert key["budget_usd"] == "5"
    assert router.chat(key["key"], "[[prompt=7 tokens=3]]").status == 200
    ctl("key", "update", key["id"], "--budget", "6", who=mine)
    assert ctl("key", "show", key["id"], "--field", "budget_usd", who=mine).strip() == "6"
    rows = wait_until("the call", 10, lambda: json.loads(ctl("requests", "--json", who=mine))["data"])
    receipt = ctl("receipt", rows[0]["request_id"], who=mine)
    assert "entries" in receipt and "attempt_log" in receipt and "revenue" in receipt
    assert ctl("credits", "ledger", who=mine).count("code") >= 1
    ctl("plan", "set", "cli-plan", "--monthly-credit", "1.5")
    assert "1.5" in ctl("plan", "list")
    ctl("ledger", "verify")
