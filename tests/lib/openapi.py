"""docs/openapi.yaml held against what is answered. Knows the part of JSON Schema that is used there; whatever else stands in the file is an error, so that nothing is
passed over."""
import yaml

from router import ROOT

KINDS = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "null": lambda v: v is None,
}
WORDS = {"$ref", "type", "description", "required", "properties", "additionalProperties", "items", "allOf", "enum", "const"}
WORDS |= {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"}


class Reference:
    def __init__(self):
        self.document = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
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
            raise ValueError(f"words that are not known here: {set(node) - WORDS}")
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
