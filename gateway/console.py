#!/usr/bin/env python3
"""gateway/console.py FOLDER OUT.c: the web console as the gateway serves it, made when it is built.

OUT.c holds every file of FOLDER and its subfolders as it is, once more compressed where that makes it smaller, and the digest of either as
its ETag. The names that browsers ask for are those of the files; what is hidden is left out, and a kind that is not known here is an error.
"""
import gzip
import hashlib
import pathlib
import re
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
NAME = re.compile(r"[a-z0-9][a-z0-9._/-]*")  # nothing that a URL would escape
INDEX = "index.html"
BYTES_A_LINE = 24
ETAG_DIGITS = 32


def fail(text):
    sys.exit(f"gateway/console.py: {text}")


def files(folder):
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or any(part.startswith(".") for part in name.split("/")):
            continue
        if name.count("/") > 1:
            fail(f"{name}: a subfolder has no folders, the Makefile does not look there")
        if path.suffix not in TYPES:
            fail(f"{name}: known are {', '.join(TYPES)}")
        if not NAME.fullmatch(name):
            fail(f"{name}: small letters, digits, '-', '_' and '.' only")
        yield name, TYPES[path.suffix], path.read_bytes()


def representation(array, data, out):
    """An array of bytes, since a string literal of this length is no standard C, and the words that name it."""
    lines = (",".join(map(str, data[i : i + BYTES_A_LINE])) for i in range(0, len(data), BYTES_A_LINE))
    out.append(f"static const unsigned char {array}[] = {{\n" + ",\n".join(lines) + "};\n")
    return f'{{{array}, sizeof({array}), "\\"{hashlib.sha256(data).hexdigest()[:ETAG_DIGITS]}\\""}}'


def main(folder, target):
    out, rows = ["/* Made by gateway/console.py from console/. */\n", '#include "gateway/console.h"\n\n'], []
    for n, (name, kind, data) in enumerate(files(pathlib.Path(folder))):
        if not data:
            fail(f"{name} is empty")
        plain = representation(f"plain_{n}", data, out)
        packed = gzip.compress(data, mtime=0)
        packed = representation(f"gzip_{n}", packed, out) if len(packed) < len(data) else "{NULL, 0, NULL}"
        rows.append(f'    {{"{name}", "{kind}", {plain}, {packed}}},\n')
    if not any(f'"{INDEX}"' in row for row in rows):
        fail(f"{folder} has no {INDEX}")
    out.append("const struct console_file console_files[] = {\n" + "".join(rows) + "};\n")
    out.append("const size_t n_console_files = sizeof(console_files) / sizeof(console_files[0]);\n")
    pathlib.Path(target).write_text("".join(out), encoding="ascii")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        fail("usage: gateway/console.py FOLDER OUT.c")
    main(sys.argv[1], sys.argv[2])
