import Testing

@testable import Execd

@Suite struct FileValueTests {
    @Test(arguments: [
        ("*", "a.txt", true), ("**", ".hidden", true), ("*.py", "a.py", true), ("*.py", "a.pyc", false),
        ("?.c", "a.c", true), ("?.c", ".c", false), ("[a-c]x", "bx", true), ("[!a-c]x", "bx", false),
        ("[^a-c]x", "dx", true), ("[]a]", "]", true), ("[a-]", "-", true), (#"\*"#, "*", true), (#"\*"#, "a", false),
        ("a*b*c", "aXbYbZc", true), ("a*b*c", "aXbYb", false), ("", "", true), ("**/*.md", "r.md", true),
        ("?", "漢", true), ("*a*a*a*a*a*b", String(repeating: "a", count: 400), false),
    ])
    func `a glob matches a name`(pattern: String, name: String, matches: Bool) throws {
        #expect(try GlobPattern(pattern).matches(name) == matches)
    }

    @Test(arguments: ["[", "[a", "[a-", #"a\"#, "[z-a]", "[]"])
    func `a malformed glob is refused`(pattern: String) {
        #expect(throws: FileError.self) { try GlobPattern(pattern) }
    }

    @Test func `a mode is octal digits read as a decimal number`() {
        #expect(FileMode(digits: 644)?.bits == 0o644 && FileMode(digits: 1777)?.bits == 0o1777)
        #expect(FileMode(bits: 0o100755).digits == 755 && FileMode(bits: 0).digits == 0)
        for digits in [-1, 8, 648, 17777, 10000] { #expect(FileMode(digits: digits) == nil) }
    }

    @Test(arguments: [
        ("/a//b/./c/", "/a/b/c"), ("/", "/"), ("~", "/home/u"), ("~/x", "/home/u/x"), ("x", "/work/x"),
        ("../x", "/work/../x"), ("~x", "/work/~x"), (".", "/work"),
        ("/\u{301}a//b", "/\u{301}a/b"),
    ])
    func `paths become absolute`(path: String, expanded: String) throws {
        #expect(try PathExpansion(home: "/home/u", base: "/work")(path) == expanded)
    }

    @Test(arguments: ["", "a\0b"]) func `a path that is none is refused`(path: String) {
        #expect(throws: FileError.self) { try PathExpansion(home: "/", base: "/")(path) }
    }

    @Test(arguments: [
        (nil, 0, 10), ("bytes=0-0", 0, 1), ("bytes=2-", 2, 10), ("bytes=-3", 7, 10), ("bytes=-99", 0, 10),
        ("bytes=5-99999999999999999999", 5, 10), ("Bytes= 1 - 2 ", 1, 3),
        ("lines=1-2", 0, 10), ("bytes=0-1,3-4", 0, 10),
    ])
    func `a range is the part of the file that it names`(header: String?, start: Int, end: Int) {
        let range = ByteRange(header: header, size: 10)
        #expect((range == .whole ? .part(0..<10) : range) == .part(start..<end))
    }

    @Test(arguments: ["bytes=10-", "bytes=4-3", "bytes=-0", "bytes=-", "bytes=", "bytes=a-b", "bytes=+1-2", "bytes=1"])
    func `a range outside the file cannot be satisfied`(header: String) {
        #expect(ByteRange(header: header, size: 10) == .unsatisfiable)
    }

    @Test func `lines are selected as an array of them would be, however the bytes are cut`() {
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0...8)).map { _ in ["a", "bc", "\n", "\n", ""].randomElement()! }.joined()
            let first = Int.random(in: 1...5), count = Bool.random() ? nil : Int.random(in: 1...4)
            var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            if lines.last?.isEmpty == true { lines.removeLast() }
            let wanted = lines.dropFirst(first - 1).prefix(count ?? .max).joined(separator: "\n")
            var selector = LineSelector(first: first, count: count)
            var rest = Array(text.utf8)[...]
            var sent: [UInt8] = []
            while !rest.isEmpty {
                let piece = Array(rest.prefix(Int.random(in: 1...3)))
                rest = rest.dropFirst(piece.count)
                sent += selector.select(piece)
            }
            #expect(String(decoding: sent, as: UTF8.self) == wanted, "\(text.debugDescription) \(first) \(count ?? -1)")
        }
    }

    @Test(arguments: [
        ("aaaa", "aa", "b", "bb", 2), ("abc", "x", "y", "abc", 0), ("a.b.", ".", "", "ab", 2),
        ("ab", "abc", "x", "ab", 0),
        ("xaab", "ab", "-", "xa-", 1), ("é", "é", "e", "e", 1),
    ])
    func `every occurrence is replaced, from the left`(
        text: String, old: String, new: String, result: String, count: Int
    ) {
        let replaced = TextReplacement(old: old, new: new).apply(to: Array(text.utf8))
        #expect(String(decoding: replaced.bytes, as: UTF8.self) == result && replaced.count == count)
    }

    @Test func `names and numbers of accounts stand for each other`() {
        let names = AccountNames(
            "root:x:0:0::/:\nagent:x:1000:1000\nagain:x:1000:1\nbroken\nagent:x:7:7\n:x:9:9\n1:x:5:5\n")
        #expect(names["agent"] == 1000 && names["42"] == 42 && names["1"] == 5)
        #expect(names["nobody-here"] == nil && names[String(UInt32.max)] == nil && names["-1"] == nil)
        #expect(names[1000] == "agent" && names[8] == "8")
    }

    @Test(arguments: [
        ("a b.txt", "attachment; filename=\"a b.txt\""),
        ("a\"\r\n.é", "attachment; filename*=UTF-8''a%22%0D%0A.%C3%A9"),
    ])
    func `a file's name cannot break its header`(name: String, header: String) {
        #expect(FilesAPI.disposition(name) == header)
    }
}
