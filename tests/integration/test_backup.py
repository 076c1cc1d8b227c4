"""Backup while calls run, restore, and the outbox that gives back what the backup does not have."""
import os
import subprocess
import threading
from decimal import Decimal

import pytest
from router import ADMIN_EMAIL, ADMIN_PASSWORD, BIN, MODE, Router, wait_until


def routerctl(router, *argv):
    env = {
        "PATH": os.environ["PATH"],
        "ROUTER_URL": f"http://127.0.0.1:{router.port}",
        "ADMIN_EMAIL": ADMIN_EMAIL,
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
        "DB_PATH": str(router.folder / "db" / "app.db"),
    }
    return subprocess.run([str(BIN / "routerctl"), *argv], env=env, cwd=router.folder, capture_output=True, text=True, timeout=120)


def done(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def clean(router):
    report = router.ok("GET", "/api/admin/system/ledger", token=router.admin())
    assert report["ok"] is True, report
    return report


def test_a_backup_while_calls_run():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        stop = threading.Event()
        seen = []

        def calls():
            while not stop.is_set():
                seen.append(r.chat(key, "[[tokens=5 prompt=50]]").status)

        worker = threading.Thread(target=calls)
        worker.start()
        try:
            shown = done(routerctl(r, "backup", "under-load.db"))
            fields = r.ok("POST", "/api/admin/system/backup", {}, r.admin())
        finally:
            stop.set()
            worker.join()
        path = r.folder / "db" / "backups" / "under-load.db"
        assert str(path) in shown and str(path.stat().st_size) in shown
        assert path.stat().st_mode & 0o777 == 0o600
        assert fields["path"] != str(path) and os.path.getsize(fields["path"]) == fields["bytes"]
        assert seen and set(seen) == {200}
        for bad in ("../x.db", ".x", "a/b"):
            assert r.call("POST", "/api/admin/system/backup", {"name": bad}, r.admin()).status == 400
        assert r.call("POST", "/api/admin/system/backup", {"name": "under-load.db"}, r.admin()).status == 409
        assert sorted(p.name for p in path.parent.iterdir()) == sorted(["under-load.db", os.path.basename(fields["path"])])
        refused = routerctl(r, "restore", str(path))
        assert refused.returncode != 0 and "another meterd" in refused.stderr
        clean(r)


@pytest.mark.parametrize("damage", ["none", "lost"])
def test_calls_after_the_backup_come_back_from_the_outbox(damage):
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        for _ in range(10):
            assert r.chat(key, "[[tokens=10 prompt=100]]").status == 200
        r.settled(token, 10)
        done(routerctl(r, "backup", "b.db"))
        for _ in range(15):
            assert r.chat(key, "[[tokens=20 prompt=100]]").status == 200
        rows = r.settled(token, 25)
        credits = r.credits(token)
        report = clean(r)
        assert Decimal(credits["balance_usd"]) == 10 - sum(Decimal(x["cost_usd"]) for x in rows)
        r.stop()
        db = r.folder / "db" / "app.db"
        if damage == "lost":
            for name in ("app.db", "app.db-wal", "app.db-shm"):
                (db.parent / name).unlink(missing_ok=True)
        shown = done(routerctl(r, "restore", str(db.parent / "backups" / "b.db")))
        kept = list(db.parent.glob("app.db.before-restore-*"))
        assert len(kept) == (1 if damage == "none" else 0)
        assert "kept" in shown and all(str(k) in shown for k in kept)
        r.start()
        again = r.settled(token, 25, seconds=20)
        assert {x["request_id"]: x["cost_usd"] for x in again} == {x["request_id"]: x["cost_usd"] for x in rows}
        wait_until("credit is what it was", 10, lambda: r.credits(token)["balance_usd"] == credits["balance_usd"])
        assert clean(r)["requests"] == report["requests"]
        assert r.chat(key, "[[tokens=1]]").status == 200
        r.settled(token, 26)
        clean(r)


def test_a_backup_older_than_what_is_kept_loses_only_that():
    """Nothing is kept: the calls after the backup are gone, which is said, and everything goes on."""
    with Router(env={"SPOOL_KEEP_HOURS": "0"}) as r:
        _, token = r.user()
        key = r.new_key(token)
        assert r.chat(key, "[[tokens=10 prompt=100]]").status == 200
        r.settled(token, 1)
        done(routerctl(r, "backup", "b.db"))
        for _ in range(5):
            assert r.chat(key, "[[tokens=10 prompt=100]]").status == 200
        r.settled(token, 6)
        r.stop()
        segments = list((r.folder / "spool").glob("src_*/*.log"))
        assert segments
        r.start()  # a segment of its own for what comes now: the others' records are all acknowledged
        wait_until("acknowledged segments are gone", 10, lambda: not any(s.exists() for s in segments))
        r.stop()
        done(routerctl(r, "restore", str(r.folder / "db" / "backups" / "b.db")))
        r.start()
        for _ in range(3):
            assert r.chat(key, "[[tokens=10 prompt=100]]").status == 200
        assert len(r.settled(token, 4, seconds=20)) == 4
        assert "usage_lost" in r.logs()
        assert clean(r)["requests"] == 4


@pytest.mark.skipif(MODE != "processes", reason="needs services of their own")
def test_the_others_run_on_while_meterd_is_restored():
    with Router() as r:
        _, token = r.user()
        key = r.new_key(token)
        for _ in range(5):
            assert r.chat(key, "[[tokens=10 prompt=100]]").status == 200
        r.settled(token, 5)
        done(routerctl(r, "backup", "b.db"))
        _, late_token = r.user(credit="3")  # the backup does not know it
        for _ in range(10):
            assert r.chat(key, "[[tokens=20 prompt=100]]").status == 200
        rows = r.settled(token, 15)
        balance = r.credits(token)["balance_usd"]
        assert r.processes.pop("meterd").stop() == 0
        done(routerctl(r, "restore", str(r.folder / "db" / "backups" / "b.db")))
        assert r.chat(key, "[[tokens=20 prompt=100]]").status == 200  # meanwhile
        r.start_service("meterd")
        again = r.settled(token, 16, seconds=30)
        costs = {x["request_id"]: x["cost_usd"] for x in again}
        assert len(costs) == 16 and all(costs[x["request_id"]] == x["cost_usd"] for x in rows)
        last = sum(Decimal(c) for i, c in costs.items() if i not in {x["request_id"] for x in rows})
        wait_until("credit follows", 10, lambda: Decimal(r.credits(token)["balance_usd"]) == Decimal(balance) - last)
        assert r.call("GET", "/api/credits", token=late_token).status in (401, 404)
        clean(r)
