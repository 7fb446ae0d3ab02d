"""Every text of the programs that a person can meet, with its place, to be read in one go: python3 scripts/messages.py [MODULE…]

A line is its number, its kind and its text. The kind is the level of a log line, and otherwise the label, the call, the case or the
name that the text is given to: `problem` and `remedy` of the doctor, `help` of a command line. `{…}` is what the program puts in.
Texts are literals of two words or more; statements of databases and programs in other languages are left out.
"""

import pathlib
import re
import sys

SOURCES = pathlib.Path(__file__).resolve().parent.parent / "Sources"
# A literal begins; two words; what other interpreters read; and what stands before a text that is given to something.
OPENING = re.compile(r'(#*)("""|")')
WORDS = re.compile(r"(^|[\s{(\"'`])[\w{][\w'{}…,:;.`-]*,?\s+[\w\"'`({/$<-]")
NOT_FOR_PEOPLE = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|PRAGMA|BEGIN|DROP|ROLLBACK|WITH|import|local|function|#!)\b")
GIVEN_TO = [re.compile(pattern) for pattern in (
    r"(\w+):\s*$", r"([\w.]+)\(\s*(?:[^()]*,\s*)?$", r"case [^:]*?\.?(\w+)(?:\(.*\))?:\s*(?:return )?$",
    r"(?:let|var|func) (\w+)[^\n]*?[={]\s*$")]


class File:
    """The literals of one file as [line, kind, text]; those that `+` joins are one."""

    def __init__(self, source):
        self.source, self.at, self.texts = source, 0, []
        self.code()

    def code(self, nested=False):
        """Reads to the end, or to the parenthesis that ends what is put into a text."""
        before, depth = "", 0
        while self.at < len(self.source):
            character = self.source[self.at]
            if self.source.startswith(("//", "/*"), self.at):
                end = self.source.find("\n" if self.source[self.at + 1] == "/" else "*/", self.at)
                self.at = end if end >= 0 else len(self.source)
            elif opening := OPENING.match(self.source, self.at):
                line, known = self.source.count("\n", 0, self.at) + 1, len(self.texts)
                text = self.literal(*opening.groups())
                if not nested and known and re.search(r'""\s*\+\s*$', before):
                    self.texts[known - 1][2] += text
                else:
                    self.texts.insert(known, [line, kind(before), text])
                before += '""'
            else:
                depth += {"(": 1, ")": -1}.get(character, 0)
                self.at += 1
                if nested and depth < 0:
                    return
                before += character

    def literal(self, hashes, quote):
        text, end, escape = "", quote + hashes, "\\" + hashes
        self.at += len(end)
        while not self.source.startswith(end, self.at):
            if self.source.startswith(escape + "(", self.at):
                self.at += len(escape) + 1
                begin = self.at
                self.code(nested=True)
                inside = " ".join(self.source[begin:self.at - 1].split())
                text += "{" + (inside if len(inside) <= 40 else "…") + "}"
            elif self.source.startswith(escape, self.at):
                text += self.source[self.at:self.at + len(escape) + 1].replace(escape + '"', '"')
                self.at += len(escape) + 1
            else:
                text += self.source[self.at]
                self.at += 1
        self.at += len(end)
        return " ".join(text.replace("\\\n", " ").split()) if quote == '"""' else text


def kind(before):
    before = before[-300:]
    return next((match[1].rsplit(".", 1)[-1] for pattern in GIVEN_TO if (match := pattern.search(before))), "")


def is_for_people(text):
    return WORDS.search(text) and not NOT_FOR_PEOPLE.match(text)


def main(modules):
    for module in sorted(SOURCES.iterdir()):
        if modules and module.name not in modules:
            continue
        print(f"\n# {module.name}")
        for path in sorted(module.rglob("*.swift")):
            texts = [entry for entry in File(path.read_text()).texts if is_for_people(entry[2])]
            if texts:
                print(f"\n{path.relative_to(SOURCES.parent)}")
            for line, given_to, text in sorted(texts):
                print(f"{line:5}  {given_to or '-':18} {text}")


if __name__ == "__main__":
    main(sys.argv[1:])
