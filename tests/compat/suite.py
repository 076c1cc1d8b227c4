"""The second half of openai-node-suite.sh: starts the mock and the router, runs the suite twice, compares.

suite.py PATH_OF_PREPARED_COPY [JEST_ARGUMENT...]; node and steady are in PATH. Only the standard library.
"""
import collections
import contextlib
import http.server
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from router import Router, call, free_port, wait_until  # noqa: E402

OUT = ROOT / "build" / "compat"
STEADY_PORT = 4010
STEADY_START_S = 60  # it reads 3 MB of YAML
WORKERS = "2"
OBJECTS = {  # the objects that the suite calls by name, by the path that makes them
    "files": ["file_id", "input_file_id"],
    "batches": ["batch_id"],
    "responses": ["resp_677efb5139a88190b512bc3fef8e535d", "response_id", "resp_123"],
}
SERVED = "tests/api-resources"  # the tests that speak to the server

# What may come out differently through the router, with the reason.
HERE = "the router answers it itself: the models that it serves"
EXPECTED = {}  # "file: name of the test": reason
EXPECTED_REQUESTS = {  # that the mock sees: "METHOD /path -> status"
    "GET /models -> 200": HERE,
    "GET /models/gpt-4o-mini -> 200": HERE,
}


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Maker(http.server.BaseHTTPRequestHandler):
    """An upstream whose objects get the ids that server.ids holds, one after the other."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"id": self.server.ids.pop(0), "object": "thing"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def make_objects(router, key):
    """The objects that the suite calls by name: the router passes on only calls about those that were made through it."""
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "x"}}
    form = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
    form += b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\n%s\r\n--b--\r\n' % json.dumps(line).encode()
    head = {"content-type": "multipart/form-data; boundary=b"}
    for path, names in OBJECTS.items():
        for _ in names:
            body = form if path == "files" else {"model": "m", "input": "x", "input_file_id": OBJECTS["files"][0]}
            a = router.call("POST", f"/v1/{path}", body, key, headers=head if path == "files" else None)
            assert a.status == 200, a


@contextlib.contextmanager
def router_before(mock):
    """The router with the mock as its upstream, and a key whose owner has made OBJECTS."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Maker) as maker:
        maker.ids = [name for names in OBJECTS.values() for name in names]
        threading.Thread(target=maker.serve_forever, daemon=True).start()
        env = {"OPENAI_API_KEY": "sk-mock", "OPENAI_BASE_URL": f"http://127.0.0.1:{maker.server_port}", "UNPRICED": "free"}
        with Router(upstream=False, env=env) as r:
            _, token = r.user(credit="1000")
            key = r.new_key(token)
            make_objects(r, key)
            r.stop()
            maker.shutdown()
            r.extra["OPENAI_BASE_URL"] = mock.url
            r.start()
            yield r, key


