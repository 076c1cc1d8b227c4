#!/usr/bin/env python3
"""The rules of this house that no compiler knows. Prints one line a breach; exit 1 if there is any.

rules.py          reads the sources
rules.py --state  reads the objects in build/obj: no service keeps mutable file-scope state

A breach that is right where it stands is allowed on its own line, with the reason:
    some_call(); /* lint: allow(banned) why */
For a whole file (rule `file-length`) the words stand in the comment at its top, for a function (rule
`function-length`) on the line where it begins.
"""

import os
import re
import subprocess
import sys

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
TOP_LINES = 15  # where a whole-file allowance may stand

CHASSIS = ["proto", "services"]
SERVICES = ["gateway", "authsvc", "providersvc", "meterd"]
PRODUCT = CHASSIS + SERVICES + ["cli"]
FOLDERS = PRODUCT + ["tests"]
PAGES = "console"

# What a folder may include of ours; its own files are always allowed.
MAY_INCLUDE = {"proto": [], "services": ["proto"], "cli": CHASSIS, **{s: CHASSIS for s in SERVICES}}
LAUNCHER = "services/launcher.c"  # starts the four services: the one file that knows them all

# Which folders may include a library.
LIBRARY_HOMES = {
    r"nng/": ["services/bus/"],
    r"sqlite3\.h": ["meterd/"],
    r"curl/": ["providersvc/", "cli/"],
    r"civetweb\.h": ["gateway/"],
    r"msgpack": ["proto/"],
    r"jwt\.h": ["authsvc/"],
    r"hiredis": ["authsvc/"],
    r"cyaml/": ["meterd/"],
    r"mbedtls/|psa/": [],
}

BANNED = {
    "sprintf": "snprintf", "vsprintf": "vsnprintf", "strcpy": "a bounded copy", "strcat": "a bounded copy",
    "strncpy": "a bounded copy that ends", "strncat": "a bounded copy", "gets": "fgets", "atoi": "strtol",
    "atol": "strtol", "atoll": "strtoll", "atof": "strtod", "strtok": "strtok_r", "system": "posix_spawn",
    "popen": "posix_spawn", "alloca": "the arena", "tmpnam": "mkstemp", "mktemp": "mkstemp",
    "rand": "randombytes", "srand": "randombytes", "localtime": "localtime_r", "gmtime": "gmtime_r",
    "asctime": "strftime", "ctime": "strftime",
    "setjmp": "a return value", "longjmp": "a return value",
    "mg_handle_form_request": "our own parser (it can hang)",
}
BANNED_RE = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED))
EXIT_RE = re.compile(r"(?<![\w.>])exit\s*\(")
MAIN_RE = re.compile(r"^int main\(", re.M)
PRINT_RE = re.compile(r"(?<![\w.>])(printf|puts|putchar|perror)\s*\(")
UNFINISHED = ["TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK", "not " "implemented", "un" "implemented"]
UNFINISHED_RE = re.compile(r"\b(%s)\b" % "|".join(UNFINISHED))
ALLOW_RE = re.compile(r"lint: allow\(([a-z-]+)\) \S+")
INCLUDE_RE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">]')

# Settings that compose.yaml gives a value of its own, or not at all: what a user's .env says of them must not count there.
COMPOSE_FIXED = {
    "HOST": "every container listens on all its addresses, the Dockerfile says so; PUBLISH_ADDRESS is the host's",
    "PORT": "the container's; what is published is ${PORT}",
    "DB_PATH": "in the volume data, by the Dockerfile",
    "SPOOL_DIR": "in the volume spool, by the Dockerfile",
    "UPLOAD_DIR": "where the container sees it; the mount is ${UPLOAD_DIR}",
    "AUTHSVC_URL": "the bus's own network",
    "PROVIDERSVC_URL": "the bus's own network",
    "METERD_URL": "the bus's own network",
    "METERD_FEED_URL": "the bus's own network",
    "METERD_EVENTS_URL": "the bus's own network",
}
SETTING_RE = re.compile(r"^ +S\((\w+), .*?(SET_\w+(?: \| SET_\w+)*), \"", re.M)
SET_OF = {"gateway": "SET_G", "authsvc": "SET_A", "providersvc": "SET_P", "meterd": "SET_M"}

breaches = []


def breach(path, line, rule, text):
    breaches.append(f"{path}:{line}: {text} [{rule}]")


def allowed(line, rule):
    m = ALLOW_RE.search(line)
    return m is not None and m.group(1) == rule


