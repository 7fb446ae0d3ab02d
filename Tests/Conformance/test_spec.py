"""execd has every route that specs/execd.yaml says."""

import pathlib

import httpx
import yaml
from support.terminals import endpoint

SPEC = yaml.safe_load((pathlib.Path(__file__).parents[2] / "specs/execd.yaml").read_text())
METHODS = {"get", "post", "put", "patch", "delete"}
# What the contract's own document has of paths that are in this one, too.
CONTRACT = {"/command": {"delete"}}
# The application says which methods it has.
ANY_METHOD = {"/proxy", "/proxy/{port}/{path}"}


def test_execd_has_every_route_and_answers_no_other_method(sandbox, api):
    url, headers = endpoint(api, sandbox)
    for path, operations in SPEC["paths"].items():
        target = url + path.replace("{id}", "none").replace("{session_id}", "none")
        told = {method for method in operations if method in METHODS}
        assert told, path
        for method in told:
            answer = httpx.request(method, target, headers=headers, params={"path": "/nonexistent"})
            assert answer.status_code not in (405, 501) and "NOT_SUPPORTED" not in answer.text, (method, path, answer.text)
            documented = operations[method]["responses"]
            assert str(answer.status_code) in documented, (method, path, answer.status_code)
        if path in ANY_METHOD:
            continue
        told |= CONTRACT.get(path, set())
        for method in METHODS - told:
            answer = httpx.request(method, target, headers=headers)
            assert answer.status_code == 405, (method, path)
            assert {name.lower() for name in answer.headers["allow"].split(", ")} - {"head"} == told