class Mock:
    """Steady, serving the specification in the checkout; its log has one line for each request.

    On port 4010 where that is free: the suite has a remedy for uploads that Steady cuts short, for this port alone.
    """

    def __init__(self, copy):
        self.port = STEADY_PORT if is_free(STEADY_PORT) else free_port()
        self.log = OUT / "steady.log"
        self.log.unlink(missing_ok=True)
        brackets = [f"--validator-{what}-{kind}-format=brackets" for what in ("query", "form") for kind in ("array", "object")]
        argv = ["steady", "--host", "127.0.0.1", "-p", str(self.port), *brackets, str(copy / "api_reference/openapi.transformed.yml")]
        self.out = open(self.log, "wb")
        self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)
        wait_until("the mock answers", STEADY_START_S, self.ready)
        self.read = 0

    def ready(self):
        if self.popen.poll() is not None:
            raise RuntimeError(f"the mock ended: {self.log.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            return call(self.port, "GET", "/_x-steady/health", timeout=2).status == 200
        return False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def seen(self):
        """The requests since the last time: Counter of "METHOD /path?query -> status"."""
        text = self.log.read_text(errors="replace")
        new, self.read = text[self.read :], len(text)
        new = re.sub(r"\x1b\[[0-9;]*m", "", new)
        return collections.Counter(f"{m[1]} -> {m[2]}" for m in re.finditer(r"^\[[^]]*\] (\S+ \S+) → (\d+)", new, re.M))

    def stop(self):
        self.popen.terminate()
        self.popen.wait()
        self.out.close()


def run(copy, name, url, args, headers=None):
    """One run of jest: {"file: test": (status, why it failed)}."""
    result = OUT / f"{name}.json"
    result.unlink(missing_ok=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
    env.update(TEST_API_BASE_URL=url, OPENAI_TEST_SUITE="generated")
    if headers:
        env["OPENAI_CUSTOM_HEADERS"] = headers
    argv = ["./scripts/test", f"--maxWorkers={WORKERS}", "--silent", "--json", f"--outputFile={result}", *args]
    with open(OUT / f"{name}.log", "wb") as log:
        subprocess.run(argv, cwd=copy, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if not result.exists():
        raise RuntimeError(f"the suite did not run: {(OUT / f'{name}.log').read_text()[-3000:]}")
    tests = {}
    for file in json.loads(result.read_text())["testResults"]:
        where = pathlib.Path(file["name"]).relative_to(copy)
        if not file["assertionResults"] and file["status"] == "failed":
            tests[f"{where}: (the file)"] = ("failed", file["message"])
        for t in file["assertionResults"]:
            why = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(t["failureMessages"]))
            tests[f"{where}: {t['fullName']}"] = (t["status"], why)
    return tests


def run_with_key(copy, url, args, key):
    """The suite's files hold a key of their own; the SDK lets its user send another in a header.

    Not in the files that speak to no server: they look at the header that the SDK makes.
    """
    if args:
        return run(copy, "router", url, args, f"Authorization: Bearer {key}")
    patterns = json.loads((copy / "scripts/generated-test-patterns.json").read_text())
    tests = run(copy, "router", url, [p for p in patterns if p == SERVED], f"Authorization: Bearer {key}")
    tests.update(run(copy, "router-alone", url, [p for p in patterns if p != SERVED]))
    return tests


def passed(tests):
    return sum(status == "passed" for status, _ in tests.values())


def compare(direct, router):
    """Prints every difference; returns how many have no reason."""
    bad = 0
    for name in sorted(direct.keys() | router.keys()):
        a, b = direct.get(name, ("absent", "")), router.get(name, ("absent", ""))
        if a[0] == b[0]:
            continue
        why = EXPECTED.get(name)
        bad += why is None
        print(f"{'expected' if why else 'DIFFERENT'}  {name}\n    direct {a[0]}, router {b[0]}: {why or b[1].strip()[:600]}")
    return bad


def compare_requests(direct, router):
    """What the mock was asked has to be the same, too: the tests look at answers only."""
    bad = 0
    for line in sorted((direct | router).keys()):
        if direct[line] == router[line]:
            continue
        why = EXPECTED_REQUESTS.get(line)
        bad += why is None
        print(f"{'expected' if why else 'DIFFERENT'}  the mock saw: {line}\n    direct {direct[line]} times, router {router[line]}: {why or ''}")
    return bad


def main():
    copy, args = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    mock = Mock(copy)
    try:
        direct = run(copy, "direct", mock.url, args)
        seen = mock.seen()
        with router_before(mock) as (r, key):
            router = run_with_key(copy, f"http://127.0.0.1:{r.port}/v1", args, key)
            (OUT / "router.services.log").write_text(r.logs())
        through = mock.seen()
    finally:
        mock.stop()
    bad = compare(direct, router) + compare_requests(seen, through)
    print(f"requests that reached the mock: direct {sum(seen.values())}, router {sum(through.values())}")
    print(f"direct {passed(direct)} passed, router {passed(router)} passed")
    if bad:
        print(f"{bad} differences without a reason; see build/compat/*.log")
    return 1 if bad or not passed(direct) else 0


if __name__ == "__main__":
    sys.exit(main())
