"""What an operator sees: health, metrics, settings, shutdown, restart, faults of each part."""
import ctypes.util
import os
import re
import signal
import subprocess
import threading
import time
from decimal import Decimal

import pytest

from router import BIN, MODE, TIME_SCALE, Events, Router, Upstream, wait_until

PROCESSES = pytest.mark.skipif(MODE != "processes", reason="needs services of their own")


def test_health(router):
    assert router.call("GET", "/health").status == 200
    assert router.call("GET", "/health/live").status == 200
    assert router.call("GET", "/health/ready").status == 200
    detailed = router.ok("GET", "/health/detailed")
    services = {s["service"]: s for s in detailed["services"]}
    assert set(services) == {"gateway", "authsvc", "providersvc", "meterd"}
    assert all(s["ready"] for s in services.values()), detailed


def test_metrics(router, account):
    router.chat(account[2], "[[tokens=1]]")
    text = router.call("GET", "/metrics").body.decode()
    for service in ("gateway", "authsvc", "providersvc", "meterd"):
        assert f'service="{service}"' in text
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types)), "a TYPE line twice"
    for line in text.splitlines():
        assert line.startswith("#") or (line.rsplit(" ", 1)[0].startswith("router_") and float(line.rsplit(" ", 1)[1]) is not None), line
    assert account[2] not in text


@PROCESSES
def test_metrics_are_those_of_every_instance():
    """Asked of one by chance, counters would fall and rise from one look to the next."""
    with Router(providers=3) as r:
        _, token = r.user()
        key = r.new_key(token)
        wait_until("all instances take calls", 10, lambda: 'router_peer_instances{service="gateway"' in (text := r.call("GET", "/metrics").body.decode()) and ',peer="providersvc"} 3\n' in text)
        for _ in range(30):
            assert r.chat(key, "[[tokens=1]]").status == 200
        for _ in range(3):
            text = r.call("GET", "/metrics").body.decode()
            counts = re.findall(r'^router_model_calls_total{service="providersvc",replica="(\w+)",model="gpt-4o-mini",outcome="ok"} (\d+)$', text, re.M)
            assert len({replica for replica, _ in counts}) == len(counts) == 3, counts
            assert sum(int(n) for _, n in counts) == 30


@pytest.mark.parametrize("program", ["gateway", "authsvc", "providersvc", "meterd", "openai-router"])
def test_a_wrong_setting_stops_the_start_with_one_line(program, tmp_path):
    env = {"PATH": os.environ["PATH"], "LOG_LEVEL": "loud"}
    r = subprocess.run([str(BIN / program)], env=env, cwd=tmp_path, capture_output=True, timeout=30)
    assert r.returncode == 2
    assert r.stderr.decode() == f"{program}: LOG_LEVEL: 'loud' is not one of info|error|warn|debug\n"
    help_text = subprocess.run([str(BIN / program), "--help"], env=env, capture_output=True, timeout=30)
    assert help_text.returncode == 0 and b"LOG_LEVEL" in help_text.stdout


def test_authsvc_wants_a_secret(tmp_path):
    r = subprocess.run([str(BIN / "authsvc")], env={"PATH": os.environ["PATH"]}, cwd=tmp_path, capture_output=True, timeout=30)
    assert r.returncode == 2 and b"JWT_SECRET" in r.stderr


def test_a_taken_port_is_said(router, tmp_path):
    env = {"PATH": os.environ["PATH"], "PORT": str(router.port), "AUTHSVC_URL": f"ipc://{tmp_path}/a", "PROVIDERSVC_URL": f"ipc://{tmp_path}/p", "METERD_URL": f"ipc://{tmp_path}/m"}
    r = subprocess.run([str(BIN / "gateway")], env=env, cwd=tmp_path, capture_output=True, timeout=30)
    assert r.returncode != 0 and str(router.port).encode() in r.stderr


