#!/usr/bin/env python3
"""Prints docs/cli-reference.md or docs/api-reference.md, from what the programs say of their command lines and from the documents of the APIs.

    scripts/reference_pages.py cli PROGRAM…     # sallyport is the first
    scripts/reference_pages.py api              # needs PyYAML
"""

import json
import pathlib
import sys

from command_lines import STATUSES, arguments, head, positional, read, subcommands

ROOT = pathlib.Path(__file__).resolve().parent.parent
MADE = "This page is made by `make reference`; a test holds it to {}."
DOCUMENTS = ["lifecycle", "diagnostics", "egress", "execd"]
METHODS = ["get", "head", "post", "put", "patch", "delete", "options"]


def cell(text):
    """Text in a table: one line, and nothing that ends the column."""
    return " ".join(str(text or "").split()).replace("|", "\\|").replace("<", "&lt;") or " "


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell(text) for text in row) + " |" for row in rows] + [""]


# The command line


def usage(words, command):
    parts = [head(argument) + ("…" if argument["isRepeating"] else "") for argument in positional(command)]
    below = ["<command>"] if subcommands(command) and not parts else []
    return " ".join([*words, "[options]", *below, *parts])


def options(command):
    rows = []
    for argument in arguments(command):
        default = f" Default: `{argument['defaultValue']}`." if argument.get("defaultValue") else ""
        rows.append(f"| `{head(argument)}` | {cell(argument.get('abstract', '') + default)} |")
    return rows


def command_lines(words, command):
    lines = [f"## {' '.join(words)}" if len(words) < 3 else f"### {' '.join(words)}", "", cell(command.get("abstract")), ""]
    if command.get("discussion"):
        lines += [" ".join(command["discussion"].split()), ""]
    lines += ["```", usage(words, command), "```", ""]
    if rows := options(command):
        lines += ["| option | |", "|---|---|", *rows, ""]
    for inner in subcommands(command):
        lines += command_lines([*words, inner["commandName"]], inner)
    return lines


def cli(command, *others):
    lines = ["# The command line, word by word", "", MADE.format("what the programs say of themselves") + " How to use it is in [cli](cli.md).", ""]
    for inner in sorted(subcommands(command), key=lambda inner: inner["commandName"]):
        lines += command_lines(["sallyport", inner["commandName"]], inner)
    lines += ["## Exit statuses", ""] + table(["status", ""], STATUSES["sallyport"])
    for other in others:
        lines += command_lines([other["commandName"]], other) + table(["exit status", ""], STATUSES[other["commandName"]])
    return lines


# The APIs


def resolved(document, value):
    """What a reference within the document means, and its name."""
    name = None
    while isinstance(value, dict) and "$ref" in value:
        name, place = value["$ref"].split("/")[-1], document
        for word in value["$ref"].removeprefix("#/").split("/"):
            place = place[word.replace("~1", "/").replace("~0", "~")]
        value = place
    return value, name


def kind(document, schema):
    """A type in a few words; a schema of the document by its name."""
    value, name = resolved(document, schema or {})
    if name:
        return name
    if "const" in value:
        return json.dumps(value["const"])
    if "enum" in value:
        return " or ".join(json.dumps(choice) for choice in value["enum"])
    for word in ("oneOf", "anyOf"):
        if word in value:
            return " or ".join(dict.fromkeys(kind(document, one) for one in value[word]))
    if "allOf" in value:
        return " and ".join(kind(document, one) for one in value["allOf"])
    types = value.get("type", "any")
    types = types if isinstance(types, list) else [types]
    texts = []
    for one in types:
        if one == "array":
            texts.append(f"list of {kind(document, value.get('items'))}")
        elif one == "object" and isinstance(value.get("additionalProperties"), dict):
            texts.append(f"object of {kind(document, value['additionalProperties'])}")
        else:
            texts.append(one)
    return " or ".join(texts) + bounds(value)


def bounds(value):
    least, most = value.get("minimum"), value.get("maximum")
    parts = []
    if least is not None or most is not None:
        parts.append(f"{'…' if least is None else least} to {'…' if most is None else most}")
    if "maxLength" in value:
        parts.append(f"at most {value['maxLength']} characters")
    if "maxItems" in value:
        parts.append(f"at most {value['maxItems']}")
    if "default" in value:
        parts.append(f"default {json.dumps(value['default'])}")
    return f" ({', '.join(parts)})" if parts else ""


def content(document, value):
    bodies = (value or {}).get("content") or {}
    return ", ".join(f"{kind(document, body.get('schema'))} as {mime}" if body.get("schema") else mime for mime, body in bodies.items())


def operation(document, path, method, item):
    of_path, found = document["paths"][path], item
    lines = [f"#### {method.upper()} {path}", "", cell(found.get("summary") or found.get("description")), ""]
    if found.get("summary") and found.get("description"):
        lines += [" ".join(found["description"].split()), ""]
    rows = []
    for raw in [*of_path.get("parameters", []), *found.get("parameters", [])]:
        parameter, _ = resolved(document, raw)
        need = "" if parameter.get("required") else ", optional"
        rows.append([f"`{parameter['name']}`", parameter["in"] + need, kind(document, parameter.get("schema")), parameter.get("description")])
    if rows:
        lines += table(["parameter", "in", "type", ""], rows)
    if "requestBody" in found:
        body, _ = resolved(document, found["requestBody"])
        lines += [f"Body: {cell(content(document, body))}." + (f" {cell(body['description'])}" if body.get("description") else ""), ""]
    rows = []
    for status, raw in found.get("responses", {}).items():
        response, _ = resolved(document, raw)
        rows.append([status, content(document, response), response.get("description")])
    return lines + table(["status", "body", ""], rows)


def fields(document, schema, before=""):
    """A row for each property, and for those of objects that have no name of their own."""
    rows = []
    for field, raw in schema.get("properties", {}).items():
        value, name = resolved(document, raw)
        need = "required" if field in schema.get("required", []) else ""
        rows.append([f"`{before}{field}`", need, kind(document, raw), None if name else value.get("description")])
        if name is None:
            rows += fields(document, value, f"{before}{field}.")
            item, name = resolved(document, value.get("items") or {})
            rows += fields(document, item, f"{before}{field}[].") if name is None else []
    return rows


def schemas(document):
    lines = []
    for name, raw in document.get("components", {}).get("schemas", {}).items():
        value, _ = resolved(document, raw)
        lines += [f"#### {name}", ""]
        if value.get("description"):
            lines += [" ".join(value["description"].split()), ""]
        rows = fields(document, value)
        lines += table(["field", "", "type", ""], rows) if rows else [f"{cell(kind(document, value))}", ""]
    return lines


def api():
    import yaml

    lines = ["# The APIs, route by route", "", MADE.format("`specs/*.yaml`, which a test holds to the server") + " How to use them is in [wire](wire.md).",
             ""]
    for name in DOCUMENTS:
        document = yaml.safe_load((ROOT / f"specs/{name}.yaml").read_text())
        lines += [f"## {document['info']['title']}", "", f"`specs/{name}.yaml`. " + " ".join(document["info"].get("description", "").split()), ""]
        lines += ["### Routes of " + name, ""]
        for path, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    lines += operation(document, path, method, item[method])
        lines += ["### Bodies of " + name, "", *schemas(document)]
    return lines


def main():
    which = sys.argv[1:]
    if which[:1] == ["cli"] and len(which) > 1:
        lines = cli(*map(read, which[1:]))
    elif which == ["api"]:
        lines = api()
    else:
        sys.exit(__doc__)
    print("\n".join(lines).rstrip())


if __name__ == "__main__":
    main()
