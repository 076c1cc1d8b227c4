"""Starts the real programs for a test: a fake upstream and the router, as one process or as four over ipc://.

Only the standard library: the SDK tests of several versions share it. Everything lives in a temporary folder and is ended by pid.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BIN_DIR", ROOT / "build" / "bin"))
MODE = os.environ.get("ROUTER_MODE", "launcher")  # launcher | processes
TIME_SCALE = float(os.environ.get("TIME_SCALE", "1"))  # a sanitizer build is slow: what must be soon may take longer
START_S = 30
STOP_S = 30 * TIME_SCALE
SERVICES = ("meterd", "authsvc", "providersvc", "gateway")

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "an-admin-password"


HELD = []  # sockets that keep free_port()'s ports


def free_port():
    """A port that is ours as long as we run: it stays bound, so that the system gives it to nobody, neither one who asks for any
    port nor one who connects. Nobody listens there; who does it with SO_REUSEADDR, as all our programs do, may, again and again."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    HELD.append(s)
    return s.getsockname()[1]


def within_a_day(seconds=60):
    """Waits until the UTC day, and with it the month, has so long to go: for tests that its end in the middle would confuse."""
    left = 86400 - time.time() % 86400
    if left < seconds:
        time.sleep(left + 1)


def wait_until(what, seconds, check, every=0.02):
    """Polls check() until it gives something true; raises with `what` when the time is over."""
    seconds *= TIME_SCALE
    end = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(every)


class Answer:
    """A whole HTTP answer. headers: names in lower case."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]

    def __repr__(self):
        return f"Answer({self.status}, {self.body[:500]!r})"


def call(port, method, path, body=None, headers=None, timeout=60):
    """One request on one connection. A dict body goes as JSON."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    head = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        head.setdefault("content-type", "application/json")
    try:
        conn.request(method, path, body, head)
        r = conn.getresponse()
        data = r.read()
        return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, data)
    finally:
        conn.close()


