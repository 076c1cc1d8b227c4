#!/usr/bin/env python3
"""docs/reference.py OPENAPI.yaml OUT.c: the API reference as the gateway serves it, made when it is built.

OUT.c holds the page (/docs), the description itself (/docs/openapi.yaml), and the hash of the page's style, by which
its Content-Security-Policy allows that and nothing else: there is no script, no picture, nothing of another host. What
the description says and this program does not know how to show is an error, so that nothing is passed over.
"""
import base64
import hashlib
import html
import json
import re
import sys

import yaml

METHODS = ["get", "post", "patch", "put", "delete"]
SCHEMA_WORDS = {"$ref", "type", "description", "required", "properties", "additionalProperties", "items", "allOf", "enum", "const"}
SCHEMA_WORDS |= {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "format", "default"}
COMPONENTS = {"parameters", "securitySchemes", "responses", "schemas"}
OPERATION_WORDS = {"tags", "summary", "description", "security", "parameters", "requestBody", "responses"}
BYTES_A_LINE = 24

STYLE = """
:root{color-scheme:light dark;--text:#1c1e21;--soft:#5b626b;--back:#fff;--field:#f3f4f6;--line:#d9dce1;--link:#0a58ca;
--get:#0b6b3a;--post:#0a58ca;--patch:#8a5a00;--delete:#b3261e}
@media(prefers-color-scheme:dark){:root{--text:#e4e6ea;--soft:#9aa3ad;--back:#14161a;--field:#1e2126;--line:#343941;
--link:#7db0ff;--get:#5fce93;--post:#7db0ff;--patch:#e5b45a;--delete:#ff8b82}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem}
body{margin:0 auto;max-width:54rem;padding:1rem;font:1rem/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);
overflow-wrap:anywhere}
a{color:var(--link)}
h1,h2,h3,h4{line-height:1.25;margin:2.2rem 0 .5rem}
h1{margin-top:.5rem}
h2{border-bottom:1px solid var(--line);padding-bottom:.3rem;margin-top:3.5rem}
h3{font-size:1.1rem;border-top:1px solid var(--line);padding-top:1.2rem}
h4{font-size:.9rem;margin:1rem 0 .2rem;color:var(--soft)}
h3 a{color:inherit;text-decoration:none}
h3 a:hover{text-decoration:underline}
p{margin:.5rem 0}
code,pre{font:.9em/1.5 ui-monospace,monospace;background:var(--field);border-radius:.25rem}
code{padding:.1em .3em}
pre{padding:.7rem;overflow-x:auto;overflow-wrap:normal}
h3 code,pre code{background:none;padding:0}
dl{margin:.3rem 0}
dt{margin-top:.5rem}
dd{margin:0 0 0 1.2rem;color:var(--soft)}
dd dl{border-left:2px solid var(--line);padding-left:.8rem}
nav ul{list-style:none;margin:.3rem 0 .8rem;padding:0 0 0 1rem}
nav li{margin:.25rem 0}
summary{cursor:pointer;padding:.2rem 0}
.kind,.soft{color:var(--soft);font-size:.9em}
.method{font:700 .85em ui-monospace,monospace}
.get{color:var(--get)}.post{color:var(--post)}.patch{color:var(--patch)}.delete{color:var(--delete)}
"""


def fail(text):
    sys.exit(f"docs/reference.py: {text}")


def text_of(text):
    """Escaped, with `code` as such."""
    parts = str(text).strip().split("`")
    return "".join(f"<code>{html.escape(p)}</code>" if i % 2 else html.escape(p) for i, p in enumerate(parts))


def paragraphs(text):
    return "".join(f"<p>{text_of(' '.join(p.split()))}</p>\n" for p in re.split(r"\n\s*\n", text.strip()) if p)


def anchor(*words):
    return re.sub(r"[^A-Za-z0-9]+", "-", " ".join(words)).strip("-")


def anchor_of(method, path):
    """A folder is another place than its name without the slash."""
    return anchor(method, path + "index" if path.endswith("/") and path != "/" else path)


