"""Measures the router beside nginx as a plain reverse proxy, both before the same local upstream, in one run.

Per target: added latency at 1 connection, requests/s and CPU a request at 64 connections, 1,000 paced streams and CPU a token, memory of an
idle stream. CPU is utime+stime of every process of the target; the ratio to nginx is what counts, the machine's noise is in both.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from router import BIN, Router, Upstream, call, free_port, wait_until  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SECONDS = int(os.environ.get("SECONDS_EACH", "8"))
LATENCY_CALLS = 2000
CONNECTIONS = 64
STREAMS, TOKENS, DELAY_MS = 1000, 100, 20
IDLE_STREAMS, IDLE_HOLD_S = 1000, 4

NGINX = """
worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 1000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 2048; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }} }}
}}
"""


def children(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    out = []
    for c in text.split():
        out += [int(c), *children(int(c))]
    return out


class Target:
    """Something that serves the upstream's API on a port, and the processes that it costs."""

    def __init__(self, name, port, pids, key="x"):
        self.name, self.port, self.key = name, port, key
        self.pids = [p for pid in pids for p in (pid, *children(pid))]
        self.url = f"http://127.0.0.1:{port}/v1/chat/completions"

    def cpu(self):
        ticks = 0
        for pid in self.pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def rss(self):
        return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids) * PAGE


def loadgen(target, mode, **options):
    argv = [str(BIN / "loadgen"), mode, "--url", target.url, "--key", target.key, "--model", "gpt-4o-mini"]
    for k, v in options.items():
        argv += ["--" + k.replace("_", "-"), str(v)]
    r = subprocess.run(argv, capture_output=True, timeout=300)
    if r.returncode not in (0, 1):  # 1: something broke; the row shows what
        raise RuntimeError(f"loadgen {mode} on {target.name}: {r.stderr.decode()[-2000:]} {r.stdout.decode()[-500:]}")
    return json.loads(r.stdout.decode().strip().splitlines()[-1])


def wrk(target):
    env = {**os.environ, "KEY": target.key}
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(HERE / "post.lua"), target.url]
    before = target.cpu()
    text = subprocess.run(argv, env=env, capture_output=True, check=True, timeout=SECONDS + 60).stdout.decode()
    spent = target.cpu() - before
    n = int(re.search(r"(\d+) requests in", text).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    p99 = re.search(r"99%\s+(\S+)", text).group(1)
    return {"rps": rate, "cpu_us": spent / n * 1e6 if target.pids else 0, "bad": int(bad.group(1)) if bad else 0, "p99": p99}


def measure(target):
    row = {"target": target.name}
    loadgen(target, "calls", connections=4, requests=200)  # warm
    row["latency"] = loadgen(target, "calls", connections=1, requests=LATENCY_CALLS, prompt="[[tokens=10 prompt=20]] %d")
    row["calls"] = wrk(target)
    before = target.cpu()
    row["streams"] = loadgen(target, "streams", streams=STREAMS, tokens=TOKENS, delay_ms=DELAY_MS, ramp_ms=1000)
    row["streams"]["cpu_us"] = (target.cpu() - before) / max(1, row["streams"]["tokens"]) * 1e6
    time.sleep(1)
    idle = target.rss()
    holder = subprocess.Popen(
        [str(BIN / "loadgen"), "idle", "--url", target.url, "--key", target.key, "--model", "gpt-4o-mini", "--streams", str(IDLE_STREAMS), "--hold", str(IDLE_HOLD_S + 2)],
        stdout=subprocess.PIPE,
    )
    time.sleep(IDLE_HOLD_S)
    row["idle_kb"] = (target.rss() - idle) / IDLE_STREAMS / 1024
    holder.wait()
    row["rss_mb"] = idle / 1e6
    return row


def show(rows):
    direct = rows[0]
    nginx = next(r for r in rows if r["target"] == "nginx")
    print(
        "\n| target | added p50 / p99 µs, 1 conn | req/s, 64 conn | p99 | CPU µs/request | × nginx | streams ok of "
        f"{STREAMS} | first token p99 ms (+ direct) | CPU µs/token | × nginx | KB/idle stream | RSS MB after load |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for r in rows:
        s, c, lat = r["streams"], r["calls"], r["latency"]
        ratio = f"{c['cpu_us'] / nginx['calls']['cpu_us']:.1f}" if c["cpu_us"] else "-"
        token_ratio = f"{s['cpu_us'] / nginx['streams']['cpu_us']:.1f}" if s["cpu_us"] else "-"
        added = [lat[k] - direct["latency"][k] for k in ("p50_us", "p99_us")]
        ttft = s["ttft_p99_ms"]
        print(
            f"| {r['target']} | {added[0]:.0f} / {added[1]:.0f} | {c['rps']:.0f}{' !' + str(c['bad']) + ' bad' if c['bad'] else ''} | {c['p99']} | "
            f"{c['cpu_us']:.1f} | {ratio} | {s['streams'] - s['broken']}{', lost ' + str(s['lost']) if s['lost'] else ''} | "
            f"{ttft:.1f} ({ttft - direct['streams']['ttft_p99_ms']:+.1f}) | {s['cpu_us']:.1f} | {token_ratio} | {r['idle_kb']:.1f} | {r['rss_mb']:.0f} |"
        )


def serves(port):
    try:
        return call(port, "GET", "/v1/models", headers={"authorization": "Bearer x"}).status == 200
    except OSError:
        return False


def bench_router(mode, upstream, rows):
    env = {"MAX_CONNECTIONS": "2048", "OPENAI_API_KEY": "x", "OPENAI_BASE_URL": upstream.url, "LOG_LEVEL": "info"}
    with Router(mode=mode, upstream=False, env=env) as r:
        fresh = Target(mode, r.port, [p.pid for p in r.processes.values()])
        time.sleep(2)
        print(f"{mode}: {fresh.rss() / 1e6:.1f} MB resident at rest, all services", flush=True)
        admin = r.admin()
        _, token = r.user(credit="100000", admin=admin)
        target = Target("openai-router" if mode == "launcher" else "four processes", r.port, [p.pid for p in r.processes.values()], r.new_key(token))
        rows.append(measure(target))
        wait_until("everything is settled", 60, lambda: r.ok("GET", "/api/admin/system/ledger", token=admin)["ok"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="launcher, processes")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-"))
    upstream = Upstream(folder)
    rows = [measure(Target("direct", upstream.port, []))]
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstream=upstream.port, port=port))
    nginx = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-error.log")])
    try:
        wait_until("nginx serves", 5, lambda: serves(port))
        rows.append(measure(Target("nginx", port, [nginx.pid])))
        for mode in [args.only] if args.only else ["launcher", "processes"]:
            bench_router(mode, upstream, rows)
    finally:
        nginx.terminate()
        nginx.wait()
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
    show(rows)
    (BIN.parent / "bench.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
