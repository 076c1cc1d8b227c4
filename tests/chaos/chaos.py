#!/usr/bin/env python3
"""make chaos: kill -9 of a random service every 50-500 ms under load, then the three-way comparison.

KILLS=300     how many (the long form: 5000)
SEED=...      of victims, pauses and calls; the one in use is printed
TRANSPORT=    ipc or tcp; by default the seed decides
CLIENTS=16    threads that call
PAUSED=0.02   of the times one stands still instead of being killed
KEEP=1        the folder with logs, spool and database stays (it always does after a failure, under build/chaos)
FALSIFY=1     one usage row is dropped before the comparison: the run must fail

docs/testing.md tells how to read a failure. Ends with "N passed, N failed, N skipped".
"""
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import books as b  # noqa: E402
import load  # noqa: E402
import stack as st  # noqa: E402
from router import ADMIN_EMAIL, ADMIN_PASSWORD, BIN, ROOT, wait_until  # noqa: E402

KILLS = int(os.environ.get("KILLS", "300"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 10**6))
CLIENTS = int(os.environ.get("CLIENTS", "16"))
TRANSPORT = os.environ.get("TRANSPORT") or ("ipc", "tcp")[SEED % 2]
PAUSE_MS = (50, 500)
TOGETHER = 0.1  # of the times two services die at once
AWAY, AWAY_S = 0.02, (1.0, 4.0)  # of the times a whole service stays away for so long: calls are voided, outboxes fill
PAUSED = float(os.environ.get("PAUSED", "0.02"))
PAUSED_S = (0.2, 12.0)  # of the times one stands still for so long: longer than leases
OUTAGES = (("providersvc0", "providersvc1"), ("meterd",), ("authsvc",))
WARM_UP_S = 2
DRAIN_S = 30  # for rows to come, once the load has ended
HOLDS_S = (st.CALL_TIMEOUT_MS + st.HOLD_GRACE_MS) / 1000 + 2
HOLDS_GIVEN_UP_S = 90
RECOVERY_S = 1.0
SHOWN = 4  # findings of a kind that are printed whole
POOR_GRANT, POOR_EVERY_S = "0.012", 2.0
RICH_GRANT = "1000"


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, name, text=""):
        self.passed += bool(good)
        self.failed += not good
        print(f"{'  ok ' if good else 'FAIL '} {name}{': ' + text if text else ''}", flush=True)


class Bank(threading.Thread):
    """Gives the poor user a little credit again and again, each time until it is sure: a grant is never lost or doubled."""

    def __init__(self, stack, user_id, stop):
        super().__init__(daemon=True)
        self.stack, self.user_id, self.stop_event = stack, user_id, stop
        self.given = 0

    def run(self):
        n = 0
        while not self.stop_event.wait(POOR_EVERY_S):
            n += 1
            self.give(n)

    def give(self, n):
        body = {"amount_usd": POOR_GRANT, "note": f"chaos {n}"}
        while True:
            try:
                a = self.stack.call("POST", f"/api/admin/users/{self.user_id}/credits", body, admin_token(self.stack),
                                    headers={"idempotency-key": f"grant-{n}"}, timeout=10)
                if 200 <= a.status < 300:
                    self.given += b.nano(POOR_GRANT)
                    return
            except OSError:
                pass
            time.sleep(0.1)


def admin_token(stack, seconds=60):
    def login():
        try:
            a = stack.call("POST", "/auth/login", {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}, timeout=10)
            return a.json()["access_token"] if a.status == 200 else None
        except OSError:
            return None

    now = time.monotonic()
    if getattr(stack, "admin_until", 0) < now:
        stack.admin_kept = wait_until("the administrator can log in", seconds, login, every=0.1)
        stack.admin_until = now + 300
    return stack.admin_kept


def ask(stack, path, seconds=30):
    """A GET of the administrator that is repeated until it succeeds."""

    def get():
        try:
            a = stack.call("GET", path, token=admin_token(stack), timeout=20)
            return a.json() if a.status == 200 else None
        except OSError:
            return None

    return wait_until(path, seconds, get, every=0.1)


def usage_rows(stack):
    rows, cursor = [], ""
    while True:
        page = ask(stack, f"/api/admin/requests?limit=500{cursor}")
        rows += page["data"]
        if not page["has_more"]:
            return rows
        cursor = f"&cursor={page['next']}"


def add_what_only_the_database_knows(stack, rows):
    db = sqlite3.connect(f"file:{stack.folder}/db/app.db?mode=ro", uri=True)
    try:
        known = {r[0]: r[1:] for r in db.execute(
            "SELECT g.request_id, g.hold_nano, g.overage_nano, u.id FROM usage g LEFT JOIN user u ON u.num = g.user_num")}
    finally:
        db.close()
    for r in rows:
        r["hold_nano"], r["overage_nano"], r["user_id"] = known.get(r["request_id"], (0, 0, None))


# ---- the run ----


