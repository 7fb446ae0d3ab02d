"""scripts/messages.py lists the texts that people meet (docs/testing.md)."""

import importlib.util
import pathlib

path = pathlib.Path(__file__).parents[2] / "scripts" / "messages.py"
specification = importlib.util.spec_from_file_location("messages", path)
messages = importlib.util.module_from_spec(specification)
specification.loader.exec_module(messages)

SOURCE = '''
// "a comment is none"
enum Trouble {
    var description: String {
        switch self {
        case .lost(let name): "\\(name) is lost: " + "look \\(find("it", in: "all places")) up"
        }
    }
    func tell() {
        logger.warning(
            "a thing has gone", metadata: ["thing": "\\(thing)"])
        store.run("SELECT name FROM things")
        found.append(.problem("disk", "the disk is full", remedy: "make room"))
    }
}
'''


def test_a_text_has_its_line_its_kind_and_all_of_its_parts():
    found = [tuple(entry) for entry in messages.File(SOURCE).texts if messages.is_for_people(entry[2])]
    assert sorted(found) == [
        (6, "in", "all places"),
        (6, "lost", '{name} is lost: look {find("it", in: "all places")} up'),
        (11, "warning", "a thing has gone"),
        (13, "problem", "the disk is full"),
        (13, "remedy", "make room"),
    ]


def test_modules_are_listed_alone_if_they_are_named(capsys):
    messages.main(["Redis"])
    told = capsys.readouterr().out
    assert told.count("\n# ") == 1 and "Redis did not answer in time" in told
