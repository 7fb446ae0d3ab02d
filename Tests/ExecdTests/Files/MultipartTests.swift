import Testing

@testable import Execd

extension MultipartParser {
    /// An event whose bytes stay.
    fileprivate enum Seen: Equatable {
        case part(MultipartHeaders)
        case bytes(String)
        case partEnded
    }

    fileprivate mutating func push(_ bytes: [UInt8]) throws -> [Seen] {
        var seen: [Seen] = []
        try bytes.withUnsafeBytes { bytes in
            try push(bytes) { event in
                switch event {
                case .part(let headers): seen.append(.part(headers))
                case .bytes(let bytes): seen.append(.bytes(String(decoding: bytes, as: UTF8.self)))
                case .partEnded: seen.append(.partEnded)
                }
            }
        }
        return seen
    }
}

@Suite struct MultipartTests {
    private struct Part: Equatable {
        var headers: MultipartHeaders
        var content: [UInt8] = []
        var isEnded = false
    }

    private func parts(_ body: [UInt8], pieces: [Int], boundary: String = "b") throws -> [Part] {
        var parser = MultipartParser(boundary: boundary)
        var parts: [Part] = []
        var rest = body[...]
        for length in pieces + [body.count] {
            for event in try parser.push(Array(rest.prefix(length))) {
                switch event {
                case .part(let headers): parts.append(Part(headers: headers))
                case .bytes(let bytes): parts[parts.count - 1].content += Array(bytes.utf8)
                case .partEnded: parts[parts.count - 1].isEnded = true
                }
            }
            rest = rest.dropFirst(length)
        }
        try parser.finish()
        return parts
    }

    private func form(_ name: String, _ content: String, filename: String? = nil) -> String {
        "Content-Disposition: form-data; name=\"\(name)\"" + (filename.map { "; filename=\"\($0)\"" } ?? "")
            + "\r\nContent-Type: application/octet-stream\r\n\r\n\(content)"
    }

    private var body: [UInt8] {
        let parts = [
            form("metadata", "{}", filename: "m.json"), form("file", "one\r\n--\r\n--bx\r\n--b-\r\n-", filename: "a;b"),
            form("file", ""),
            "\r\n",
        ]
        return Array(("not read\r\n--b\r\n" + parts.joined(separator: "\r\n--b \t\r\n") + "\r\n--b--\r\nnor this").utf8)
    }

    private var expected: [Part] {
        [
            Part(
                headers: MultipartHeaders(name: "metadata", filename: "m.json"), content: Array("{}".utf8),
                isEnded: true),
            Part(
                headers: MultipartHeaders(name: "file", filename: "a;b"),
                content: Array("one\r\n--\r\n--bx\r\n--b-\r\n-".utf8), isEnded: true),
            Part(headers: MultipartHeaders(name: "file"), isEnded: true),
            Part(headers: MultipartHeaders(), isEnded: true),
        ]
    }

    @Test func `a body split in two anywhere gives the same parts`() throws {
        for cut in 0...body.count {
            #expect(try parts(body, pieces: [cut]) == expected, "cut at \(cut)")
        }
    }

    @Test func `a body split into any pieces gives the same parts`() throws {
        for _ in 0..<500 {
            var pieces: [Int] = []
            while pieces.reduce(0, +) < body.count { pieces.append(Int.random(in: 0...7)) }
            #expect(try parts(body, pieces: pieces) == expected, "\(pieces)")
        }
    }

    @Test func `any content comes out as it went in`() throws {
        let pool = ["\r", "\n", "-", "--", "b", "\r\n--", "\r\n--b", "x", " "]
        for _ in 0..<2000 {
            let content = (0..<Int.random(in: 0...9)).map { _ in pool.randomElement()! }.joined()
            // The boundary is the client's to choose so that it is not in the content.
            let body = "--bound\r\n\r\n\(content)\r\n--bound--"
            let parsed = try parts(
                Array(body.utf8), pieces: (0..<20).map { _ in Int.random(in: 0...5) }, boundary: "bound")
            #expect(parsed == [Part(headers: MultipartHeaders(), content: Array(content.utf8), isEnded: true)])
        }
    }

    @Test func `nothing is held back but what may become a delimiter`() throws {
        var parser = MultipartParser(boundary: "b")
        _ = try parser.push(Array("--b\r\n\r\n".utf8))
        #expect(try parser.push(Array("abc\r\n--".utf8)) == [.bytes("abc")])
        #expect(try parser.push(Array("x".utf8)) == [.bytes("\r\n--x")])
    }

    @Test(arguments: [
        "", "--b", "--b\r\n", "--b\r\n\r\nabc", "--b\r\n\r\nabc\r\n--b", "--b\r\n\r\nabc\r\n--b\r\n", "b--",
    ])
    func `a body without its last boundary is truncated`(body: String) throws {
        #expect(throws: MultipartParser.MultipartError.truncated) { try parts(Array(body.utf8), pieces: []) }
    }

    @Test func `endless headers are refused, in one piece or in many`() {
        let body = Array("--b\r\nA: \(String(repeating: "x", count: MultipartParser.maxHeaders))\r\n\r\n".utf8)
        #expect(throws: MultipartParser.MultipartError.headersTooLong) { try parts(body, pieces: []) }
        #expect(throws: MultipartParser.MultipartError.headersTooLong) {
            try parts(body, pieces: [Int](repeating: 1000, count: 20))
        }
    }

    /// C#'s client quotes no names, Kotlin's says how long each part is.
    @Test func `names need no quotes, and a part may say how long it is`() throws {
        let body =
            "--b\r\nContent-Disposition: form-data; name=metadata; filename=m.json; filename*=utf-8\'\'m.json\r\n\r\n{}\r\n"
            + "--b\r\nContent-Length: 3\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\none\r\n--b--"
        let found = try parts(Array(body.utf8), pieces: [])
        #expect(found.map(\.headers.name) == ["metadata", "file"] && found.map(\.headers.filename) == ["m.json", "f"])
        #expect(found.map { String(decoding: $0.content, as: UTF8.self) } == ["{}", "one"])
    }

    @Test func `a header without a colon is refused`() {
        #expect(throws: MultipartParser.MultipartError.header("nonsense")) {
            try parts(Array("--b\r\nnonsense\r\n\r\n\r\n--b--".utf8), pieces: [])
        }
    }

    @Test(arguments: [
        ("multipart/form-data; boundary=abc", "abc"), ("Multipart/Form-Data;charset=x; Boundary=\"a;b\"", "a;b"),
    ])
    func `the boundary is read from the content type`(type: String, boundary: String) throws {
        #expect(try MultipartHeaders.boundary(contentType: type) == boundary)
    }

    @Test(arguments: [nil, "application/json", "multipart/form-data", "multipart/form-data; boundary="])
    func `without a form or a boundary there is no upload`(type: String?) {
        #expect(throws: FileError.self) { try MultipartHeaders.boundary(contentType: type) }
    }

    @Test(arguments: [
        (#" form-data; name="a\"b"; filename="c""#, "a\"b", "c"), (" form-data; name=plain ; filename=c", "plain", "c"),
        (" form-data; x; name=a; name=b; filename*=UTF-8''c; filename=d", "a", "d"),
    ])
    func `a part's name is found whatever stands around it`(value: String, name: String, filename: String) {
        let parameters = HeaderParameters(value[...])
        #expect(parameters.value == "form-data" && parameters["name"] == name && parameters["filename"] == filename)
    }
}