def make_users(stack):
    """(payers for the clients, {user id: name}, {name: token})"""
    admin = admin_token(stack)
    payers, users, tokens = [], {}, {}
    for name, credit, weight in (("rich0", RICH_GRANT, 4), ("rich1", RICH_GRANT, 4), ("poor", POOR_GRANT, 2)):
        user, token = stack.user(credit=credit, admin=admin)
        payers.append((name, stack.new_key(token), weight))
        users[user["id"]] = name
        tokens[name] = token
    return payers, users, tokens


def kill_some(stack, rng, most):
    """[(service, exit code if it had ended by itself)]"""
    alive = sorted(set(stack.alive) - stack.standing)
    what = rng.random()
    if what < AWAY and not stack.away:
        return stack.kill_for(rng.choice(OUTAGES), rng.uniform(*AWAY_S))
    if what < AWAY + PAUSED and not stack.away:
        stack.pause(rng.choice(alive), rng.uniform(*PAUSED_S))
        return []
    together = 2 if what > 1 - TOGETHER else 1
    return [(name, stack.kill_and_restart(name)) for name in rng.sample(alive, min(together, most, len(alive)))]


def kill_loop(stack, rng, checks):
    died, n, told = [], 0, 0
    while n < KILLS:
        time.sleep(rng.randint(*PAUSE_MS) / 1000)
        stack.away = [thread for thread in stack.away if thread.is_alive()]
        killed = kill_some(stack, rng, KILLS - n)
        n += len(killed)
        died += [k for k in killed if k[1] is not None]
        if n - told >= 500:
            told = n
            print(f"  {n} kills", flush=True)
    stack.all_back()
    died += stack.died()
    checks.check(not died, "no service ended unless it was killed", str(died) if died else "")


def wait_quiet(stack):
    """Everything the upstream saw is in the ledger, or the time for it is over: seconds waited."""
    begun = time.monotonic()
    wait_until("every service is ready", 30, stack.all_ready)
    wait_until("the upstream is idle", 30, lambda: stack.upstream.stats()["open_requests"] == 0)

    def settled():
        have = {r["request_id"] for r in usage_rows(stack)}
        return all(j["request_id"] in have for j in b.read_journal(stack.upstream.journal))

    try:
        wait_until("all is in the ledger", DRAIN_S, settled, every=0.3)
    except TimeoutError:
        pass  # the comparison says what is missing
    return time.monotonic() - begun


def balances(stack, users):
    out = {}
    for user_id, name in users.items():
        c = stack.tokens_of[name]
        a = wait_until(f"the credit of {name}", 30, lambda: credits_of(stack, c), every=0.1)
        out[name] = {"balance": b.nano(a["balance_usd"]), "spent": b.nano(a["spent_usd"]), "held": b.nano(a["held_usd"])}
    return out


def credits_of(stack, login):
    try:
        a = stack.call("GET", "/api/credits", token=login, timeout=10)
        return a.json() if a.status == 200 else None
    except OSError:
        return None


def holds_open(stack, users):
    """Credit held in authsvc, holds of long calls in the ledger."""
    if any(c["held"] for c in balances(stack, users).values()) or ask(stack, "/api/admin/system/holds")["open"] > 0:
        return True
    return ask(stack, "/api/admin/system/ledger").get("holds_open", 0) > 0


def wait_holds(stack, users):
    """Seconds since now until no credit is held; None = never."""
    begun = time.monotonic()
    while time.monotonic() - begun < HOLDS_GIVEN_UP_S:
        if not holds_open(stack, users):
            return time.monotonic() - begun
        time.sleep(0.2)
    return None


def verify_ledger(stack):
    env = {**os.environ, "ROUTER_URL": f"http://127.0.0.1:{stack.port}", "ADMIN_EMAIL": ADMIN_EMAIL, "ADMIN_PASSWORD": ADMIN_PASSWORD}
    r = subprocess.run([str(BIN / "routerctl"), "ledger", "verify"], env=env, capture_output=True, text=True, timeout=120)
    return r.returncode == 0, (r.stdout + r.stderr).strip()


def report_recovery(stack, checks):
    times, disturbed = st.recoveries(stack.lives, stack.pauses)
    with open(stack.folder / "lives.tsv", "w") as f:
        for x in stack.lives:
            took = f"{(x.answered - x.started) * 1000:.0f}\t{(x.ready - x.started) * 1000:.0f}\t{x.starved * 1000:.0f}" if x.ready else "-\t-\t-"
            print(f"{x.name}\t{x.pid}\t{x.wall_started:.0f}\t{took}\t{x.wall_killed:.0f}", file=f)
    for service in sorted(set(times) | set(disturbed)):
        took = [t for t, _ in times.get(service, [])]
        worst, starved = max(times.get(service, [(0, 0)]), key=lambda x: x[0] - x[1])
        text = (f"{len(took)} starts, p50 {st.percentile(took, 0.5) * 1000:.0f} ms, p99 {st.percentile(took, 0.99) * 1000:.0f} ms, "
                f"max {max(took, default=0) * 1000:.0f} ms; the slowest took {worst * 1000:.0f} ms, {starved * 1000:.0f} of them without a CPU; "
                f"{disturbed.get(service, 0)} were killed before or had no meterd")
        checks.check(took and worst - starved <= RECOVERY_S, f"{service} recovers within {RECOVERY_S:.0f} s", text)


