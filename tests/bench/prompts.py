"""Large prompts and uploads: CPU a request beside nginx as a plain reverse proxy, and what they cost in memory.

    python3 tests/bench/prompts.py

CPU is utime+stime of every process of the target, memory the highest resident size (VmHWM) since it was reset before the step.
"""
import http.client
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

from bench import HERE, NGINX, Router, Target, Upstream, free_port, serves, wait_until

SIZES = {"small": 0, "100 KB": 100_000, "1 MB": 1_000_000}
CONNECTIONS, SECONDS = 8, 6
UPLOAD, UPLOADS = 20_000_000, 4


def reset_peak(target):
    for pid in target.pids:
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(target):
    return sum(int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) for pid in target.pids) / 1000


def wrk(target, size):
    env = {**os.environ, "KEY": target.key, "PROMPT_BYTES": str(size)}
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(HERE / "post.lua"), target.url]
    reset_peak(target)
    before = target.cpu()
    text = subprocess.run(argv, env=env, capture_output=True, check=True, timeout=SECONDS + 60).stdout.decode()
    spent = target.cpu() - before
    n = int(re.search(r"(\d+) requests in", text).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return {"cpu_us": spent / n * 1e6, "n": n, "bad": int(bad.group(1)) if bad else 0, "peak_mb": peak_mb(target)}


class Sink:
    """An upstream that reads transcriptions and says so; http.server would be the bottleneck of nobody here."""

    def __init__(self):
        import http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                left = int(self.headers.get("content-length") or 0)
                while left > 0:
                    left -= len(self.rfile.read(min(left, 1 << 20)))
                body = b'{"text":"heard"}'
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def upload(target, seconds):
    head = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n'
    body = head + b"\0" * UPLOAD + b"\r\n--b--\r\n"
    conn = http.client.HTTPConnection("127.0.0.1", target.port, timeout=120)
    began = time.monotonic()
    conn.request("POST", "/v1/audio/transcriptions", body, {"authorization": f"Bearer {target.key}", "content-type": "multipart/form-data; boundary=b"})
    answer = conn.getresponse()
    text = answer.read()
    assert answer.status == 200, (answer.status, text)
    seconds.append(time.monotonic() - began)


def uploads():
    sink = Sink()
    env = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": sink.url, "UNPRICED": "free"}
    with Router(mode="processes", upstream=False, env=env) as r:
        _, token = r.user(credit="1000", admin=r.admin())
        key = r.new_key(token)
        for count in (1, UPLOADS):
            targets = [Target(name, r.port, [p.pid], key) for name, p in r.processes.items()]
            before = []
            for t in targets:
                reset_peak(t)
                before.append(t.rss() / 1e6)
            seconds = []
            threads = [threading.Thread(target=upload, args=(targets[0], seconds)) for _ in range(count)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            grown = ", ".join(f"{t.name} {peak_mb(t) - b:+.1f}" for t, b in zip(targets, before))
            print(f"{count} uploads of {UPLOAD // 1_000_000} MB at once: {max(seconds):.2f} s, peak memory in MB: {grown}", flush=True)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-"))
    upstream = Upstream(folder)
    port = free_port()
    conf = NGINX.replace("http {{", "http {{ client_max_body_size 64m; client_body_buffer_size 2m;")
    (folder / "nginx.conf").write_text(conf.format(folder=folder, upstream=upstream.port, port=port))
    nginx = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-error.log")])
    env = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": upstream.url}
    try:
        wait_until("nginx serves", 5, lambda: serves(port))
        plain = Target("nginx", port, [nginx.pid])
        with Router(mode="launcher", upstream=False, env=env) as r:
            _, token = r.user(credit="100000", admin=r.admin())
            ours = Target("router", r.port, [p.pid for p in r.processes.values()], r.new_key(token))
            print("| prompt | nginx CPU us | router CPU us | ratio | nginx peak MB | router peak MB |\n| --- | --- | --- | --- | --- | --- |")
            for name, size in SIZES.items():
                a, b = wrk(plain, size), wrk(ours, size)
                assert not a["bad"] and not b["bad"], (a, b)
                print(f"| {name} | {a['cpu_us']:.0f} | {b['cpu_us']:.0f} | {b['cpu_us'] / a['cpu_us']:.1f} | {a['peak_mb']:.0f} | {b['peak_mb']:.0f} |", flush=True)
        uploads()
    finally:
        nginx.terminate()
        nginx.wait()
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