def test_an_address_that_the_http_server_cannot_listen_on_is_said(tmp_path):
    """Debian builds civetweb without IPv6; its own words for it are of port specs."""
    if ctypes.CDLL(ctypes.util.find_library("civetweb")).mg_check_feature(8):
        pytest.skip("civetweb has IPv6 here")
    env = {"PATH": os.environ["PATH"], "HOST": "::1", "PORT": "0", "AUTHSVC_URL": f"ipc://{tmp_path}/a", "PROVIDERSVC_URL": f"ipc://{tmp_path}/p", "METERD_URL": f"ipc://{tmp_path}/m"}
    r = subprocess.run([str(BIN / "gateway")], env=env, cwd=tmp_path, capture_output=True, timeout=30)
    assert r.returncode != 0
    assert b"HOST '::1': the civetweb installed here has no IPv6. Listen on an IPv4 address" in r.stderr, r.stderr


def test_sigterm_lets_running_calls_finish():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        e = Events(r, key, "[[tokens=60 delay=20]]")
        it = iter(e)
        next(it)
        codes = {}
        stopper = threading.Thread(target=lambda: codes.update(r.stop()))
        stopper.start()
        rest = list(it)
        assert rest[-1] == "[DONE]"
        stopper.join()
        assert all(c == 0 for c in codes.values()), codes


def test_everything_is_there_after_a_restart():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        assert r.chat(key, "[[tokens=10 prompt=100]]").status == 200
        r.settled(token, 1)
        wait_until("nothing is held", 10, lambda: r.credits(token)["held_usd"] == "0")  # admission hears of the bill after it is written
        before = r.credits(token)
        r.stop()
        r.start()
        assert r.credits(token) == before
        assert r.chat(key, "[[tokens=1]]").status == 200


def test_kill_dash_nine_of_everything_loses_no_bill():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        for _ in range(20):
            assert r.chat(key, "[[tokens=10 prompt=100]]").status == 200
        for name in list(r.processes):
            r.processes.pop(name).kill()
        r.start()
        rows = r.settled(token, 20)
        assert len(rows) == 20
        spent = sum(Decimal(x["cost_usd"]) for x in rows)
        assert Decimal(r.credits(token)["balance_usd"]) == 10 - spent
        assert r.ok("GET", "/api/admin/system/ledger", token=r.admin())["ok"] is True


def test_a_dead_upstream_is_a_clear_502():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        port = r.upstream.port
        r.upstream.stop()
        a = r.chat(key, "[[tokens=1]]")
        assert a.status == 502 and a.error["code"] == "upstream_error", a
        r.upstream = Upstream(r.folder, port=port)
        assert r.chat(key, "[[tokens=1]]").status == 200
        rows = r.settled(token, 2)
        assert {x["status"] for x in rows} == {"ok", "error"}


def test_timeouts_of_the_upstream():
    with Router(env={"UPSTREAM_FIRST_BYTE_MS": "1000", "UPSTREAM_ANSWER_MS": "6000", "UPSTREAM_IDLE_MS": "1500"}) as r:
        _, token = r.user()
        key = r.new_key(token)
        began = time.monotonic()
        a = r.chat(key, "[[hang=headers]]")
        assert a.status == 504 and a.error["code"] == "upstream_timeout", a
        assert a.headers["x-should-retry"] == "false"
        assert 6 <= time.monotonic() - began < 12 * TIME_SCALE
        began = time.monotonic()
        assert r.chat(key, "[[hang=headers]]", stream=True).status == 504
        assert 1 <= time.monotonic() - began < 3 * TIME_SCALE
        # what is not streamed comes when all of it is made: later than a stream would have to begin
        assert r.chat(key, "[[tokens=2 first=2000]]").status == 200
        data = list(Events(r, key, "[[tokens=50 delay=1 hang=stream at=5]]"))
        assert data[-1] != "[DONE]" and '"error"' in data[-1]


@PROCESSES
def test_meterd_away_calls_go_on_and_settle_on_its_return():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        assert r.chat(key, "[[tokens=1]]").status == 200
        r.settled(token, 1)
        r.processes.pop("meterd").kill()
        slow = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert r.chat(key, "[[tokens=10 prompt=100]]").status == 200
            slow = max(slow, time.monotonic() - began)
        assert slow < 1.0 * TIME_SCALE
        r.start_service("meterd")
        rows = r.settled(token, 21, seconds=20)
        assert len(rows) == 21
        wait_until("credit follows", 10, lambda: Decimal(r.credits(token)["balance_usd"]) == 10 - sum(Decimal(x["cost_usd"]) for x in rows))


