"""deploy/tls/nginx.conf as it stands, in front of a router: tokens come one by one, uploads go through, the client is who it is."""
import contextlib
import http.client
import json
import shutil
import ssl
import subprocess
import time

import pytest

from fixtures_upstream import FixtureUpstream, load
from router import MODE, ROOT, Router, free_port, wait_until
from test_uploads import TYPE, form

pytestmark = pytest.mark.skipif(MODE != "launcher", reason="what is in front does not see the bus: once is enough")
TOKENS, DELAY_MS = 6, 150
MAIN = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Proxy:
    def __init__(self, router, folder):
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        assert nginx, "deploy/deps.sh test installs it"
        self.folder, self.port = folder, free_port()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
        site = (ROOT / "deploy/tls/nginx.conf").read_text()
        for there, here in (
            ("server 127.0.0.1:3000;", f"server 127.0.0.1:{router.port};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            ("/etc/ssl/router/fullchain.pem", str(folder / "cert.pem")),
            ("/etc/ssl/router/privkey.pem", str(folder / "key.pem")),
        ):
            assert site.count(there) == 1, there
            site = site.replace(there, here)
        (folder / "site.conf").write_text(site)
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
        self.process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.tls = ssl.create_default_context(cafile=str(folder / "cert.pem"))
        wait_until("nginx answers", 10, self.answers)

    def answers(self):
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        with contextlib.suppress(OSError):
            return self.open("GET", "/health/ready")[1].status == 200

    def open(self, method, path, body=None, key=None, headers=None, source="127.0.0.1"):
        conn = http.client.HTTPSConnection("localhost", self.port, context=self.tls, timeout=30, source_address=(source, 0))
        if isinstance(body, dict):
            body, headers = json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})}
        conn.request(method, path, body, {**(headers or {}), **({"authorization": f"Bearer {key}"} if key else {})})
        return conn, conn.getresponse()

    def chat(self, key, prompt, stream=False, **how):
        return self.open("POST", "/v1/chat/completions", {"model": "gpt-4o-mini", "stream": stream, "messages": [{"role": "user", "content": prompt}]}, key, **how)[1]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    with FixtureUpstream() as ear, Router(env={"TRUSTED_PROXIES": "127.0.0.1"}) as r:
        admin = r.admin()
        base = ear.env()["OPENAI_BASE_URL"]
        r.ok("POST", "/api/admin/providers", {"name": "ear", "kind": "openai", "base_url": base, "api_keys": ["sk-ear"], "internal": True}, admin)
        r.ok("POST", "/api/admin/models", {"name": "ear", "price": {"input": "1", "output": "1"}, "routes": [{"provider": "ear", "model": "whisper-1"}]}, admin)
        proxy = Proxy(r, folder)
        try:
            yield r, proxy, r.user(admin=admin)[1], ear
        finally:
            proxy.stop()


def test_tokens_come_one_by_one(world):
    r, proxy, token, _ = world
    answer = proxy.chat(r.new_key(token), f"[[tokens={TOKENS} delay={DELAY_MS}]]", stream=True)
    assert answer.status == 200 and answer.getheader("content-type").startswith("text/event-stream")
    came, last = [], None
    for line in answer:
        if line.startswith(b"data: {") and (json.loads(line[6:])["choices"] or [{}])[0].get("delta", {}).get("content"):
            came.append(time.monotonic())
        last = line.strip() or last
    assert last == b"data: [DONE]" and len(came) == TOKENS
    # held back by the proxy they would all come at the end
    assert came[-1] - came[0] > (TOKENS - 1) * DELAY_MS / 1000 * 0.6, came
    assert sum(b - a > DELAY_MS / 1000 * 0.4 for a, b in zip(came, came[1:])) >= TOKENS - 2, came


def test_an_upload_goes_through_as_it_comes(world):
    r, proxy, token, ear = world
    data, body = form(5_000_000, "ear", True)
    _, answer = proxy.open("POST", "/v1/audio/transcriptions", body, r.new_key(token), TYPE)
    assert answer.status == 200
    assert json.loads(answer.read()) == load("openai/audio_transcription_json.response.json")
    assert any(s.parts and s.parts["file"][0][2] == data for s in ear.requests)
    assert "buffered to a temporary file" not in (proxy.folder / "error.log").read_text()


def test_what_is_too_large_is_refused_by_the_router(world):
    r, proxy, token, _ = world
    answer = proxy.chat(r.new_key(token), "x" * (17 * 1024 * 1024))
    assert answer.status == 413 and json.loads(answer.read())["error"]["message"]


def test_the_clients_address_arrives(world):
    r, proxy, token, _ = world
    key = r.new_key(token, ip_allow=["127.0.0.77"])
    assert proxy.chat(key, "[[tokens=1]]", source="127.0.0.77").status == 200
    forged = {"x-forwarded-for": "127.0.0.77"}
    for headers in ({}, forged):
        answer = proxy.chat(key, "[[tokens=1]]", source="127.0.0.78", headers=headers)
        assert answer.status == 403 and json.loads(answer.read())["error"]["code"] == "ip_not_allowed"
    # who comes through the proxy is no operator on loopback
    assert r.call("GET", "/metrics").status == 200
    assert proxy.open("GET", "/metrics")[1].status in (401, 403)
