import Testing

@testable import Execd

/// Reads a whole archive, given in pieces of a size.
private func read(_ archive: [UInt8], piece: Int = .max) throws -> [(entry: TarEntry, content: [UInt8])] {
    var reader = TarReader(), found: [(entry: TarEntry, content: [UInt8])] = []
    var rest = archive[...]
    while !rest.isEmpty {
        let part = rest.prefix(piece)
        rest = rest.dropFirst(part.count)
        for event in try reader.push(Array(part)) {
            switch event {
            case .entry(let entry): found.append((entry, []))
            case .bytes(let bytes): found[found.count - 1].content += bytes
            case .entryEnded: break
            }
        }
    }
    try reader.finish()
    return found
}

/// An archive as this writer makes it.
func archive(_ entries: [(TarEntry, String)]) -> [UInt8] {
    entries.flatMap { entry, content -> [UInt8] in
        var entry = entry
        entry.size = Int64(content.utf8.count)
        return TarWriter.header(entry) + Array(content.utf8)
            + [UInt8](repeating: 0, count: TarBlock.padding(behind: entry.size))
    } + TarBlock.end
}

@Suite struct TarTests {
    private static let long = (0..<40).map { "folder-number-\($0)" }.joined(separator: "/")
    private static let entries: [(TarEntry, String)] = [
        (TarEntry(name: "a", kind: .file, mode: 0o755, user: 1000, group: 1001, modified: 1_700_000_000), "hello"),
        (TarEntry(name: "empty", kind: .file), ""), (TarEntry(name: "folder/", kind: .folder, mode: 0o1777), ""),
        (TarEntry(name: "folder/link", kind: .symbolicLink("../a")), ""),
        (TarEntry(name: "again", kind: .hardLink("a")), ""),
        (TarEntry(name: long + "/é ü", kind: .file, user: .max - 1, modified: -5), String(repeating: "x", count: 1024)),
        (TarEntry(name: String(repeating: "n", count: 200), kind: .symbolicLink(long)), ""),
        (TarEntry(name: String(repeating: "p", count: 99) + "/" + String(repeating: "q", count: 99), kind: .file), "y"),
    ]

    @Test(arguments: [1, 7, 511, 512, 513, 100_000])
    func `what is written is read again, however it comes`(piece: Int) throws {
        let found = try read(archive(Self.entries), piece: piece)
        #expect(found.count == Self.entries.count)
        for (one, (entry, content)) in zip(found, Self.entries) {
            var entry = entry
            entry.size = Int64(content.utf8.count)
            #expect(one.entry == entry && one.content == Array(content.utf8))
        }
    }

    @Test func `an archive that is cut anywhere is not taken for whole`() throws {
        let whole = archive(Self.entries)
        for end in [0, 1, 511, 512, 600, 1024, 1536, whole.count - 1024, whole.count - 512, whole.count - 1] {
            #expect(throws: TarError.truncated) { _ = try read(Array(whole[..<end])) }
        }
        #expect(try read(whole + [UInt8](repeating: 0, count: 9000)).count == Self.entries.count, "padding at the end")
    }

    @Test func `a huge size is told as it is`() throws {
        for size in [Int64(8) << 30, Int64(1) << 50] {
            var reader = TarReader()
            let events = try reader.push(TarWriter.header(TarEntry(name: "huge", kind: .file, size: size)))
            #expect(events == [.entry(TarEntry(name: "huge", kind: .file, size: size))])
        }
    }

    @Test(
        arguments: [
            ([0x30, 0x31, 0x37, 0], 15), ([0x20, 0x37, 0x20, 0], 7), ([0, 0, 0, 0], 0), ([0x80, 0, 1, 0], 256),
            ([0xff, 0xff, 0xff, 0xfe], -2), ([0xbf, 0xff, 0xff, 0xff], 0x3fff_ffff), ([0x38, 0, 0, 0], nil),
            ([0x30, 0, 0x31, 0], nil), ([0x2d, 0x31, 0, 0], nil), ([0x31, 0x20, 0x31, 0], nil),
            ([UInt8](repeating: 0x37, count: 22), nil), ([0x80] + [UInt8](repeating: 0xff, count: 11), nil),
            ([0xff] + [UInt8](repeating: 0xff, count: 11), -1),
            ([0x80, 0, 0, 0, 0x7f] + [UInt8](repeating: 0xff, count: 7), .max),
        ] as [([UInt8], Int64?)])
    func `numbers are octal, or of 256`(_ field: [UInt8], _ number: Int64?) {
        #expect(TarHeader.number(field[...]) == number)
    }

