"""Prints the OpenAPI documents that are named as one, in JSON: the first one's, with the paths and components of the others.

    python scripts/api_document.py specs/lifecycle.yaml specs/diagnostics.yaml
"""

import json
import sys

import yaml


def merged(first, *others):
    """What the first one has goes before what another one calls by the same name, but no path may be in two."""
    for other in others:
        twice = first["paths"].keys() & other["paths"].keys()
        if twice:
            raise SystemExit(f"api_document: in two documents: {', '.join(sorted(twice))}")
        first["paths"] |= other["paths"]
        for kind, values in other["components"].items():
            first["components"][kind] = values | first["components"].get(kind, {})
    return first


def main():
    documents = []
    for path in sys.argv[1:]:
        with open(path) as file:
            documents.append(yaml.safe_load(file))
    json.dump(merged(*documents), sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
