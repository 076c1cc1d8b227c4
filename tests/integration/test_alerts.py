"""What is wrong becomes an alert, and an alert reaches a receiver: signed, once, also when it was away."""
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import secrets
import sqlite3
import subprocess
import threading
import time

from router import BIN, Router, free_port, wait_until
from test_keys import chat

PATH = "/api/admin/alerts"
SECRET = "a-secret-for-the-webhook"
SECONDS = 30  # a look every five seconds
HEAD = {"x-forwarded-for": "203.0.113.7"}


class Receiver:
    """A local HTTP server that keeps what is posted to it and answers with what `statuses` says next, else 200."""

    def __init__(self, port):
        self.got, self.statuses = [], []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                receiver.got.append((status, dict(self.headers.items()), body))
                self.send_response(status)
                self.send_header("location", "http://127.0.0.1:1/")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


def verify(headers, body):
    parts = dict(p.split("=", 1) for p in headers["x-router-signature"].split(","))
    signed = hmac.new(SECRET.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signed, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


def environment(port):
    return {"TRUSTED_PROXIES": "127.0.0.1", "ALERT_WEBHOOK_URL": f"http://127.0.0.1:{port}/hook", "ALERT_WEBHOOK_SECRET": SECRET}


def fail_to_sign_in(router, n=30):
    who = {"email": "nobody@example.com", "password": "not the password"}
    return [router.call("POST", "/auth/login", who, headers=HEAD).status for _ in range(n)]


def alerts(router, admin, query="limit=100"):
    return router.ok("GET", f"{PATH}?{query}", token=admin)["data"]


def fires(router, admin, rule):
    wait_until(f"{rule} fires", SECONDS, lambda: alerts(router, admin, f"rule={rule}&state=firing"), every=0.2)
    (alert,) = alerts(router, admin, f"rule={rule}&state=firing")
    return alert


def test_brute_force_is_told_to_the_receiver_and_acknowledged():
    port = free_port()
    with Receiver(port) as receiver, Router(env=environment(port)) as r:
        admin = r.admin()
        assert fail_to_sign_in(r) == [401] * 10 + [429] * 20
        alert = fires(r, admin, "brute_force")
        assert alert["subject"] == "203.0.113.7" and alert["severity"] == "warning" and "30 failed sign-ins" in alert["text"]
        wait_until("it is posted", SECONDS, lambda: receiver.got)
        status, headers, body = receiver.got[0]
        assert verify(headers, body) and headers["content-type"] == "application/json" and int(headers["x-router-delivery"]) > 0
        assert not verify(headers, body + b" ")
        told = json.loads(body)
        assert told["rule"] == "brute_force" and told["state"] == "firing" and told["id"] == alert["id"] and "203.0.113.7" in told["text"]
        wait_until("it is seen again", SECONDS, lambda: fires(r, admin, "brute_force")["count"] > alert["count"], every=0.2)
        assert len(receiver.got) == 1 and fires(r, admin, "brute_force")["id"] == alert["id"]

        acknowledge = f"{PATH}/{alert['id']}/acknowledge"
        user, token = r.user(admin=admin)
        for method, path in (("GET", PATH), ("POST", acknowledge)):
            assert r.call(method, path, token=token).status == 403
            assert r.call(method, path).status == 401
        assert "acknowledged_by" not in alert or not alert["acknowledged_by"]
        me = r.ok("GET", "/auth/me", token=admin)["id"]
        assert r.ok("POST", acknowledge, token=admin)["acknowledged_by"] == me
        assert [(e["action"], e["object"]) for e in r.ok("GET", "/api/admin/audit?limit=1", token=admin)["data"]] == [("alert.acknowledge", str(alert["id"]))]
        for wrong in ("999999", "x"):
            a = r.call("POST", f"{PATH}/{wrong}/acknowledge", token=admin)
            assert a.status == 404 and a.error["code"] == "alert_not_found", a
        a = r.call("GET", f"{PATH}?state=nonsense", token=admin)
        assert a.status == 400 and a.error["param"] == "state", a
        assert r.metric("router_webhook_deliveries_total", service="meterd", outcome="ok") == 1
        wait_until("the metric", SECONDS, lambda: r.metric("router_alerts_firing", severity="warning") == 1, every=0.2)
        code, out = r.ctl("alerts", "--state", "firing")[:2]
        assert code == 0 and "brute_force" in out
        assert SECRET not in r.logs()


def test_a_receiver_that_is_away_gets_it_later_and_once():
    port = free_port()
    with Router(env=environment(port)) as r:
        admin = r.admin()
        fail_to_sign_in(r)
        first = fires(r, admin, "brute_force")
        for _ in range(16):
            assert chat(r, "sk-or-" + secrets.token_hex(20), headers=HEAD).status == 401
        second = fires(r, admin, "key_guessing")
        wait_until("it was tried", SECONDS, lambda: "alert_not_posted" in r.logs(), every=0.2)
        r.stop()
        r.start()  # what waits is in the database
        with Receiver(port) as receiver:
            receiver.statuses = [302]  # not taken, and not followed
            wait_until("both were taken", 60, lambda: [status for status, _, _ in receiver.got].count(200) >= 2, every=0.2)
            assert [status for status, _, _ in receiver.got] == [302, 200, 200]
            ids = [headers["x-router-delivery"] for _, headers, _ in receiver.got]
            assert ids[0] == ids[1] != ids[2]
            assert all(verify(headers, body) for _, headers, body in receiver.got)
            assert [json.loads(body)["id"] for status, _, body in receiver.got if status == 200] == [first["id"], second["id"]]
            time.sleep(3)
            assert len(receiver.got) == 3


def test_refresh_reuse_is_critical():
    with Router(env={"TRUSTED_PROXIES": "127.0.0.1"}) as r:
        admin = r.admin()
        tokens = r.ok("POST", "/auth/register", {"email": "ann@example.com", "password": "a good password"})
        body = {"refresh_token": tokens["refresh_token"]}
        r.ok("POST", "/auth/refresh", body)
        assert r.call("POST", "/auth/refresh", body).status == 401
        alert = fires(r, admin, "refresh_token_reused")
        assert alert["severity"] == "critical" and alert["subject"] == tokens["user"]["id"]


def test_nothing_is_posted_in_plain_to_a_public_name(tmp_path):
    urls = {name: f"ipc://{tmp_path}/{name}" for name in ("METERD_URL", "METERD_FEED_URL", "METERD_EVENTS_URL")}
    env = {**os.environ, **urls, "DB_PATH": str(tmp_path / "app.db"), "ADMIN_PASSWORD": "a good password", "ALERT_WEBHOOK_URL": "http://hooks.example.com/x"}
    done = subprocess.run([BIN / "meterd"], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "ALERT_WEBHOOK_URL" in done.stderr and "hooks.example.com" not in done.stderr


def test_a_key_that_does_far_more_than_ever():
    left = 3600 - time.time() % 3600
    if left < 90:  # all of it within one hour of the clock
        time.sleep(left + 1)
    with Router() as r:
        admin = r.admin()
        _, token = r.user(admin=admin)
        made = r.ok("POST", "/api/keys", {"name": "laptop"}, token)
        path = r.environment()["DB_PATH"]

        def database(sql, *values):
            with contextlib.closing(sqlite3.connect(path, timeout=10)) as db, db:
                return db.execute(sql, values).fetchall()

        assert {chat(r, made["key"]).status for _ in range(101)} == {200}
        wait_until("the calls are in a sum", SECONDS, lambda: database("SELECT sum(calls) FROM key_hour WHERE key_id = ?", made["id"]) == [(101,)], every=0.5)
        r.stop()
        for i in range(1, 25):  # what nobody can wait for: a day of ten calls an hour
            database("INSERT INTO key_hour VALUES (?, ?, 10, 0)", made["id"], int(time.time()) // 3600 - i - 1)
        r.start()
        admin = r.admin()
        alert = fires(r, admin, "anomalous_use")
        assert alert["subject"] == made["id"] and "10 calls" in alert["text"], alert
        (event,) = r.ok("GET", "/api/admin/security-events?kind=anomalous_use", token=admin)["data"]
        assert event["subject"] == made["id"] and event["count"] == 1