class Page:
    def __init__(self, document):
        self.document = document
        self.components = document["components"]
        self.out = []
        self.anchors = set()
        if set(self.components) - COMPONENTS:
            fail(f"components has {sorted(set(self.components) - COMPONENTS)}, which is not known here")

    def add(self, *lines):
        self.out += lines

    def heading(self, level, at, content):
        if at in self.anchors:
            fail(f"two things are called #{at}")
        self.anchors.add(at)
        self.add(f'<h{level} id="{at}">{content}</h{level}>')

    def resolve(self, node):
        """What a $ref points to, with what stands beside it."""
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
        return node

    # ---- schemas ---------------------------------------------------------------------------------------------------

    def schema(self, node):
        """Resolved, with the members of what it is made from."""
        node = self.resolve(node)
        if set(node) - SCHEMA_WORDS:
            fail(f"a schema says {sorted(set(node) - SCHEMA_WORDS)}, which is not known here")
        for part in node.get("allOf", []):
            base = self.schema(part)
            node = {**node, "properties": {**base.get("properties", {}), **node.get("properties", {})}}
            node["required"] = base.get("required", []) + node.get("required", [])
        return node

    def kind(self, node):
        """Type and bounds, in a few words."""
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[1]
            return f'<a href="#object-{name}">{name}</a>'
        node = self.schema(node)
        if "const" in node:
            return f"always <code>{html.escape(str(node['const']))}</code>"
        types = node.get("type", "any")
        types = types if isinstance(types, list) else [types]
        words = ["list of " + self.kind(node["items"]) if t == "array" and "items" in node else t for t in types]
        said = [" or ".join(words)]
        if "enum" in node:
            said.append("one of " + ", ".join(f"<code>{html.escape(str(v))}</code>" for v in node["enum"]))
        for low, high, unit in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items")):
            if low in node and high in node:
                said.append(f"{node[low]:,} to {node[high]:,}{unit}")
            elif low in node:
                said.append(f"at least {node[low]:,}{unit}")
            elif high in node:
                said.append(f"at most {node[high]:,}{unit}")
        said += [f"{word} <code>{html.escape(str(node[word]))}</code>" for word in ("format", "default") if word in node]
        if "pattern" in node:
            said.append(f"as <code>{html.escape(node['pattern'])}</code>")
        return ", ".join(said)

    def entry(self, name, kind, due, description, more=""):
        word = ', <strong class="kind">required</strong>' if due else ""
        self.add(f'<dt><code>{html.escape(name)}</code> <span class="kind">{kind}</span>{word}</dt>')
        if description or more:
            self.add(f"<dd>{text_of(description or '')}")
            if more:
                self.members(more)
            self.add("</dd>")

    def members(self, node):
        node = self.schema(node)
        self.add("<dl>")
        for name, member in node.get("properties", {}).items():
            inner = member.get("items", member)
            nested = inner if "properties" in inner else None
            self.entry(name, self.kind(member), name in node.get("required", []), member.get("description"), nested)
        self.add("</dl>")
        if node.get("additionalProperties"):
            self.add('<p class="soft">Other members pass to the provider as they are.</p>')

    # ---- operations ------------------------------------------------------------------------------------------------

    def caller(self, operation):
        """Who may call it, and curl's words for that."""
        schemes = {name for way in operation.get("security", []) for name in way}
        if "key" in schemes:
            return "whoever has an API key", "OPENAI_API_KEY"
        if "operator" in schemes:
            return "whoever has METRICS_TOKEN; when there is none, whoever calls from the same machine", "METRICS_TOKEN"
        if "session" in schemes:
            return "an administrator, with an access token" if "Administration" in operation["tags"] else "a user, with an access token", "ROUTER_TOKEN"
        if schemes:
            fail(f"nobody knows who {sorted(schemes)} are")
        return "anybody", None

    def least(self, node):
        """A value with what is required and no more."""
        node = self.schema(node)
        if node.get("properties"):
            return {name: self.least(node["properties"][name]) for name in node.get("required", [])}
        for value in (*node.get("enum", []), node.get("const")):
            if value is not None:
                return value
        kinds = node.get("type", "object")
        kind = kinds[0] if isinstance(kinds, list) else kinds
        return {"string": "…", "integer": node.get("minimum", 1), "boolean": True, "array": [], "object": {}}[kind]

    def curl(self, method, path, operation):
        _, token = self.caller(operation)
        url = self.document["servers"][0]["url"] + re.sub(r"\{(\w+)\}", lambda m: "$" + m.group(1).upper(), path)
        query = [f"{p['name']}={p['example']}" for p in operation.get("parameters", []) if "example" in p]
        url += "?" + "&".join(query) if query else ""
        words = [f'curl "{url}"' if "$" in url or query else f"curl {url}"]
        content = operation.get("requestBody", {}).get("content", {})
        kind, body = next(iter(content.items()), (None, {}))
        if method not in ("get", "post") or (method == "post" and not content):
            words[0] += f" -X {method.upper()}"
        if token:
            words.append(f'-H "Authorization: Bearer ${token}"')
        example = body["example"] if "example" in body else self.least(body.get("schema", {}))
        if kind == "multipart/form-data":
            words += [f"-F {name}={value}" for name, value in example.items()]
        elif kind:
            words.append("-H 'Content-Type: application/json'")
            words.append("-d " + "'" + json.dumps(example, ensure_ascii=False).replace("'", "'\\''") + "'")
        if any("mpeg" in k or "octet" in k for k in operation["responses"].get("200", {}).get("content", {})):
            words.append("-o FILE")
        self.add("<h4>Example</h4>", "<pre><code>" + html.escape(" \\\n  ".join(words), quote=False) + "</code></pre>")

    def parameters(self, operation):
        parameters = operation.get("parameters", [])
        if not parameters:
            return
        self.add("<h4>Parameters</h4>", "<dl>")
        for p in parameters:
            if "$ref" in p:
                name = p["$ref"].rsplit("/", 1)[1]
                p = self.resolve(p)
                kind = f'{p["in"]}, <a href="#parameter-{name}">see there</a>'
                self.entry(p["name"], kind, p.get("required"), "")
            else:
                self.entry(p["name"], f"{p['in']}, {self.kind(p['schema'])}", p.get("required"), p.get("description"))
        self.add("</dl>")

    def body(self, operation):
        body = operation.get("requestBody")
        if not body:
            return
        self.add("<h4>Body</h4>")
        for kind, media in body["content"].items():
            node = self.schema(media["schema"])
            what = "" if node.get("properties") else ", as the provider's API has it"
            need = "" if body.get("required") else "; may be left out"
            self.add(f"<p><code>{html.escape(kind)}</code>{what}{need}</p>")
            if node.get("properties"):
                self.members(media["schema"])

    def answer(self, status, answer):
        shown = "other" if status == "default" else status
        if "$ref" in answer:
            name = answer["$ref"].rsplit("/", 1)[1]
            answer = self.resolve(answer)
            self.add(f'<dt><code>{shown}</code></dt><dd><a href="#answer-{name}">{text_of(answer["description"])}</a></dd>')
            return
        self.add(f"<dt><code>{shown}</code> {text_of(answer['description'])}</dt>")
        if "content" in answer:
            self.add("<dd>")
            self.contents(answer)
            self.add("</dd>")

    def contents(self, answer):
        for kind, media in answer.get("content", {}).items():
            node = media["schema"]
            described = "$ref" in node or node.get("properties")
            self.add(f"<p><code>{html.escape(kind)}</code>{': ' + self.kind(node) if described else ''}</p>")
            if "properties" in node:
                self.members(node)
        if answer.get("headers"):
            self.add("<h4>Headers</h4>", "<dl>")
            for name, header in answer["headers"].items():
                self.entry(name, self.kind(header["schema"]), False, header.get("description"))
            self.add("</dl>")

    def operation(self, method, path, operation):
        if set(operation) - OPERATION_WORDS:
            fail(f"{method} {path} says {sorted(set(operation) - OPERATION_WORDS)}, which is not known here")
        at = anchor_of(method, path)
        self.heading(3, at, f'<a href="#{at}"><span class="method {method}">{method.upper()}</span> <code>{html.escape(path)}</code></a>')
        self.add(f"<p>{text_of(operation['summary'])}</p>", paragraphs(operation.get("description", "")))
        self.add(f'<p class="soft">For {text_of(self.caller(operation)[0])}.</p>')
        self.parameters(operation)
        self.body(operation)
        self.add("<h4>Answers</h4>", "<dl>")
        for status, answer in operation["responses"].items():
            self.answer(status, answer)
        self.add("</dl>")
        self.curl(method, path, operation)

    # ---- the whole -------------------------------------------------------------------------------------------------

    def operations(self, tag):
        for path, methods in self.document["paths"].items():
            if set(methods) - set(METHODS):
                fail(f"{path} has {sorted(set(methods) - set(METHODS))}, which is not known here")
            for method, operation in methods.items():
                if operation["tags"][0] == tag:
                    yield method, path, operation

    def contents_list(self):
        self.add("<nav>", '<h2 id="contents">Contents</h2>')
        for tag in self.document["tags"]:
            name = tag["name"]
            self.add(f'<details><summary><a href="#{anchor(name)}">{name}</a> <span class="soft">{text_of(tag["description"])}</span></summary>', "<ul>")
            for method, path, _ in self.operations(name):
                at = anchor_of(method, path)
                self.add(f'<li><a href="#{at}"><span class="method {method}">{method.upper()}</span> {html.escape(path)}</a></li>')
            self.add("</ul></details>")
        for name in ("parameters", "answers", "objects"):
            self.add(f'<p><a href="#{name}">{name.title()}</a></p>')
        self.add("</nav>")

    def callers(self):
        self.heading(2, "callers", "Who calls")
        self.add("<dl>")
        for scheme in self.components["securitySchemes"].values():
            where = f"Authorization: {scheme['scheme'].title()} …" if scheme["type"] == "http" else f"{scheme['name']}: …"
            self.add(f"<dt><code>{where}</code></dt><dd>{text_of(scheme['description'])}</dd>")
        self.add("</dl>")

    def shared(self):
        self.heading(2, "parameters", "Parameters")
        for name, p in self.components["parameters"].items():
            self.heading(3, f"parameter-{name}", f"<code>{html.escape(p['name'])}</code>")
            self.add(f'<p class="soft">{p["in"]}, {self.kind(p["schema"])}</p>', paragraphs(p["description"]))
        self.heading(2, "answers", "Answers")
        for name, answer in self.components["responses"].items():
            self.heading(3, f"answer-{name}", text_of(answer["description"]))
            self.contents(answer)
        self.heading(2, "objects", "Objects")
        for name, node in self.components["schemas"].items():
            self.heading(3, f"object-{name}", name)
            self.add(paragraphs(node.get("description", "")))
            self.members(node)

    def make(self):
        info = self.document["info"]
        title = html.escape(info["title"])
        self.add("<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8" />', f"<title>{title} API</title>")
        self.add('<meta name="viewport" content="width=device-width, initial-scale=1" />', f"<style>{STYLE}</style>", "</head>", "<body>")
        self.add(f'<h1>{title} API <span class="soft">{html.escape(info["version"])}</span></h1>', paragraphs(info["description"]))
        self.add('<p>This page as data: <a href="docs/openapi.yaml">openapi.yaml</a>, OpenAPI 3.1.</p>')
        self.callers()
        self.contents_list()
        self.add("<main>")
        for tag in self.document["tags"]:
            self.heading(2, anchor(tag["name"]), tag["name"])
            self.add(f"<p>{text_of(tag['description'])}</p>")
            for operation in self.operations(tag["name"]):
                self.operation(*operation)
        self.shared()
        self.add("</main>", "</body>", "</html>", "")
        return "\n".join(line for line in self.out if line) + "\n"


def array(name, data):
    """Bytes, since a string literal of this length is no standard C."""
    lines = (",".join(map(str, data[i : i + BYTES_A_LINE])) for i in range(0, len(data), BYTES_A_LINE))
    return f"const unsigned char {name}[] = {{\n" + ",\n".join(lines) + f"}};\nconst size_t {name}_size = sizeof({name});\n"


def main(source, target):
    with open(source, "rb") as f:
        description = f.read()
    page = Page(yaml.safe_load(description)).make()
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    with open(target, "w", encoding="ascii") as f:
        f.write("/* Made by docs/reference.py from docs/openapi.yaml. */\n")
        f.write('#include "gateway/reference.h"\n\n')
        f.write(array("reference_page", page.encode()) + array("reference_yaml", description))
        f.write(f'const char reference_style[] = "sha256-{digest}";\n')


if __name__ == "__main__":
    if len(sys.argv) != 3:
        fail("usage: docs/reference.py OPENAPI.yaml OUT.c")
    main(sys.argv[1], sys.argv[2])
