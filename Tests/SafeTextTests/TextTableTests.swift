import SafeText
import Testing

@Suite struct TextTableTests {
    @Test func `columns are as wide as their widest text, and the last one ends where it ends`() {
        var table = TextTable("ID", "STATE")
        table.add(["abcdef", "Running"])
        table.add(["", "Failed"])
        #expect(table.text == "ID      STATE\nabcdef  Running\n-       Failed\n")
    }

    @Test func `colours change no column, and stand where they are asked for`() {
        var table = TextTable("STATE", "NAME")
        table.add(["Failed", "x"], tones: [0: .bad])
        table.add(["Running", "y"])
        #expect(
            table.text(inColour: true)
                == "\u{1b}[1mSTATE\u{1b}[0m    \u{1b}[1mNAME\u{1b}[0m\n\u{1b}[31mFailed\u{1b}[0m   x\nRunning  y\n")
        #expect(table.text == "STATE    NAME\nFailed   x\nRunning  y\n")
    }

    @Test func `what others wrote cannot write to the terminal`() {
        var table = TextTable("A")
        table.add(["\u{1b}[2Jx\n"])
        #expect(!table.text.contains("\u{1b}") && table.text.split(separator: "\n").count == 2)
    }
}
