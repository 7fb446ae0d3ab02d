#!/usr/bin/env python3
"""Writes manual pages of `sallyport` and its commands, from what the program says of its command line.

    sallyport --experimental-dump-help | scripts/man_pages.py FOLDER [RELEASE]
"""

import json
import pathlib
import sys

STATUSES = [("0", "Done."), ("1", "The server said no, or could not."), ("64", "The command line makes no sense."),
            ("66", "There is no such sandbox or file."), ("69", "No server answers."),
            ("76", "What answers is not a Sallyport or OpenSandbox server."),
            ("77", "A key is missing, wrong, or may not do this; or root is needed.")]


def escaped(text):
    """A line of roff in which nothing is read as a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return "\\&" + text if text[:1] in (".", "'") else text


def names(argument):
    return ", ".join(("-" if name["kind"] == "short" else "--") + name["name"] for name in argument.get("names", []))


def shown(things):
    return [thing for thing in things or [] if thing.get("shouldDisplay", True)]


def arguments(command):
    lines = []
    for argument in shown(command.get("arguments")):
        # Every command has these.
        if {name["name"] for name in argument.get("names", [])} & {"help", "version"}:
            continue
        value = argument.get("valueName", "value")
        head = {"positional": f"<{value}>", "option": f"{names(argument)} <{value}>"}.get(argument["kind"], names(argument))
        text = argument.get("abstract", "")
        if argument.get("defaultValue") and argument["kind"] != "flag":
            text += f" Default: {argument['defaultValue']}."
        lines += [".TP", f"\\fB{escaped(head)}\\fR", escaped(text or "-")]
    return lines


def synopsis(words, command):
    positional = [argument for argument in shown(command.get("arguments")) if argument["kind"] == "positional"]
    parts = [f"<{argument['valueName']}>" + ("..." if argument["isRepeating"] else "") for argument in positional]
    parts = [f"[{part}]" if argument["isOptional"] else part for part, argument in zip(parts, positional)]
    kind = ["<command>"] if shown(command.get("subcommands")) and not positional else []
    return f"\\fB{escaped(' '.join(words))}\\fR {escaped(' '.join(['[options]', *kind, *parts]))}"


def page(words, command, release):
    name = "-".join(words)
    lines = [f'.TH "{name.upper()}" 1 "" "sallyport {release}" "Sallyport"', ".SH NAME",
             f"{escaped(name)} \\- {escaped(command.get('abstract', ''))}", ".SH SYNOPSIS", synopsis(words, command)]
    if command.get("discussion"):
        lines += [".SH DESCRIPTION", escaped(command["discussion"])]
    if options := arguments(command):
        lines += [".SH OPTIONS", *options]
    below = [inner for inner in shown(command.get("subcommands")) if inner["commandName"] != "help"]
    if below:
        lines.append(".SH COMMANDS")
    for inner in below:
        lines += [".SS " + escaped(inner["commandName"]), escaped(inner.get("abstract", ""))]
        if len(words) > 1:
            lines += [".PP", synopsis([*words, inner["commandName"]], inner), *arguments(inner)]
            lines += [".PP", escaped(inner["discussion"])] if inner.get("discussion") else []
    lines.append(".SH EXIT STATUS")
    for status, meaning in STATUSES:
        lines += [".TP", status, meaning]
    others = ["sallyport"] if len(words) > 1 else [f"sallyport-{inner['commandName']}" for inner in below]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{escaped(other)}\\fR(1)" for other in others)]
    return "\n".join(lines) + "\n"


def main():
    folder, release = pathlib.Path(sys.argv[1]), (sys.argv[2:] or [""])[0]
    folder.mkdir(parents=True, exist_ok=True)
    command = json.load(sys.stdin)["command"]
    (folder / "sallyport.1").write_text(page(["sallyport"], command, release))
    for inner in shown(command["subcommands"]):
        if inner["commandName"] != "help":
            (folder / f"sallyport-{inner['commandName']}.1").write_text(page(["sallyport", inner["commandName"]], inner, release))


if __name__ == "__main__":
    main()