@PROCESSES
def test_authsvc_restarting_is_waited_for():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        r.processes.pop("authsvc").kill()
        threading.Timer(0.5, lambda: r.start_service("authsvc")).start()
        a = r.chat(key, "[[tokens=1]]")
        assert a.status in (200, 503), a
        wait_until("calls are admitted again", 10, lambda: r.chat(key, "[[tokens=1]]").status == 200)


@PROCESSES
def test_providersvc_killed_in_a_stream():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        e = Events(r, key, "[[tokens=500 delay=10]]")
        it = iter(e)
        for _ in range(5):
            next(it)
        began = time.monotonic()
        r.processes.pop("providersvc0").kill()
        rest = list(it)
        assert time.monotonic() - began < 5 * TIME_SCALE
        assert rest[-1] != "[DONE]" and '"error"' in rest[-1]
        r.start_service("providersvc", 0)
        wait_until("calls are answered again", 10, lambda: r.chat(key, "[[tokens=1]]").status == 200)
        rows = r.settled(token, 2)
        assert len({x["request_id"] for x in rows}) == len(rows)


@PROCESSES
def test_two_providersvc_share_calls_and_one_may_die():
    with Router(providers=2) as r:
        _, token = r.user()
        key = r.new_key(token)
        calls = []

        def call():
            calls.append(r.chat(key, "[[tokens=1]]"))
            return calls[-1]

        def seen():
            return {a.headers["x-router-instance"] for a in calls}

        wait_until("the gateway has reached both", 10, lambda: call().status == 200 and len(seen()) == 2)
        calls.clear()
        for _ in range(40):
            a = call()
            assert a.status == 200, a
        assert len(seen()) == 2
        r.processes.pop("providersvc1").kill()
        wait_until("the loss is noticed", 3, lambda: all(call().status == 200 for _ in range(4)))  # it is asked every other time
        for _ in range(20):
            assert call().status == 200
        # What the killed one had not handed over yet, the other finds in its outbox: it looks each 5 s (OUTBOX_ADOPT_MS).
        done = {a.headers["x-request-id"] for a in calls if a.status == 200}

        def of_all():
            rows = r.settled(token, len(done), seconds=20)
            return rows if done <= {row["request_id"] for row in rows} else None

        rows = wait_until("every call has its row", 20, of_all)
        assert len({row["request_id"] for row in rows}) == len(rows) >= 61


@PROCESSES
def test_a_call_that_nobody_took_has_its_row_when_its_gateway_dies_too():
    """Admitted, not taken by any providersvc, and the gateway that would void it is killed: authsvc says it in the end."""
    with Router(env={"CALL_TIMEOUT_MS": "4000", "HOLD_GRACE_MS": "1000"}) as r:
        _, token = r.user()
        key = r.new_key(token)
        r.processes.pop("providersvc0").kill()
        caller = threading.Thread(target=lambda: pytest.raises(Exception, r.chat, key, "[[tokens=5]]", max_tokens=100))
        caller.start()
        wait_until("credit is held", 5, lambda: Decimal(r.credits(token)["held_usd"]) > 0)
        r.processes.pop("gateway").kill()
        caller.join()
        r.start_service("gateway")
        r.start_service("providersvc", 0)
        r.wait_ready()
        (row,) = r.settled(token, 1, seconds=20)
        assert (row["status"], row["cost_usd"], row["completion_tokens"]) == ("void", "0", 0), row
        wait_until("nothing is held", 10, lambda: Decimal(r.credits(token)["held_usd"]) == 0)
        assert Decimal(r.credits(token)["balance_usd"]) == 10
        assert not r.upstream.rows(), "it went upstream"


@PROCESSES
def test_gateway_killed_cancels_its_calls():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        before = r.upstream.stats()["cancelled"]
        e = Events(r, key, "[[tokens=1000 delay=20]]")
        next(iter(e))
        r.processes.pop("gateway").kill()
        wait_until("upstream is cancelled", 10, lambda: r.upstream.stats()["cancelled"] > before)
        e.close()
        r.start_service("gateway")
        r.wait_ready()
        (row,) = r.settled(token, 1)
        assert row["status"] == "cancelled"
