"""/docs: the API reference as a page for anybody, made from docs/openapi.yaml, and that file itself."""
import base64
import hashlib
import html.parser
import re
import shlex
import subprocess

import pytest
import yaml

from openapi import Reference
from router import ROOT

METHODS = ("get", "post", "patch", "put", "delete")
REFERENCE = Reference()
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Balanced(html.parser.HTMLParser):
    """Every element is closed where it was opened; what is named once is named once, and every link within the page leads somewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.wrong, self.style, self.tags = [], [], [], [], "", set()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "a":
            self.links.append(attrs["href"])
        self.wrong += [f"{tag} has {name}" for name in attrs if name == "style" or name.startswith("on") or name == "src"]

    def handle_startendtag(self, tag, attrs):
        if tag not in VOID:
            self.wrong.append(f"<{tag} />")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.style += data


@pytest.fixture(scope="module")
def page(router):
    return router.call("GET", "/docs")


@pytest.fixture(scope="module")
def parsed(page):
    p = Balanced()
    p.feed(page.body.decode())
    p.close()
    return p


def operations():
    for path, methods in REFERENCE.paths.items():
        for method in METHODS:
            if method in methods:
                yield method, path, methods[method]


def test_the_page_is_for_anybody_and_allows_nothing_but_its_style(page, parsed):
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-content-type-options"] == "nosniff" and page.headers["referrer-policy"] == "no-referrer"
    digest = base64.b64encode(hashlib.sha256(parsed.style.encode()).digest()).decode()
    assert page.headers["content-security-policy"] == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    assert "prefers-color-scheme:dark" in parsed.style and "url(" not in parsed.style and "@import" not in parsed.style
    assert b'name="viewport"' in page.body and len(page.body) == int(page.headers["content-length"])


def test_the_page_is_well_formed(parsed):
    assert parsed.wrong == [] and parsed.open == []
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    assert {link for link in parsed.links if not link.startswith("#")} == {"docs/openapi.yaml"}
    assert not parsed.tags & {"script", "iframe", "img", "link", "form", "object", "svg"}


def test_every_operation_is_on_the_page(page, parsed):
    text = page.body.decode()
    sections = dict(re.findall(r'<h3 id="([^"]+)">(.*?)(?=<h[23] id=|</main>)', text, re.S))
    known = set()
    for method, path, operation in operations():
        at = re.sub(r"[^A-Za-z0-9]+", "-", f"{method} {re.sub('(?<=.)/$', '/index', path)}").strip("-")
        section, known = sections[at], known | {at}
        assert f'<span class="method {method}">{method.upper()}</span> <code>{path}</code>' in section
        for p in operation.get("parameters", []):
            assert f"<code>{REFERENCE.resolve(p)['name']}</code>" in section, (at, p)
        for status in operation["responses"]:
            assert f"<dt><code>{'other' if status == 'default' else status}</code>" in section, (at, status)
        for media in operation.get("requestBody", {}).get("content", {}).values():
            for name in REFERENCE.schema(media["schema"]).get("properties", {}):
                assert f"<dt><code>{name}</code>" in section, (at, name)
        assert "For anybody" in section or "API key" in section or "access token" in section or "METRICS_TOKEN" in section
        assert ("For an administrator" in section) == path.startswith("/api/admin/"), at
    assert known == {at for at in sections if at.startswith(tuple(f"{m}-" for m in METHODS)) or at in METHODS}
    for name in REFERENCE.document["components"]["schemas"]:
        assert f"object-{name}" in parsed.ids


def test_examples_are_what_is_described():
    for method, path, operation in operations():
        for media in operation.get("requestBody", {}).get("content", {}).values():
            if "example" in media:
                assert REFERENCE.differences(media["schema"], media["example"]) == [], (method, path)


def test_the_examples_of_reading_work(router, admin, page):
    """Those that need no object of their own, run by a shell as they stand on the page, but for the port."""
    lists = 0
    for _, path, _ in operations():
        at = re.sub(r"[^A-Za-z0-9]+", "-", f"get {path}").strip("-")
        m = re.search(rf'<h3 id="{at}">.*?<pre><code>(.*?)</code></pre>', page.body.decode(), re.S)
        if not m or not path.startswith(("/api/admin", "/health", "/docs", "/auth/me", "/api/usage", "/api/credits")) or "{" in path:
            continue
        command = html.unescape(m.group(1)).replace("http://127.0.0.1:3000", f"http://127.0.0.1:{router.port}")
        assert shlex.split(command)[0] == "curl"
        done = subprocess.run(["sh", "-c", command.replace("curl", "curl -sS -o /dev/null -w '%{http_code}'", 1)], env={"PATH": "/usr/bin:/bin", "ROUTER_TOKEN": admin}, capture_output=True, text=True, timeout=60)
        assert done.stdout == "200", (path, command, done)
        lists += 1
    assert lists > 15


def test_the_description_itself(router):
    a = router.call("GET", "/docs/openapi.yaml")
    assert a.status == 200 and a.headers["content-type"] == "application/yaml"
    assert a.body == (ROOT / "docs" / "openapi.yaml").read_bytes(), "the binary was built from it"
    assert yaml.safe_load(a.body)["openapi"].startswith("3.1")


def test_head_and_other_methods_and_paths(router):
    for path in ("/docs", "/docs/openapi.yaml"):
        head, get = router.call("HEAD", path), router.call("GET", path)
        assert head.status == 200 and head.body == b"" and head.headers["content-length"] == str(len(get.body))
        assert head.headers["content-type"] == get.headers["content-type"]
        a = router.call("POST", path, {})
        assert a.status == 405 and a.headers["allow"] == "GET", a
    for path in ("/docs/", "/docs/x", "/docs/openapi.json", "/docs/../docs/x", "/docs/openapi.yaml/", "/Docs"):
        a = router.call("GET", path)
        assert a.status == 404 and a.json()["error"]["message"], (path, a)
    assert b"/docs" in router.call("GET", "/").body


def test_what_the_generator_does_not_know_is_an_error(tmp_path):
    whole = (ROOT / "docs" / "openapi.yaml").read_text()
    for was, change, said in (
        ("    get:\n      tags: [Operation]\n", "    get:\n      deprecated: true\n      tags: [Operation]\n", "deprecated"),
        ("balance_usd: {type: string", "balance_usd: {type: string, nullable: true", "nullable"),
        ("components:\n", "components:\n  links: {}\n", "links"),
    ):
        assert was in whole
        (tmp_path / "in.yaml").write_text(whole.replace(was, change, 1))
        done = subprocess.run(["/usr/bin/python3", str(ROOT / "docs" / "reference.py"), str(tmp_path / "in.yaml"), str(tmp_path / "out.c")], capture_output=True, text=True)
        assert done.returncode == 1 and said in done.stderr, (change, done)
