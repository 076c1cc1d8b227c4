"""What a call feels while meterd stands still, and while it makes up for what it has missed.

Four processes over ipc://, the echo provider, a constant load: 10 s of it, meterd stopped for 30 s (SIGSTOP, or killed and started again), and on
until everything is billed. Prints requests/s, p50, p99 and the highest latency of each phase, and how long catching up took. `--rate` is open
loop: calls begin at fixed times and their latency counts from then, so that a pause is felt by each call that falls into it.

    tests/bench/meterstop.py --rate 2000             # the machine has time to spare
    tests/bench/meterstop.py --connections 4         # as fast as they end: no time to spare
"""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from router import BIN, Router  # noqa: E402

SETTLE_S = 2  # of load before the first phase
DRAIN_MAX_S = 180
LOOK_S = 0.25
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def unacknowledged(r):
    """Of the outbox, from its own health check; None while nobody tells."""
    try:
        services = r.ok("GET", "/health/detailed", token=r.token, timeout=2)["services"]
    except (OSError, AssertionError, KeyError):
        return None
    for s in services:
        for c in s.get("checks", []):
            if c["name"] == "outbox":
                return int(c["detail"].split()[0])
    return None


def at(values, quantile):
    return values[min(len(values) - 1, int(len(values) * quantile))] / 1000 if values else 0


def usual(calls, begin, end):
    """The median of the p99 of its seconds: what a stall of the machine does not move."""
    seconds = {}
    for t, us, _ in calls:
        if begin <= t < end:
            seconds.setdefault(int(t - begin), []).append(us)
    each = sorted(at(sorted(v), 0.99) for v in seconds.values())
    return each[len(each) // 2] if each else 0


def phase_row(name, calls, begin, end, cores):
    mine = sorted(us for t, us, _ in calls if begin <= t < end)
    bad = sum(1 for t, _, ok in calls if begin <= t < end and not ok)
    seconds = end - begin
    print(f"| {name} | {seconds:.1f} | {len(mine) / seconds:.0f} | {at(mine, 0.5):.2f} | {at(mine, 0.99):.2f} | {usual(calls, begin, end):.2f} | {at(mine, 0.999):.2f} | {at(mine, 1):.1f} | {bad} | {cores} |")


def drained(r, rate):
    """Waits until the outbox is owed nothing but what just came. Returns when that was, and the peak."""
    end = time.monotonic() + DRAIN_MAX_S
    peak = 0
    while time.monotonic() < end:
        n = unacknowledged(r)
        if n is not None:
            peak = max(peak, n)
            if n < rate / 2 + 100:
                return time.monotonic(), peak
        time.sleep(LOOK_S)
    raise TimeoutError(f"{n} events still unacknowledged after {DRAIN_MAX_S} s")


def start_load(r, key, args, seconds, folder):
    argv = [str(BIN / "loadgen"), "calls", "--url", f"http://127.0.0.1:{r.port}/v1/chat/completions", "--key", key, "--model", args.model,
            "--connections", str(args.connections or 32), "--duration", str(seconds), "--max-tokens", "16", "--journal", str(folder / "calls.tsv")]
    if args.rate:
        argv += ["--rate", str(args.rate)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE)


def stop_meterd(r, args):
    p = r.processes["meterd"]
    if args.kill:
        p.kill()
        time.sleep(args.stopped)
        r.start_service("meterd")
    else:
        p.popen.send_signal(signal.SIGSTOP)
        time.sleep(args.stopped)
        p.popen.send_signal(signal.SIGCONT)


def measure(r, args):
    r.token = r.admin()
    _, token = r.user(credit="1000000", admin=r.token)
    key = r.new_key(token)
    load = start_load(r, key, args, SETTLE_S + args.before + args.stopped + args.after, r.folder)
    marks, spent = [], []

    def mark():
        marks.append(time.monotonic())
        spent.append({name: cpu(p.pid) for name, p in r.processes.items()})

    time.sleep(SETTLE_S)
    mark()
    time.sleep(args.before)
    mark()
    stop_meterd(r, args)
    if args.kill:
        spent[-1]["meterd"] = 0
    mark()
    until, behind = drained(r, args.rate or 5000)
    marks.append(until)
    spent.append({name: cpu(p.pid) for name, p in r.processes.items()})
    print(f"{behind} events behind, caught up in {marks[3] - marks[2]:.1f} s")
    load.wait()
    mark()
    return marks, spent, json.loads(load.stdout.read().decode().splitlines()[-1])


def read_calls(path):
    calls = []
    with open(path) as f:
        for line in f:
            p = line.rstrip("\n").split("\t")
            calls.append((int(p[7]) / 1e6, int(p[6]), p[3] == "200"))
    return calls


def show(r, args, marks, spent, result):
    calls = read_calls(r.folder / "calls.tsv")
    end = max(t for t, _, _ in calls)
    print("| phase | s | calls/s | p50 ms | p99 ms | p99 of the median second | p99.9 ms | highest ms | not 200 | cores: " + ", ".join(r.processes) + " |")
    print("| --- " * 10 + "|")
    names = ["before", "meterd stopped", "catching up", "after"]
    for i, name in enumerate(names):
        begin, last = marks[i], min(marks[i + 1], end)
        if last - begin < 0.5:
            continue
        cores = [max(0, spent[i + 1][n] - spent[i][n]) / (marks[i + 1] - begin) for n in spent[i]]
        phase_row(name, calls, begin, last, ", ".join(f"{c:.2f}" for c in cores))
    if args.seconds:
        for s in range(int(marks[2]) - 2, int(min(marks[3] + 3, end))):
            phase_row(f"second {s - marks[2]:+.0f}", calls, s, s + 1, "")
    print(json.dumps(result))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=0, help="calls a second; 0: each connection as fast as its calls end")
    parser.add_argument("--connections", type=int, default=0)
    parser.add_argument("--model", default="echo")
    parser.add_argument("--before", type=int, default=10)
    parser.add_argument("--stopped", type=int, default=30)
    parser.add_argument("--after", type=int, default=40, help="seconds of load from when meterd is back")
    parser.add_argument("--kill", action="store_true", help="meterd is killed and started again, not only stopped")
    parser.add_argument("--seconds", action="store_true", help="also each second of catching up")
    args = parser.parse_args()
    with Router(mode="processes", upstream=False, env={"ECHO": "on", "MAX_CONNECTIONS": "512"}) as r:
        show(r, args, *measure(r, args))
        checked = r.ok("GET", "/api/admin/system/ledger", token=r.admin(), timeout=120)
        print("ledger:", "clean" if checked["ok"] else checked)


main()
