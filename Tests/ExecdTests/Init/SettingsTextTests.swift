import Testing

@testable import Execd

@Suite struct SettingsTextTests {
    private func tables(_ text: String) throws -> [String: [String: SettingsText.Value]] {
        try SettingsText(Array(text.utf8)).tables
    }

    @Test func `texts, numbers, booleans and arrays are read`() throws {
        let text = """
            # first
            path = "/a b\\t\\"\\u00e9\\U0001F600" # behind
            raw = 'C:\\x'
            \tmost=1_000\r
            least = -5
            list = [ "/a", # one
              "/b",
            ]
            none = []

            [ other ]
            is-on = true
            is_off = false
            """
        #expect(
            try tables(text) == [
                "": [
                    "path": .text("/a b\t\"é😀"), "raw": .text("C:\\x"), "most": .number(1000), "least": .number(-5),
                    "list": .list([.text("/a"), .text("/b")]), "none": .list([]),
                ],
                "other": ["is-on": .boolean(true), "is_off": .boolean(false)],
            ])
        #expect(try tables("") == ["": [:]])
    }

    @Test(arguments: [
        "a", "a =", "a = b", "a = 1 2", "a = \"x", "a = \"x\ny\"", "a = 'x", "a = \"\\q\"", "a = \"\\ud800\"",
        "a = \"\\u12\"", "a = 01", "a = 1__0", "a = _1", "a = 1.5", "a = 0x1", "a = 9223372036854775808", "a = --1",
        "a = [1", "a = [1 2]", "a = [,]", "a = [[1]]", "a = {}", "a.b = 1", "\"a\" = 1", "[a", "[a.b]", "[[a]]", "[]",
        "a = 1\na = 2", "[a]\n[a]", "a = 1\n[a]", "a = 1\r", "a = \"\u{1}\"", "= 1",
    ])
    func `what is not of this part of TOML is refused`(text: String) {
        #expect(throws: SettingsText.Problem.self) { try tables(text) }
    }

    @Test func `a refusal names the line, and bytes that are no text have none`() throws {
        let problem = #expect(throws: SettingsText.Problem.self) { try tables("a = 1\n\n[b]\nc") }
        #expect(problem?.line == 4)
        #expect(throws: SettingsText.Problem.self) { try SettingsText([0x61, 0xff]) }
    }
}
