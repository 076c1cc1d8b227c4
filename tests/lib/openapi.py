"""docs/openapi.yaml read and held against what is answered. Reads the part of YAML and knows the part of JSON Schema that are used there;
whatever else stands in the file is an error, so that nothing is passed over."""
import json
import re

from router import ROOT

KEY = re.compile(r'("(?:[^"\\]|\\.)*"|[^\s"\[\],#-][^"]*?):(?: +(.*))?$')
PLAIN = {"true": True, "false": False, "null": None}


class Wrong(Exception):
    pass


def scalar(text):
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return json.loads(text)
    return PLAIN.get(text, text)


class Flow:
    """{a: 1, "b": [c, "d"]} on one line."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def take(self, pattern):
        m = re.compile(pattern).match(self.text, self.at)
        if not m:
            raise Wrong(f"{pattern} expected at {self.text[self.at:]!r}")
        self.at = m.end()
        return m.group().strip()

    def next_is(self, c):
        return self.text.startswith(c, self.at)

    def word(self, end):
        return json.loads(self.take(r'"(?:[^"\\]|\\.)*"')) if self.next_is('"') else scalar(self.take(end))

    def items(self, close, one):
        out = []
        self.take(r". *")
        while not self.next_is(close):
            out.append(one())
            if not self.next_is(close):
                self.take(r", *")
        self.at += 1
        return out

    def pair(self):
        key = str(self.word(r"[^:,{}\[\]]+"))
        self.take(r": *")
        return key, self.value()

    def value(self):
        if self.next_is("{"):
            return dict(self.items("}", self.pair))
        if self.next_is("["):
            return self.items("]", self.value)
        return self.word(r"[^,{}\[\]]+")

    def whole(self):
        value = self.value()
        if self.text[self.at :].strip():
            raise Wrong(f"left over: {self.text[self.at:]!r}")
        return value


class Block:
    def __init__(self, text):
        self.lines = [line.rstrip() for line in text.split("\n")]
        self.at = 0

    def indent(self):
        """Of the next line that says something; -1 at the end."""
        while self.at < len(self.lines) and not self.lines[self.at].strip():
            self.at += 1
        return len(self.lines[self.at]) - len(self.lines[self.at].lstrip()) if self.at < len(self.lines) else -1

    def prose(self, mark, outer):
        lines = []
        while self.indent() > outer:
            lines.append(self.lines[self.at].strip())
            self.at += 1
        return (" " if mark.startswith(">") else "\n").join(lines)

    def value(self, text, outer):
        if not text:
            return self.node() if self.indent() > outer else None
        if text in ("|", ">-"):
            return self.prose(text, outer)
        return Flow(text).whole() if text[0] in '{["' else scalar(text)

    def node(self):
        mine = self.indent()
        if self.lines[self.at].startswith("- ", mine):
            return self.sequence(mine)
        out = {}
        while self.indent() == mine:
            m = KEY.match(self.lines[self.at].strip())
            if not m:
                raise Wrong(f"line {self.at + 1}: {self.lines[self.at]!r}")
            key = m.group(1).strip('"')
            if key in out:
                raise Wrong(f"line {self.at + 1}: {key} a second time")
            self.at += 1
            out[key] = self.value(m.group(2), mine)
        if self.indent() > mine:
            raise Wrong(f"line {self.at + 1}: {self.lines[self.at]!r}")
        return out

    def sequence(self, mine):
        out = []
        while self.indent() == mine and self.lines[self.at].startswith("- ", mine):
            rest = self.lines[self.at][mine + 2 :]
            if rest[0] in "{[":
                self.at += 1
                out.append(Flow(rest).whole())
            else:  # the first member of a mapping that goes on below
                self.lines[self.at] = " " * (mine + 2) + rest
                out.append(self.node())
        return out


def read():
    reader = Block((ROOT / "docs" / "openapi.yaml").read_text())
    document = reader.node()
    if reader.indent() != -1:
        raise Wrong(f"line {reader.at + 1} is not read")
    return document


KINDS = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "null": lambda v: v is None,
}
WORDS = {"$ref", "type", "description", "required", "properties", "additionalProperties", "items", "allOf", "enum", "const"}
WORDS |= {"minimum", "maximum", "minLength", "maxLength", "minItems", "pattern"}


class Reference:
    def __init__(self):
        self.document = read()
        self.paths = self.document["paths"]

    def resolve(self, node):
        """What a $ref points to, with the members beside it."""
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
        return node

    def schema(self, node):
        """Resolved, with the members of what it is made from."""
        node = self.resolve(node)
        if set(node) - WORDS:
            raise Wrong(f"words that are not known here: {set(node) - WORDS}")
        out = {k: v for k, v in node.items() if k != "allOf"}
        for part in node.get("allOf", []):
            base = self.schema(part)
            out["properties"] = {**base.get("properties", {}), **out.get("properties", {})}
            out["required"] = base.get("required", []) + out.get("required", [])
        return out

    def differences(self, node, value, at="answer"):
        """What of the value is not as described. Members that are not described are differences, unless none is described at all."""
        s = self.schema(node)
        kinds = s.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if kinds and not any(KINDS[k](value) for k in kinds):
            return [f"{at}: {value!r} is no {' or '.join(kinds)}"]
        if "const" in s and value != s["const"]:
            return [f"{at}: {value!r} is not {s['const']!r}"]
        if "enum" in s and value not in s["enum"]:
            return [f"{at}: {value!r} is not one of {s['enum']}"]
        if isinstance(value, dict):
            return self.object(s, value, at)
        if isinstance(value, list):
            return [d for i, v in enumerate(value) for d in self.differences(s["items"], v, f"{at}[{i}]")]
        if isinstance(value, int) and not s.get("minimum", value) <= value <= s.get("maximum", value):
            return [f"{at}: {value} is out of bounds"]
        return []

    def object(self, s, value, at):
        out = [f"{at}: {name} is missing" for name in s.get("required", []) if name not in value]
        described = s.get("properties")
        if described is None or s.get("additionalProperties"):
            return out
        for name, v in value.items():
            if name in described:
                out += self.differences(described[name], v, f"{at}.{name}")
            else:
                out.append(f"{at}: {name} is not described")
        return out
