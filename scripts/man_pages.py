#!/usr/bin/env python3
"""Writes manual pages of programs and of the commands of `sallyport`, from what they say of their command lines.

    scripts/man_pages.py FOLDER RELEASE PROGRAM…
"""

import pathlib
import sys

from command_lines import STATUSES, arguments, head, positional, read, subcommands


def escaped(text):
    """A line of roff in which nothing is read as a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return "\\&" + text if text[:1] in (".", "'") else text


def options(command):
    lines = []
    for argument in arguments(command):
        text = argument.get("abstract", "")
        if argument.get("defaultValue"):
            text += f" Default: {argument['defaultValue']}."
        lines += [".TP", f"\\fB{escaped(head(argument))}\\fR", escaped(text or "-")]
    return lines


def synopsis(words, command):
    parts = [f"<{argument['valueName']}>" + ("..." if argument["isRepeating"] else "") for argument in positional(command)]
    parts = [f"[{part}]" if argument["isOptional"] else part for part, argument in zip(parts, positional(command))]
    kind = ["<command>"] if subcommands(command) and not parts else []
    return f"\\fB{escaped(' '.join(words))}\\fR {escaped(' '.join(['[options]', *kind, *parts]))}"


def section(words, command):
    """Another command on the same page."""
    lines = [".PP", synopsis(words, command), *options(command)]
    return lines + ([".PP", escaped(command["discussion"])] if command.get("discussion") else [])


def page(words, command, release, others, beside=None):
    """- `beside`: the command whose page has the same name."""
    name = "-".join(words)
    lines = [f'.TH "{name.upper()}" 1 "" "sallyport {release}" "Sallyport"', ".SH NAME",
             f"{escaped(name)} \\- {escaped(command.get('abstract', ''))}", ".SH SYNOPSIS", synopsis(words, command)]
    if command.get("discussion"):
        lines += [".SH DESCRIPTION", escaped(command["discussion"])]
    if found := options(command):
        lines += [".SH OPTIONS", *found]
    below = subcommands(command)
    if below:
        lines.append(".SH COMMANDS")
    for inner in below:
        lines += [".SS " + escaped(inner["commandName"]), escaped(inner.get("abstract", ""))]
        lines += section([*words, inner["commandName"]], inner) if len(words) > 1 else []
    if beside:
        words_beside = ["sallyport", beside["commandName"]]
        lines += [f'.SH "{" ".join(words_beside).upper()}"', escaped(beside.get("abstract", "")), *section(words_beside, beside)]
    lines.append(".SH EXIT STATUS")
    for status, meaning in STATUSES[words[0]]:
        lines += [".TP", status, escaped(meaning)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{escaped(other)}\\fR(1)" for other in others)]
    return "\n".join(lines) + "\n"


def main():
    folder, release = pathlib.Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    programs = {command["commandName"]: command for command in map(read, sys.argv[3:])}
    for name, command in programs.items():
        below = {f"{name}-{inner['commandName']}": inner for inner in subcommands(command)}
        others = ["sallyport"] if name != "sallyport" else sorted({*below, *programs} - {name})
        beside = next((inner for inner in subcommands(programs["sallyport"]) if f"sallyport-{inner['commandName']}" == name), None)
        (folder / f"{name}.1").write_text(page([name], command, release, others, beside))
        for title, inner in below.items():
            if title not in programs:
                (folder / f"{title}.1").write_text(page([name, inner["commandName"]], inner, release, [name]))


if __name__ == "__main__":
    main()
