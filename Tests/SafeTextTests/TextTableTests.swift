import SafeText
import Testing

@Suite struct TextTableTests {
    @Test func `columns are as wide as their widest text, and the last one ends where it ends`() {
        var table = TextTable("ID", "STATE")
        table.add(["abcdef", "Running"])
        table.add(["", "Failed"])
        #expect(table.text == "ID      STATE\nabcdef  Running\n-       Failed\n")
    }

    @Test func `what others wrote cannot write to the terminal`() {
        var table = TextTable("A")
        table.add(["\u{1b}[2Jx\n"])
        #expect(!table.text.contains("\u{1b}") && table.text.split(separator: "\n").count == 2)
    }
}
