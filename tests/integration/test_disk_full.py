"""A disk that is really full, under load: database and outbox share a small tmpfs and ballast takes the rest of it."""
import errno
import os
import pathlib
import subprocess
import tempfile
import time
from decimal import Decimal

import pytest
from router import BIN, Router, wait_until

SIZE = "64M"
BLOCK = bytes(64 * 1024)
LOAD_S = 20
FULL_S = 3  # so long nothing but refusals
RECOVER_S = 5
BILLED_S = 240  # meterd makes up for a backlog when nobody else wants the machine


@pytest.fixture
def disk():
    """A small file system; skipped where none can be mounted."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="router-disk-"))
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True
    ).returncode == 0
    if not mounted:
        folder.rmdir()
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


class Ballast:
    """Takes all the space there is, and takes it again when somebody gives some back."""

    def __init__(self, folder):
        self.path = folder / "ballast"

    def fill(self):
        with open(self.path, "ab", buffering=0) as f:
            for block in (BLOCK, BLOCK[:4096]):
                try:
                    while f.write(block) == len(block):
                        pass
                except OSError as e:
                    assert e.errno == errno.ENOSPC, e

    def drop(self):
        self.path.unlink()


def load(router, key, journal, seconds):
    argv = [str(BIN / "loadgen"), "calls", "--url", f"http://127.0.0.1:{router.port}/v1/chat/completions", "--key", key]
    argv += ["--model", "gpt-4o-mini", "--connections", "64", "--duration", str(seconds), "--timeout", "30"]
    argv += ["--prompt", "[[prompt=100 tokens=3 first=20]]", "--journal", str(journal)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def clients_book(journal):
    """Calls that the client saw answered with 200."""
    rows = [line.split("\t") for line in journal.read_text().splitlines()]
    return {rid for _, _, rid, status, *_ in rows if status == "200"}


@pytest.mark.skipif(os.environ.get("FLAVOR") == "tsan", reason="too slow to fill a disk in its time")
def test_nothing_is_lost_and_it_goes_on_by_itself(disk, tmp_path):
    places = {"DB_PATH": str(disk / "db" / "app.db"), "SPOOL_DIR": str(disk / "spool"), "DRAIN_MS": "5000"}
    ballast = Ballast(disk)
    with Router(env=places) as r:
        _, token = r.user(credit="1000")
        key = r.new_key(token)
        assert r.chat(key, "[[prompt=100 tokens=3]]").status == 200
        clients = load(r, key, tmp_path / "calls", LOAD_S)
        try:
            time.sleep(1)
            ballast.fill()

            def refused():
                ballast.fill()
                a = r.chat(key, "[[prompt=100 tokens=3]]")
                assert a.status in (200, 503), a
                return a.status == 503

            wait_until("calls are refused", LOAD_S - FULL_S - RECOVER_S - 2, refused, every=0.05)
            until = time.monotonic() + FULL_S
            answers = []
            while time.monotonic() < until:
                ballast.fill()
                answers.append(r.chat(key, "[[prompt=100 tokens=3]]"))
                time.sleep(0.05)
            # A call now and then finds the room that the end of another one did not need: it is billed like all.
            assert {a.status for a in answers} <= {200, 503}, answers
            refusals = [a for a in answers if a.status == 503]
            assert len(refusals) > len(answers) / 2
            assert all(a.headers["x-should-retry"] == "true" for a in refusals)
            ballast.drop()
            wait_until("calls are taken again", RECOVER_S, lambda: r.chat(key, "[[prompt=100 tokens=3]]").status == 200, every=0.05)
            assert clients.poll() is None, "the load ended before the test did"
        finally:
            clients.communicate(timeout=LOAD_S + 60)
        books_agree(r, token, clients_book(tmp_path / "calls"))


def books_agree(r, token, seen):
    """What the upstream has done stands in the ledger, once; the client was told of nothing that does not."""
    upstream = {j["request_id"] for j in r.upstream.rows() if j["outcome"] == "ok"}
    assert seen and upstream
    billed = {}

    def all_billed():
        rows = r.settled(token, 1)
        billed.update({row["request_id"]: row for row in rows})
        assert len(billed) == len(rows)
        return not (seen | upstream) - billed.keys()

    try:
        wait_until("every call is billed", BILLED_S, all_billed, every=1)
    except TimeoutError:
        pytest.fail(f"not billed: {len(seen - billed.keys())} of {len(seen)} that the client saw, {len(upstream - billed.keys())} of {len(upstream)} that were done")
    for rid, row in billed.items():
        if rid in upstream:
            assert (row["prompt_tokens"], row["completion_tokens"]) == (100, 3), (rid in seen, str(row))
        else:
            assert row["completion_tokens"] <= 3, row
    credits = r.credits(token)
    assert Decimal(credits["balance_usd"]) == 1000 - sum(Decimal(row["cost_usd"]) for row in billed.values())
    report = r.ok("GET", "/api/admin/system/ledger", token=r.admin())
    assert report["ok"] is True, report
    print(f"{len(billed)} calls billed, {len(seen)} seen by the client, {len(upstream)} done by the upstream")