    private func header(
        _ name: String, type: Character, size: Int64 = 0, change: (inout TarHeader) -> Void = { _ in }
    ) -> [UInt8] {
        var header = TarHeader(
            name: Array(name.utf8), mode: 0o644, user: 0, group: 0, size: size, modified: 0, type: type.asciiValue!)
        change(&header)
        return header.block
    }

    private func padded(_ text: String) -> [UInt8] {
        Array(text.utf8) + [UInt8](repeating: 0, count: TarBlock.padding(behind: Int64(text.utf8.count)))
    }

    @Test func `GNU's long names and links are read`() throws {
        let bytes =
            header("././@LongLink", type: "L", size: Int64(Self.long.utf8.count + 1)) + padded(Self.long + "\u{0}")
            + header("././@LongLink", type: "K", size: 4) + padded("../b") + header("cut", type: "2")
            + header("next", type: "0")
        let found = try read(bytes + TarBlock.end)
        #expect(found.map(\.entry.name) == [Self.long, "next"])
        #expect(found[0].entry.kind == .symbolicLink("../b"), "and hold for one entry")
    }

    @Test(arguments: ["3", "4", "6", "S", "D", "M", "V", "Z"] as [Character])
    func `devices, sparse files and what is unknown are refused`(type: Character) {
        #expect(throws: TarError.kind("x", type.asciiValue!)) { _ = try read(header("x", type: type) + TarBlock.end) }
    }

    @Test func `what readers could take in two ways is refused`() {
        func pax(_ text: String) -> [UInt8] { header("x", type: "x", size: Int64(text.utf8.count)) + padded(text) }
        func file(_ key: String, _ value: String) -> [UInt8] {
            var records = PaxRecords()
            records[key] = Array(value.utf8)
            return pax(String(decoding: records.encoded, as: UTF8.self)) + header("a", type: "0")
        }
        let refused: [[UInt8]] = [
            header("folder/", type: "5", size: 512), header("link", type: "1", size: 512),
            file("GNU.sparse.major", "1"), file("size", "-1"), file("size", "9223372036854775807"), file("size", "x"),
            file("size", "99999999999999999999"), file("mtime", "x"), file("uid", "4294967295"), file("gid", "-1"),
            file("path", "a\u{0}b"), file("path", String(repeating: "n", count: 5000)), pax("5 a=b\n"), pax("x"),
            pax("99 path=a\n"), pax("10 path=ab"), pax("0 a=b\n"), pax("9999999999 a=b\n"), pax("8 =path\n"),
            header("x", type: "g", size: 10) + padded("10 path=a\n"),
            header("x", type: "x", size: Int64(TarReader.maxRecords) + 1),
            header("x", type: "L", size: 5000) + padded(String(repeating: "n", count: 5000)) + header("a", type: "0"),
            [UInt8](repeating: 0, count: 512) + header("a", type: "0"), [UInt8](repeating: 0x41, count: 512),
            // As gzip begins.
            [0x1f, 0x8b] + [UInt8](repeating: 0, count: 510),
        ]
        for bytes in refused {
            #expect(throws: TarError.self, "\(String(decoding: bytes.prefix(600), as: UTF8.self))") {
                var reader = TarReader()
                _ = try reader.push(bytes)
            }
        }
    }
}

@Suite struct EntryPathTests {
    @Test(arguments: [
        ("a", ["a"]), ("./a//b/", ["a", "b"]), ("", []), ("./", []), ("a/./b", ["a", "b"]), ("...", ["..."]),
    ])
    func `names lead below the folder`(_ text: String, _ names: [String]) throws {
        #expect(try EntryPath(text).names == names)
    }

    @Test(arguments: ["/a", "//a", "..", "a/..", "a/../../b", "../a", "a/" + String(repeating: "n", count: 256)])
    func `names that lead elsewhere are refused`(_ text: String) {
        #expect(throws: FileError.self) { try EntryPath(text) }
    }

    @Test func `a path of too many folders is refused`() {
        #expect(throws: FileError.self) { try EntryPath(String(repeating: "a/", count: EntryPath.maxDepth + 1)) }
    }

    @Test(
        arguments: [
            ("a", "b", true), ("a", "./b/c", true), ("a/b", "../c", true), ("a/b", "..", true), ("a", "..", false),
            ("a/b", "../../c", false), ("a", "/etc/passwd", false), ("a", "b/..", false), ("a/b", "c/../../..", false),
            ("a", ".", true), ("a/b/c", ".././../d", true),
        ])
    func `links stay inside whatever other links there are`(_ name: String, _ target: String, _ stays: Bool) throws {
        #expect(try EntryPath(name).keepsInside(linkTo: target) == stays)
    }
}
