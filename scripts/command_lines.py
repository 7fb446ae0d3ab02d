"""What the programs say of their command lines, for the pages that are made of it."""

import json
import pathlib
import re
import subprocess

STATUSES = {
    "sallyport": [("0", "Done."), ("1", "The server said no, or could not."), ("64", "The command line is wrong."),
                  ("66", "There is no such sandbox or file."), ("69", "No server answers."),
                  ("76", "What answers is not a Sallyport or OpenSandbox server."),
                  ("77", "A key is missing, wrong, or may not do this; or root is needed.")],
    "sallyport-ingress": [("0", "A signal has ended it."), ("1", "It could not serve."), ("64", "The command line is wrong.")],
    "sallyport-egress": [("0", "Done, or a signal has ended it."), ("1", "It could not; with --check it would not start here; with --running none guards."),
                         ("2", "The command line or a setting is wrong, or it should not guard this namespace.")],
}


def read(path):
    """A program's command: by the library that reads its command line, or by the text of its help where there is none."""
    name = pathlib.Path(path).name
    dump = subprocess.run([path, "--experimental-dump-help"], capture_output=True, text=True, timeout=30)
    if dump.returncode == 0:
        return {**json.loads(dump.stdout)["command"], "commandName": name}
    done = subprocess.run([path, "--help"], capture_output=True, text=True, check=True, timeout=30)
    return {**of_help(done.stdout), "commandName": name}


def of_help(text):
    """`usage: …`, what it does; what there is to say of that, and a flag a line."""
    _, paragraph, flags = text.strip().split("\n\n", 2)
    abstract, discussion = " ".join(paragraph.split()).split("; ", 1)
    arguments = []
    for line in flags.splitlines():
        if match := re.match(r"  --([\w-]+) {2,}(.+)", line):
            arguments.append({"kind": "flag", "names": [{"kind": "long", "name": match[1]}], "abstract": match[2], "isRepeating": False})
        elif arguments and re.match(r" {4,}\S", line):
            arguments[-1]["abstract"] += " " + line.strip()
    return {"abstract": abstract + ".", "discussion": discussion[:1].upper() + discussion[1:], "arguments": arguments}


def shown(things):
    return [thing for thing in things or [] if thing.get("shouldDisplay", True)]


def subcommands(command):
    return [inner for inner in shown(command.get("subcommands")) if inner["commandName"] != "help"]


def arguments(command):
    """What a command takes; a flag and its opposite are one. Every command has --help and --version, which are left out."""
    found = []
    for argument in shown(command.get("arguments")):
        words = {name["name"] for name in argument.get("names", [])}
        if argument["kind"] == "flag" and words & {"help", "version"}:
            continue
        before = found[-1] if found else {}
        if argument["kind"] == "flag" and words and words == {"no-" + name["name"] for name in before.get("names", [])}:
            found[-1] = {**before, "names": before["names"] + argument["names"]}
        else:
            found.append(argument)
    return found


def positional(command):
    return [argument for argument in arguments(command) if argument["kind"] == "positional"]


def head(argument):
    """An argument as it is written."""
    names = ", ".join(("-" if name["kind"] == "short" else "--") + name["name"] for name in argument.get("names", []))
    value = argument.get("valueName", "value")
    return {"positional": f"<{value}>", "option": f"{names} <{value}>"}.get(argument["kind"], names)
