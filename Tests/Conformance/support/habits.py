"""How the readers of five official SDKs take a stream of execd: where they end a line, what they need, and what they lose."""

import dataclasses
import json

MIB = 1 << 20


@dataclasses.dataclass
class Heard:
    """What a program is told of an execution."""

    id: str | None = None
    out: str = ""
    err: str = ""
    results: list = dataclasses.field(default_factory=list)
    count: int | None = None
    error: tuple | None = None
    complete: bool = False
    pings: int = 0
    # What the reader could not take, and passed over or made something else of.
    lost: list = dataclasses.field(default_factory=list)

    @property
    def exit_code(self):
        """As all of them infer it."""
        if self.error is None:
            return 0 if self.complete else None
        return int(self.error[1]) if self.error[1].lstrip("-").isdigit() else None


def whole(*values):
    return all(type(value) is int for value in values if value is not None)


class JavaScript:
    """Lines end with `\\n`; a missing time is now."""

    results = ("text/plain", "text", "textPlain")
    needs_time = False
    # Whether 2.0 is no number where 2 is.
    whole_numbers = False

    def read(self, body, of_code):
        heard = Heard()
        for text in self.records(body, of_code, heard):
            self.take(text, heard)
        return heard

    def records(self, body, of_code, heard):
        for line in body.decode().split("\n"):
            line = line.strip()
            if line and not line.startswith((":", "event:", "id:", "retry:")):
                yield line.removeprefix("data:")

    def take(self, text, heard):
        try:
            event = json.loads(text)
        except ValueError:
            return self.unreadable(text, heard)
        time = event.get("timestamp")
        if self.needs_time and type(time) is not int:
            return heard.lost.append(text)
        if self.whole_numbers and not whole(time, event.get("execution_time"), event.get("execution_count")):
            return heard.lost.append(text)
        match event.get("type"):
            case "init":
                heard.id = event["text"]
            case "stdout":
                heard.out += event["text"]
            case "stderr":
                heard.err += event["text"]
            case "ping":
                heard.pings += 1
            case "execution_complete":
                heard.complete = True
            case "execution_count":
                heard.count = event["execution_count"]
            case "result":
                self.result(event["results"], text, heard)
            case "error" if isinstance(event.get("error"), dict):
                heard.error = (event["error"]["ename"], event["error"]["evalue"])
            case _:
                self.unknown(event, text, heard)

    def result(self, results, text, heard):
        found = [results[key] for key in self.results if key in results]
        if not found or not isinstance(found[0], str):
            return heard.lost.append(text)
        heard.results.append(found[0])

    def unreadable(self, text, heard):
        heard.lost.append(text)

    def unknown(self, event, text, heard):
        heard.lost.append(text)


class CSharp(JavaScript):
    whole_numbers = True


class Go(JavaScript):
    """A line has 4 MiB at most, an event ends with a blank line, an empty body is a failure, and what is not understood is output."""

    results = ("text/plain",)
    longest = 4 * MIB

    def records(self, body, of_code, heard):
        assert body, "an empty body"
        event = []
        for line in [*body.split(b"\n"), b""]:
            assert len(line) <= self.longest, "a line that is too long"
            if not line.strip() and event:
                yield "\n".join(event)
                event = []
            elif line.startswith(b"{"):
                event.append(line.decode())
            elif line.startswith(b"data:"):
                event.append(line.decode().removeprefix("data:"))

    def result(self, results, text, heard):
        if not all(isinstance(value, str) for value in results.values()):
            return self.unreadable(text, heard)
        super().result(results, text, heard)

    def unreadable(self, text, heard):
        heard.out += text
        heard.lost.append(text)

    def unknown(self, event, text, heard):
        heard.out += event.get("text", "")
        heard.lost.append(text)


class Kotlin(JavaScript):
    """A time is needed; the code interpreter gives each line to its parser as it is."""

    results = ("text",)
    needs_time = whole_numbers = True

    def records(self, body, of_code, heard):
        for line in body.decode().split("\n"):
            if line.strip():
                yield line if of_code else line.removeprefix("data:")


class Python(JavaScript):
    """A time is needed. Records of commands end with a blank line; those of code are lines, by all that Unicode ends one with."""

    results = ("text", "text/plain")
    needs_time = True

    def records(self, body, of_code, heard):
        text = body.decode()
        if of_code:
            yield from (line.removeprefix("data:") for line in text.splitlines() if line.strip())
        elif text.lstrip().startswith(("{", "[")):
            yield from (record for record in text.split("\n\n") if record.strip())
        else:
            # The last one needs its blank line.
            for record in text.split("\n\n")[:-1]:
                yield "\n".join(line.removeprefix("data:") for line in record.split("\n") if line.startswith("data:"))


READERS = {reader.__name__: reader() for reader in (JavaScript, CSharp, Go, Kotlin, Python)}