class Process:
    def __init__(self, name, argv, env, folder):
        self.name = name
        self.log = open(folder / f"{name}.log", "ab")
        self.popen = subprocess.Popen(argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)

    @property
    def pid(self):
        return self.popen.pid

    def kill(self):
        self.popen.kill()
        self.popen.wait()
        self.close()

    def stop(self):
        """SIGTERM; returns the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            return -signal.SIGKILL
        finally:
            self.close()

    def close(self):
        self.log.close()
        if self.popen.stdout:
            self.popen.stdout.close()


class Upstream:
    """The fake upstream; see tests/upstream/README.md for what a prompt may ask of it."""

    def __init__(self, folder, *options, port=0):
        self.journal = folder / f"journal-{secrets.token_hex(4)}.tsv"
        self.journal.touch()
        argv = [str(BIN / "fake-upstream"), "--port", str(port), "--journal", str(self.journal), *options]
        self.process = Process("fake-upstream", argv, dict(os.environ), folder)
        line = self.process.popen.stdout.readline().decode()
        self.port = int(line.split()[-1])
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def rows(self):
        names = "seq request_id user model stream status outcome prompt cached completion reasoning chunks took_ms end_ms".split()
        out = []
        with contextlib.suppress(OSError):
            self.stats()  # it has one thread: once it answers, the line of whatever it sent before is written
        for line in self.journal.read_text().splitlines():
            out.append(dict(zip(names, line.split("\t"))))
        return out

    def stats(self):
        return call(self.port, "GET", "/__stats").json()

    def last(self):
        return call(self.port, "GET", "/__last")

    def head(self):
        return call(self.port, "GET", "/__last/head")

    def stop(self):
        self.process.stop()


class OddUpstream:
    """Providers that misbehave: see odd_upstream.py."""

    def __init__(self, folder, port=0, cert=None):
        argv = [sys.executable, str(ROOT / "tests" / "lib" / "odd_upstream.py"), "--port", str(port)]
        argv += ["--cert", str(cert)] if cert else []
        self.process = Process(f"odd-upstream-{secrets.token_hex(4)}", argv, dict(os.environ), folder)
        self.port = int(self.process.popen.stdout.readline().split()[-1])
        self.scheme = "https" if cert else "http"

    def url(self, name):
        return f"{self.scheme}://127.0.0.1:{self.port}/{name}/v1"

    def do(self, name, what="answer", **how):
        """From now on, for that provider."""
        call(self.port, "POST", f"/__do/{name}", {"what": what, **how})

    def seen(self, name):
        """Requests so far, by key."""
        return call(self.port, "GET", "/__seen").json().get(name, {})

    def count(self, name):
        return sum(self.seen(name).values())

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.stop()


class Router:
    """with Router() as r: r.port, r.key, r.api(...).

    Several gateways, providers and authsvcs in mode "processes" only; several authsvcs want REDIS_URL in env. paired: each gateway
    knows the authsvc of its own number only, so that a test says by the gateway's port which one admits."""

    def __init__(self, mode=None, upstream=True, env=None, providers=1, gateways=1, authsvcs=1, paired=False):
        self.mode = mode or MODE
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="router-"))
        self.extra = dict(env or {})
        self.n_providers = providers
        self.n_authsvcs = authsvcs
        self.paired = paired
        self.want_upstream = upstream
        self.upstream = None
        self.processes = {}
        self.ports = [free_port() for _ in range(gateways)]  # of every gateway
        self.port = self.ports[0]
        self.key = None

    # ---- life ----

    def environment(self):
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG") or k.endswith("SAN_OPTIONS")}
        env.update(
            PORT=str(self.port),
            DB_PATH=str(self.folder / "db" / "app.db"),
            SPOOL_DIR=str(self.folder / "spool"),
            JWT_SECRET="0123456789abcdef0123456789abcdef",
            ADMIN_EMAIL=ADMIN_EMAIL,
            ADMIN_PASSWORD=ADMIN_PASSWORD,
            MAX_CONNECTIONS="256",
        )
        if self.upstream:
            env.update(OPENAI_API_KEY="sk-upstream-secret", OPENAI_BASE_URL=self.upstream.url)
        if self.mode == "processes":
            for name, setting in (
                ("meterd", "METERD_URL"),
                ("feed", "METERD_FEED_URL"),
                ("events", "METERD_EVENTS_URL"),
            ):
                env[setting] = f"ipc://{self.folder}/{name}.ipc"
            env["PROVIDERSVC_URL"] = ",".join(self.address("providersvc", i) for i in range(self.n_providers))
            env["AUTHSVC_URL"] = ",".join(self.address("authsvc", i) for i in range(self.n_authsvcs))
        env.update(self.extra)
        return env

    def address(self, service, i):
        return f"ipc://{self.folder}/{service}{i}.ipc"

    def start_service(self, name, i=0):
        env = self.environment()
        key = f"{name}{i}" if i or (name == "providersvc" and self.mode == "processes") else name
        if name in ("providersvc", "authsvc") and f"{name.upper()}_URL" not in self.extra:
            env[f"{name.upper()}_URL"] = self.address(name, i)
        if name == "gateway":
            env["PORT"] = str(self.ports[i])
            if self.paired:
                env["AUTHSVC_URL"] = self.address("authsvc", i)
        self.processes[key] = Process(key, [str(BIN / name)], env, self.folder)
        return self.processes[key]

    def start(self):
        if self.want_upstream and not self.upstream:
            self.upstream = Upstream(self.folder)
        if self.mode == "launcher":
            self.start_service("openai-router")
        else:
            for name in SERVICES:
                for i in range({"authsvc": self.n_authsvcs, "providersvc": self.n_providers, "gateway": len(self.ports)}.get(name, 1)):
                    self.start_service(name, i)
        self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            dead = [p.name for p in self.processes.values() if p.popen.poll() is not None]
            if dead:
                raise RuntimeError(f"{dead} ended at start:\n{self.logs()[-4000:]}")
            with contextlib.suppress(OSError):
                return all(call(p, "GET", "/health/ready", timeout=2).status == 200 for p in self.ports)
            return False

        wait_until("the router is ready", START_S, ready)

    def unwell(self):
        """Providers that no calls go to for now: because they failed, or asked for a rest."""
        detailed = self.ok("GET", "/health/detailed")
        return [c["name"] for s in detailed["services"] for c in s.get("checks", []) if c["name"].startswith("provider:") and not c["ok"]]

    def stop(self):
        """Stops everything; returns exit codes by name. The folder stays until close()."""
        codes = {}
        for service in ("openai-router", "gateway", "providersvc", "authsvc", "meterd"):
            for name in [n for n in self.processes if n.startswith(service)]:
                codes[name] = self.processes.pop(name).stop()
        return codes

    def close(self):
        codes = self.stop()
        if self.upstream:
            self.upstream.stop()
            self.upstream = None
        text = self.logs()
        shutil.rmtree(self.folder, ignore_errors=True)
        for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:"):
            if mark in text:
                raise AssertionError(f"sanitizer report:\n{text[max(0, text.index(mark) - 200):][:6000]}")
        bad = {k: v for k, v in codes.items() if v != 0}
        if bad:
            raise AssertionError(f"exit codes {bad}:\n{text[-4000:]}")

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            with contextlib.suppress(Exception):
                self.close()
            raise

    def __exit__(self, *exc):
        self.close()

    def logs(self):
        return "".join(p.read_text(errors="replace") for p in sorted(self.folder.glob("*.log")))

    # ---- use ----

    def ctl(self, *words, stdin="", **env):
        """routerctl as the administrator: (exit code, standard output, standard error)."""
        env = {"PATH": os.environ["PATH"], "ROUTER_URL": f"http://127.0.0.1:{self.port}", "ADMIN_EMAIL": ADMIN_EMAIL, "ADMIN_PASSWORD": ADMIN_PASSWORD, **env}
        done = subprocess.run([str(BIN / "routerctl"), *map(str, words)], env=env, cwd=self.folder, input=stdin, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def call(self, method, path, body=None, token=None, headers=None, **kw):
        head = dict(headers or {})
        if token:
            head["authorization"] = f"Bearer {token}"
        return call(self.port, method, path, body, head, **kw)

    def ok(self, method, path, body=None, token=None, **kw):
        a = self.call(method, path, body, token, **kw)
        assert 200 <= a.status < 300, a
        return a.json() if a.body else None

    def admin(self):
        """An access token of the administrator."""
        return self.ok("POST", "/auth/login", {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})["access_token"]

    def user(self, credit="10", plan="unlimited", admin=None):
        """A new user with credit: (user object, access token)."""
        admin = admin or self.admin()
        email, password = f"{secrets.token_hex(6)}@example.com", secrets.token_hex(12)
        u = self.ok("POST", "/api/admin/users", {"email": email, "password": password, "plan": plan}, admin)
        u = u.get("user", u)
        if credit:
            self.ok("POST", f"/api/admin/users/{u['id']}/credits", {"amount_usd": credit, "note": "test"}, admin)
        token = self.ok("POST", "/auth/login", {"email": email, "password": password})["access_token"]
        return u, token

    def new_key(self, token, **limits):
        return self.ok("POST", "/api/keys", {"name": "test", **limits}, token)["key"]

    def credits(self, token):
        return self.ok("GET", "/api/credits", token=token)

    def metric(self, name, **labels):
        """The sum over what has these labels and any others; 0 when there is none."""
        text = self.call("GET", "/metrics").body.decode()
        samples = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.M)
        return sum(float(value) for all_labels, value in samples if all(f'{k}="{v}"' in all_labels.split(",") for k, v in labels.items()))

    def chat(self, key, prompt="hello", model="gpt-4o-mini", **fields):
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}
        return self.call("POST", "/v1/chat/completions", body, key)

    def settled(self, token, n, seconds=10):
        """Waits until the caller's log holds n calls and gives it, newest first."""

        def look():
            rows, cursor = [], ""
            while True:
                a = self.call("GET", f"/api/usage/requests?limit=500{cursor}", token=token)
                if a.status == 503:  # meterd is being restarted
                    return None
                assert a.status == 200, a
                page = a.json()
                rows += page["data"]
                if not page["has_more"]:
                    break
                cursor = f"&cursor={page['next']}"
            return rows if len(rows) >= n else None

        return wait_until(f"{n} calls in the log", seconds, look, every=0.05)


class Events:
    """An SSE answer read from a raw socket, so that a test can leave in the middle of it."""

    def __init__(self, router, key, prompt, timeout=30, port=None, **fields):
        body = json.dumps(
            {"model": fields.pop("model", "gpt-4o-mini"), "messages": [{"role": "user", "content": prompt}], "stream": True, **fields}
        ).encode()
        self.conn = http.client.HTTPConnection("127.0.0.1", port or router.port, timeout=timeout)
        self.conn.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {key}", "content-type": "application/json"})
        self.response = self.conn.getresponse()
        self.headers = {k.lower(): v for k, v in self.response.getheaders()}
        self.status = self.response.status

    def __iter__(self):
        """The data of each event, comments left out."""
        data = []
        while True:
            line = self.response.readline()
            if not line:
                return
            line = line.rstrip(b"\r\n")
            if line.startswith(b"data:"):
                data.append(line[5:].lstrip())
            elif not line and data:
                yield b"\n".join(data).decode()
                data = []

    def close(self):
        self.conn.close()
        self.response.close()
