"""/console/: the files of console/, which the gateway has in itself. What they do is shown in a browser: tests/console."""
import gzip
import pathlib
import re
import socket
import subprocess

import pytest

from router import ROOT

FOLDER = ROOT / "console"
FILES = {p.relative_to(FOLDER).as_posix(): p.read_bytes() for p in FOLDER.rglob("*") if p.is_file() and not p.name.startswith(".")}
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def get(router, path, method="GET", **headers):
    return router.call(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_every_file_is_served_as_it_is(router):
    assert "index.html" in FILES
    for name, data in FILES.items():
        a = get(router, f"/console/{name}")
        assert a.status == 200 and a.body == data, "the binary was built from it"
        assert a.headers["content-type"] == TYPES[pathlib.Path(name).suffix]
        assert "content-encoding" not in a.headers
    assert get(router, "/console/").body == FILES["index.html"]
    assert get(router, "/console/?x=1").body == FILES["index.html"]


def test_what_a_page_may_do_is_said_with_each(router):
    for name in ("", *FILES):
        h = get(router, f"/console/{name}").headers
        assert h["content-security-policy"] == POLICY
        assert (h["x-content-type-options"], h["referrer-policy"], h["cross-origin-opener-policy"]) == ("nosniff", "no-referrer", "same-origin")
        assert h["cache-control"] == "no-cache"
        assert all(word.endswith("=()") for word in h["permissions-policy"].split(", "))


def test_what_a_client_has_is_not_sent_again(router):
    for name in FILES:
        path = f"/console/{name}"
        plain, packed = get(router, path), get(router, path, accept_encoding="gzip")
        tag = plain.headers["etag"]
        assert re.fullmatch('"[0-9a-f]{32}"', tag)
        for has in (tag, f"W/{tag}", f'"x" , W/"y",,{tag}', "*"):
            a = get(router, path, if_none_match=has)
            assert a.status == 304 and a.body == b"" and a.headers["etag"] == tag, (has, a)
            assert a.headers["cache-control"] == "no-cache" and a.headers["content-security-policy"] == POLICY
            assert a.headers.get("vary") == plain.headers.get("vary")
            assert "content-type" not in a.headers and "content-length" not in a.headers
        for has in ("", tag[1:-1], tag[:-2] + '"', f"w/{tag}", '"x"', f'"{tag}"'):
            assert get(router, path, if_none_match=has).status == 200, has
        if "content-encoding" in packed.headers:
            assert packed.headers["etag"] != tag, "these are other bytes"
            assert get(router, path, if_none_match=packed.headers["etag"], accept_encoding="gzip").status == 304
            assert get(router, path, if_none_match=tag, accept_encoding="gzip").status == 200


def test_it_is_compressed_for_whoever_takes_that(router):
    packed = 0
    for name, data in FILES.items():
        plain, a = get(router, f"/console/{name}"), get(router, f"/console/{name}", accept_encoding="br, GZIP;q=0.5")
        if "content-encoding" not in a.headers:
            assert a.body == data and "vary" not in plain.headers
            continue
        packed += 1
        assert a.headers["content-encoding"] == "gzip" and len(a.body) < len(data) and gzip.decompress(a.body) == data
        assert a.headers["vary"] == plain.headers["vary"] == "accept-encoding"
        assert a.headers["content-type"] == plain.headers["content-type"]
        for refused in ("", "identity", "br", "gzip;q=0", "gzip; q=0.000", "gzippy", "*"):
            assert get(router, f"/console/{name}", accept_encoding=refused).body == data, refused
    assert packed >= 1


def test_a_connection_goes_on_after_304_and_head(router):
    """What has no body is not followed by one: the next answer on the connection begins where it should."""
    tag = get(router, "/console/").headers["etag"]
    head = get(router, "/console/", "HEAD")
    assert head.status == 200 and head.body == b"" and head.headers["content-length"] == str(len(FILES["index.html"]))
    asked = f"GET /console/ HTTP/1.1\r\nHost: x\r\nIf-None-Match: {tag}\r\n\r\nHEAD /console/ HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", router.port), 10) as s:
        s.sendall(asked.encode())
        text = b"".join(iter(lambda: s.recv(65536), b""))
    parts = text.split(b"\r\n\r\n")
    assert [p.split(b"\r\n")[0] for p in parts[:3]] == [b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK"], text
    assert parts[3].startswith(b'{"status":"ok"') and len(parts) == 4


def test_nothing_else_is_there(router):
    names = ["x", "index.htm", "Index.html", "index.html/", "index.html%00", "//", "/index.html", ".", "..", "../console/index.html", "../routes.c"]
    names += ["%2e%2e/console/index.html", "..%2f..%2fetc/passwd", "%2e%2e%5c", "..\\index.html", "....//", "console/index.html", "index.html%ff", "%", "%2"]
    names += ["a" * 1025, "a" * 8000, "../" * 300 + "etc/passwd", "index.html;x", "app.js.gz", ".app.js"]
    for name in names:
        a = get(router, f"/console/{name}")
        assert a.status == 404 and a.error["code"] == "unknown_url" and a.error["type"] == "invalid_request_error", (name, a)
        assert a.headers["cache-control"] == "no-store"
    for path in ("/Console/", "/consol", "/console.html", "/consolex"):
        assert get(router, path).status == 404


def test_escaped_names_are_names(router):
    assert get(router, "/console/index%2Ehtml").body == FILES["index.html"]


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/index.html"])
def test_other_methods(router, path):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        a = get(router, path, method)
        assert a.status == 405 and a.headers["allow"] == "GET" and a.error["message"], (method, a)


def test_who_is_led_there(router):
    """Browsers from /, everybody from /console; below any path that a proxy has put the router at."""
    for method in ("GET", "HEAD"):
        a = get(router, "/console", method)
        assert a.status == 302 and a.headers["location"] == "./console/" and a.body == b""
        a = get(router, "/", method, accept="text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        assert a.status == 302 and a.headers["location"] == "./console/" and a.headers["content-length"] == "0"
    for accept in ("*/*", "application/json", "text/plain", "text/html;q=0", ""):
        a = get(router, "/", accept=accept)
        assert a.status == 200 and a.headers["content-type"].startswith("text/plain") and b"/console/" in a.body, accept


def generate(folder, target):
    return subprocess.run(["/usr/bin/python3", str(ROOT / "gateway" / "console.py"), str(folder), str(target)], capture_output=True, text=True)


def test_what_the_generator_does_not_know_is_an_error(tmp_path):
    folder = tmp_path / "console"
    (folder / "pages" / "deep").mkdir(parents=True)
    (folder / ".hidden.js").write_text("x")
    assert "no index.html" in generate(folder, tmp_path / "out.c").stderr
    (folder / "index.html").write_text("<!DOCTYPE html>")
    (folder / "pages" / "keys.js").write_text("export {};\n")
    assert generate(folder, tmp_path / "out.c").returncode == 0
    made = (tmp_path / "out.c").read_text()
    assert '{"pages/keys.js", "text/javascript; charset=utf-8", ' in made and "hidden" not in made
    for name, said in (("a.wasm", "known are"), ("README", "known are"), ("A.js", "small letters"), ("a b.js", "small letters"), ("pages/deep/x.js", "folders")):
        (folder / name).write_text("x")
        done = generate(folder, tmp_path / "out.c")
        assert done.returncode == 1 and said in done.stderr and name in done.stderr, (name, done)
        (folder / name).unlink()
    (folder / "empty.js").touch()
    assert "empty.js is empty" in generate(folder, tmp_path / "out.c").stderr
