"""BUS_SECRET: four processes that have it serve as always; one that has another is turned away, and everybody says so."""
import os
import re
import subprocess
import time
from decimal import Decimal

import pytest

from router import BIN, TIME_SCALE, Router, free_port, wait_until

SECRET = "a-secret-of-the-bus-with-more-than-32-characters"
OTHER = "another-secret-of-the-bus-with-more-than-32-characters"


def over_tcp():
    names = ("AUTHSVC_URL", "METERD_URL", "METERD_FEED_URL", "METERD_EVENTS_URL")
    return {name: f"tcp://127.0.0.1:{free_port()}" for name in names}


def restart(r, name, secret):
    r.processes[name].stop()
    r.extra["BUS_SECRET"] = secret
    r.start_service(name)


def not_ready(r):
    a = r.call("GET", "/health/ready")
    return a.json() if a.status == 503 and "reason" in a.json() else None


def test_a_paid_call_and_then_a_service_with_another_secret():
    with Router(mode="processes", env={"BUS_SECRET": SECRET, **over_tcp()}) as r:
        user, token = r.user("10")
        key = r.new_key(token)
        assert r.chat(key, "[[tokens=5]]").status == 200
        rows = r.settled(token, 1)
        assert Decimal(rows[0]["cost_usd"]) > 0
        assert Decimal(r.credits(token)["balance_usd"]) == Decimal("10") - Decimal(rows[0]["cost_usd"])
        assert "bus_peer_refused" not in r.logs()
        assert not re.search(r"^router_bus_refused_total\{[^}]*\} [1-9]", r.call("GET", "/metrics").body.decode(), re.M)

        restart(r, "authsvc", OTHER)
        said = wait_until("ready says why", 20, lambda: not_ready(r))
        assert said["reason"].startswith("authsvc refused: BUS_SECRET differs"), said
        began = time.monotonic()
        a = r.chat(key, "[[tokens=5]]")
        assert a.status == 503, a
        assert time.monotonic() - began < 1.5 * TIME_SCALE, "it waited for what cannot come"
        checks = [c for s in r.ok("GET", "/health/detailed")["services"] for c in s.get("checks", []) if c["name"] == "authsvc"]
        assert any("BUS_SECRET differs" in c["detail"] for c in checks), checks
        lines = [line for line in r.logs().splitlines() if "bus_peer_refused" in line]
        assert any('"gateway"' in line and "BUS_SECRET differs" in line for line in lines), lines
        assert any('"authsvc"' in line and "BUS_SECRET differs" in line for line in lines), lines
        assert len(lines) < 20, "once a minute for each peer is enough"
        assert re.search(r'^router_bus_refused_total\{[^}]*why="secret"[^}]*\} [1-9]', r.call("GET", "/metrics").body.decode(), re.M)

        restart(r, "authsvc", SECRET)
        r.wait_ready()
        assert r.chat(key, "[[tokens=5]]").status == 200
        assert len(r.settled(token, 2)) == 2


@pytest.mark.parametrize("name", ["meterd", "providersvc0"])
def test_without_it_a_service_is_turned_away(name):
    with Router(mode="processes", env={"BUS_SECRET": SECRET}) as r:
        r.processes[name].stop()
        r.extra.pop("BUS_SECRET")
        r.start_service(name.rstrip("0"))

        def logged():
            return [line for line in r.logs().splitlines() if "bus_peer_refused" in line and "BUS_SECRET differs" in line]

        wait_until("both sides say so", 20, lambda: len({re.search(r'"service":"(\w+)"', line).group(1) for line in logged()}) > 1)
        r.extra["BUS_SECRET"] = SECRET
        r.processes[name].stop()
        r.start_service(name.rstrip("0"))
        r.wait_ready()


def test_a_secret_is_changed_one_service_after_the_other():
    with Router(mode="processes", env={"BUS_SECRET": SECRET}) as r:
        _, token = r.user("10")
        key = r.new_key(token)
        n = 0
        for secret in (f"{SECRET},{OTHER}", f"{OTHER},{SECRET}", OTHER):
            for name in ("meterd", "authsvc", "providersvc0", "gateway"):
                r.processes[name].stop()
                r.extra["BUS_SECRET"] = secret
                r.start_service(name.rstrip("0"))
                r.wait_ready()
                assert r.chat(key, "[[tokens=1]]").status == 200
                n += 1
        assert len(r.settled(token, n, 30)) == n
        assert "bus_peer_refused" not in r.logs()


@pytest.mark.parametrize("program", ["gateway", "authsvc", "providersvc", "meterd"])
@pytest.mark.parametrize("secret", ["short", f"{SECRET},short"])
def test_a_short_secret_stops_the_start(program, secret, tmp_path):
    env = {"PATH": os.environ["PATH"], "BUS_SECRET": secret, "DB_PATH": str(tmp_path / "app.db"), "SPOOL_DIR": str(tmp_path), "JWT_SECRET": SECRET}
    done = subprocess.run([str(BIN / program)], env=env, cwd=tmp_path, capture_output=True, timeout=30)
    assert done.returncode == 2, done
    assert done.stderr.startswith(f"{program}: BUS_SECRET: ".encode()) and done.stderr.count(b"\n") == 1 and b"32" in done.stderr, done