TOKEN_RE = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""", re.S | re.X)


def bare(text):
    """The code without comments and without what stands in strings; line numbers are kept."""

    def blank(m):
        token = m.group(0)
        if token[0] in "\"'":
            return token[0] * 2
        return re.sub(r"[^\n]", " ", token)

    # an include's name is not a string literal
    return "\n".join(
        raw if INCLUDE_RE.match(raw) else line
        for raw, line in zip(text.split("\n"), TOKEN_RE.sub(blank, text).split("\n")))


def files(*endings, folders=FOLDERS):
    for folder in folders:
        for base, dirs, names in os.walk(folder):
            dirs[:] = sorted(d for d in dirs if d not in ("node_modules", "__pycache__"))
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.join(base, name)


def check_include(path, line, raw, kind, name):
    folder = path.split("/")[0]
    if kind == '"':
        target = name.split("/")[0]
        if "/" not in name or target not in FOLDERS:
            if folder in PRODUCT:
                breach(path, line, "include", f'"{name}" is to be named from the top, as "dir/file.h"')
            return
        if folder == "tests" or path == LAUNCHER or target == folder:
            return
        if target not in MAY_INCLUDE[folder] and not allowed(raw, "include"):
            breach(path, line, "include", f"{folder}/ may not include {target}/")
        return
    if folder == "tests":
        return
    for pattern, homes in LIBRARY_HOMES.items():
        if re.match(pattern, name) and not any(path.startswith(home) for home in homes):
            if not allowed(raw, "include"):
                breach(path, line, "include", f"<{name}> belongs to {', '.join(homes) or 'no file of ours'}")


def check_own_header_first(path, includes):
    own = path[:-2] + ".h"
    names = [name for _, _, kind, name in includes if kind == '"']
    if os.path.exists(own) and own in names and includes[0][3] != own:
        breach(path, includes[0][0], "include", f'the first include of {path} is its own header "{own}"')


def check_guard(path, text):
    guard = re.sub(r"[^A-Z0-9]", "_", path.upper())
    if f"#ifndef {guard}\n#define {guard}\n" not in text:
        breach(path, 1, "guard", f"the guard of this header is {guard}")


def check_c(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    raw = text.split("\n")
    code = bare(text).split("\n")
    product = path.split("/")[0] in PRODUCT
    # Programs of the shell print; so does whoever holds a main().
    may_print = not product or path.startswith("cli/") or MAIN_RE.search(text) is not None
    includes = []

    for n, (line, whole) in enumerate(zip(code, raw), 1):
        m = INCLUDE_RE.match(line)
        if m:
            includes.append((n, whole, m.group(1), m.group(2)))
            check_include(path, n, whole, m.group(1), m.group(2))
            continue
        m = BANNED_RE.search(line)
        if m and product and not allowed(whole, "banned"):
            breach(path, n, "banned", f"{m.group(1)}() is banned; use {BANNED[m.group(1)]}")
        if EXIT_RE.search(line) and not may_print and not allowed(whole, "banned"):
            breach(path, n, "banned", "exit() belongs into a main()")
        m = PRINT_RE.search(line)
        if m and not may_print and not allowed(whole, "banned"):
            breach(path, n, "banned", f"{m.group(1)}() belongs into tools; services log")
        if len(whole) > 0 and whole != whole.rstrip():
            breach(path, n, "space", "space at the end of the line")
    if path.endswith(".c") and includes:
        check_own_header_first(path, includes)
    if path.endswith(".h") and product:
        check_guard(path, text)
    if len(raw) - 1 > FILE_LINES_MAX and not any(allowed(w, "file-length") for w in raw[:TOP_LINES]):
        breach(path, 1, "file-length", f"{len(raw) - 1} lines; {FILE_LINES_MAX} are the most")


def check_unfinished(path):
    if path.startswith("tests/lint/"):
        return
    with open(path, encoding="utf-8", errors="replace") as f:
        for n, line in enumerate(f, 1):
            m = UNFINISHED_RE.search(line)
            if m and not allowed(line, "unfinished"):
                breach(path, n, "unfinished", f"'{m.group(1)}': finish it, or open an issue")


def check_functions(paths):
    out = subprocess.run(["ctags", "--languages=C", "--c-kinds=f", "--fields=+ne", "-f", "-", "-L", "-"],
                         input="\n".join(paths), capture_output=True, text=True, check=True).stdout
    for row in out.splitlines():
        name, path, *rest = row.split("\t")
        fields = dict(part.split(":", 1) for part in rest if re.match(r"(line|end):\d+$", part))
        if "end" not in fields:
            continue
        start, length = int(fields["line"]), int(fields["end"]) - int(fields["line"]) + 1
        if length <= FUNCTION_LINES_MAX:
            continue
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
        if not any(allowed(line, "function-length") for line in lines[max(0, start - 2):start]):
            breach(path, start, "function-length", f"{name}() has {length} lines; {FUNCTION_LINES_MAX} are the most")


def environments(text):
    """Of compose.yaml: {service: {variable: (line, value)}}, what `<<: *bus` brings included."""
    found, section, where, bus = {}, None, None, {}
    for n, line in enumerate(text.split("\n"), 1):
        if m := re.match(r"(\S+):", line):
            section, where = m.group(1), bus if m.group(1) == "x-bus" else None
        elif m := re.match(r"  (\w+):$", line):
            service = found.setdefault(m.group(1), {}) if section == "services" else None
        elif m := re.match(r"    (\w+):", line):
            where = service if section == "services" and m.group(1) == "environment" else None
        elif line == "      <<: *bus" and where is not None:
            where.update(bus)
            continue
        if where is not None and (m := re.match(r" +([A-Z][A-Z0-9_]*): (.*)", line)):
            where[m.group(1)] = (n, m.group(2))
    return found


def check_compose(path="compose.yaml", table="services/settings_table.h"):
    """A setting that a service reads can be given in .env, or it is one of COMPOSE_FIXED."""
    with open(table, encoding="utf-8") as f:
        text = f.read()
    rows = {m.group(1): m.group(2).split(" | ") for m in SETTING_RE.finditer(text)}
    if len(rows) != len(re.findall(r"^ +S\(", text, re.M)):
        breach(table, 1, "compose", "a row cannot be read here")
    for name in sorted(set(COMPOSE_FIXED) - set(rows)):
        breach(table, 1, "compose", f"COMPOSE_FIXED has {name}, which is no setting")
    with open(path, encoding="utf-8") as f:
        found = environments(f.read())
    for service, letter in SET_OF.items():
        given = found.get(service, {})
        for name, read_by in rows.items():
            line, value = given.get(name, (1, ""))
            if name not in COMPOSE_FIXED and (letter in read_by or "SET_ALL" in read_by) and f"${{{name}:" not in value:
                breach(path, line, "compose", f"{service} does not get {name} of .env; if that is right, COMPOSE_FIXED says why")
        for name, (line, _) in given.items():
            if name not in rows:
                breach(path, line, "compose", f"{name} of {service} is no setting")


STATE_RE = re.compile(r"^[0-9a-f]+ .{7} (\.t?data|\.t?bss|\.data\.rel(?:\.local)?|\*COM\*)\t([0-9a-f]+)\s+(?:\.hidden )?(\S+)$")


def check_state():
    """Four services run in one process, so what one keeps must hang from its own state, not from a file.
    gateway/ has to keep the table that its accept() and recv() share: such a line says so itself."""
    for folder in PRODUCT:
        if folder == "cli":
            continue
        for base, _, names in os.walk(os.path.join("build/obj", folder)):
            for name in sorted(n for n in names if n.endswith(".o")):
                obj = os.path.join(base, name)
                source = os.path.relpath(obj, "build/obj")[:-2] + ".c"
                if not os.path.exists(source):
                    continue
                with open(source, encoding="utf-8") as f:
                    lines = f.read().split("\n")
                table = subprocess.run(["objdump", "-t", obj], capture_output=True, text=True, check=True).stdout
                for row in table.splitlines():
                    m = STATE_RE.match(row)
                    if not m or int(m.group(2), 16) == 0:
                        continue
                    symbol = m.group(3).split(".")[0]
                    at = [n for n, line in enumerate(lines, 1) if re.search(rf"\b{re.escape(symbol)}\b", line)]
                    if not any(allowed(lines[n - 1], "state") for n in at):
                        breach(source, at[0] if at else 1, "state", f"'{symbol}' is mutable file-scope state")


def main():
    if sys.argv[1:] == ["--state"]:
        check_state()
    else:
        sources = list(files(".c", ".h"))
        for path in sources:
            check_c(path)
        # node_modules and build products are not in these folders
        for path in list(files(".c", ".h", ".py", ".sh", ".js", ".mjs", ".ts", ".html", ".css", folders=[*FOLDERS, PAGES])) + [
                p for p in ("Makefile", "Dockerfile", "compose.yaml", ".ci/run") if os.path.exists(p)]:
            check_unfinished(path)
        check_compose()
        check_functions([p for p in sources if p.endswith(".c") and not p.startswith("tests/")])
    for text in breaches:
        print(text)
    return 1 if breaches else 0


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    sys.exit(main())