def report(stack, checks, comparison):
    n = comparison.counts
    print("  " + ", ".join(f"{k} {v}" for k, v in n.items()))
    print("  rows: " + ", ".join(f"{k} {v}" for k, v in sorted(comparison.statuses.items())))
    kinds = {}
    for f in comparison.findings:
        kinds.setdefault(f.kind, []).append(f)
    for kind, findings in sorted(kinds.items()):
        for f in findings[:SHOWN]:
            print("\n".join(b.describe(comparison, f)))
            for line in stack.log_lines(f.request_id) if f.request_id else []:
                print(f"  log      {line}")
        if len(findings) > SHOWN:
            print(f"  and {len(findings) - SHOWN} more of {kind}")
    known = ("unbilled", "doubled", "run-twice", "billed-for-nothing", "money", "open", "tokens", "whole-not-ok", "too-much",
             "lost-without-a-kill", "interrupted-unbilled", "overage", "sums", "key-billed-twice", "replay")
    for kind in known:
        found = len(kinds.get(kind, []))
        checks.check(found == 0, f"{kind}: {found}")
    checks.check(n["whole"] > 0 and n["rows"] > 0 and n["upstream"] > 0, "there was load to compare")


def show_it_can_fail(checks, books, before):
    for name, request_id, false in b.falsifications(books):
        found = len(b.compare(false).findings) - before
        checks.check(found > 0, f"falsified and found: {name} {request_id}")


def run(stack, checks):
    rng = random.Random(SEED)
    payers, users, stack.tokens_of = make_users(stack)
    again = load.keys_are_kept(stack.port, payers[0][1])
    print(f"chaos: SEED={SEED} KILLS={KILLS} {TRANSPORT}, {CLIENTS} clients, Idempotency-Key {'used' if again else 'not there yet'}", flush=True)
    stop = threading.Event()
    ports = list(stack.gateway_ports.values())
    clients = [load.Client(i, SEED, ports, payers, stop, again) for i in range(CLIENTS)]
    bank = Bank(stack, next(i for i, n in users.items() if n == "poor"), stop)
    begun = time.monotonic()
    for thread in (*clients, bank):
        thread.start()
    time.sleep(WARM_UP_S)
    kill_loop(stack, rng, checks)
    stop.set()
    for thread in (*clients, bank):
        thread.join()
    loaded = time.monotonic() - begun
    quiet = wait_quiet(stack)
    held = wait_holds(stack, users)
    checks.check(held is not None and quiet + held <= HOLDS_S, f"no hold is open {HOLDS_S:.0f} s after the load",
                 "never" if held is None else f"none {quiet + held:.1f} s after it")
    rows = usage_rows(stack)
    add_what_only_the_database_knows(stack, rows)
    granted = {name: b.nano(RICH_GRANT) for name in users.values()}
    granted["poor"] = b.nano(POOR_GRANT) + bank.given
    books = b.Books([s for c in clients for s in c.seen], b.read_journal(stack.upstream.journal), rows,
                    [x.wall_killed for x in stack.lives if x.killed and x.name.startswith("providersvc")],
                    granted, balances(stack, users), users, st.CALL_TIMEOUT_MS)
    if os.environ.get("FALSIFY", "") not in ("", "0"):
        books.rows.pop(len(books.rows) // 2)
    comparison = b.compare(books)
    report(stack, checks, comparison)
    good, text = verify_ledger(stack)
    checks.check(good, "routerctl ledger verify", text.splitlines()[-1] if good else text)
    report_recovery(stack, checks)
    show_it_can_fail(checks, books, len(comparison.findings))
    print(f"  {KILLS} kills in {loaded:.0f} s of load; all settled {quiet:.1f} s after it; {len(books.seen) / loaded:.0f} calls/s")


def main():
    checks = Checks()
    stack = st.Stack(TRANSPORT)
    try:
        stack.start()
        run(stack, checks)
        codes = stack.stop()
        checks.check(all(c == 0 for c in codes.values()), "every service ends at SIGTERM", str({k: v for k, v in codes.items() if v}))
    except (TimeoutError, AssertionError, RuntimeError) as e:
        checks.check(False, "the run came to its end", f"{type(e).__name__}: {e}")
    finally:
        stack.stop()
        if stack.upstream:
            stack.upstream.stop()
    if checks.failed or st.keep_folder():
        kept = ROOT / "build" / "chaos" / str(SEED)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(stack.folder, kept, ignore=shutil.ignore_patterns("*.ipc"))
        print(f"  kept: {kept}; again: make chaos KILLS={KILLS} SEED={SEED} TRANSPORT={TRANSPORT}")
    shutil.rmtree(stack.folder, ignore_errors=True)
    print(f"{checks.passed} passed, {checks.failed} failed, 0 skipped")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
