import FoundationEssentials
import Spelling
import System
import TestSupport

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// A folder of a test's own, gone with it.
struct Scratch: Sendable {
    let path = "/tmp/spt-files-\(UInt64.random(in: 0 ... .max))"

    static func run(_ body: @Sendable (LiveExecd, Scratch) async throws -> Void) async throws {
        let scratch = Scratch()
        mkdir(scratch.path, 0o755)
        defer { try? FolderChanges.removeTree(scratch.path) }
        try await LiveExecd.run(environment: ["HOME": scratch.path]) { execd async throws in
            try await body(execd, scratch)
        }
    }

    /// Writes a file; its path.
    @discardableResult
    func file(_ name: String, _ content: String = "", mode: mode_t = 0o644) throws -> String {
        try Data(content.utf8).write(to: URL(filePath: "\(path)/\(name)"))
        chmod("\(path)/\(name)", mode)
        return "\(path)/\(name)"
    }

    func content(_ name: String) -> String? {
        (try? Data(contentsOf: URL(filePath: "\(path)/\(name)"))).map { String(decoding: $0, as: UTF8.self) }
    }

    func status(_ name: String) throws -> stat { try FileStatus.of("\(path)/\(name)") }

    /// What is in the folder, hidden files too.
    var names: [String] { (File.names(in: path) ?? []).sorted() }
}

/// A whole response in its parts.
struct Answer: Sendable {
    let status: Int
    let head: String
    let body: String

    init(_ text: String) {
        let bytes = Array(text.utf8)
        let blank = Array("\r\n\r\n".utf8)
        var end = bytes.count
        for index in bytes.indices where bytes[index...].starts(with: blank) {
            end = index
            break
        }
        head = String(decoding: bytes[..<end], as: UTF8.self)
        status = head.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        let rest = bytes[end...].dropFirst(4)
        body =
            head.lowercased().contains("transfer-encoding: chunked")
            ? Self.joined(rest) : String(decoding: rest, as: UTF8.self)
    }

    func header(_ name: String) -> String? {
        head.split(separator: "\r\n").first { $0.lowercased().hasPrefix(name + ":") }
            .map { $0.dropFirst(name.count + 1).drop { $0 == " " } }.map(String.init)
    }

    /// The error envelope's code.
    var code: String? {
        struct Envelope: Decodable { var code: String, message: String }
        return try? JSONDecoder().decode(Envelope.self, from: Data(body.utf8)).code
    }

    private static func joined(_ chunks: ArraySlice<UInt8>) -> String {
        var rest = chunks
        var body: [UInt8] = []
        while let line = rest.firstIndex(of: 13),
            let length = Int(String(decoding: rest[..<line], as: UTF8.self), radix: 16),
            length > 0
        {
            body += rest[(line + 2)...].prefix(length)
            rest = rest[(line + 2)...].dropFirst(length + 2)
        }
        return String(decoding: body, as: UTF8.self)
    }
}

/// One file's answer, read as a client does.
struct Told: Decodable, Equatable {
    var path: String, type: String, size: Int, modified_at: String, created_at: String, owner: String, group: String,
        mode: Int
}

extension LiveExecd {
    func ask(_ method: String, _ target: String, _ body: String = "", headers: String = "") async throws -> Answer {
        Answer(try await call(method, target, body, headers: headers))
    }

    /// An upload as the Python client sends it: chunked, without a length, the metadata as a file of its own.
    func upload(
        _ files: [(metadata: String, content: String)], to target: String = "/files/upload",
        last: String = "\r\n--B--\r\n"
    ) async throws -> Answer {
        let form =
            files.map {
                """
                --B\r\nContent-Disposition: form-data; name="metadata"; filename="metadata"\r\n\
                Content-Type: application/json\r\n\r\n\($0.metadata)\r\n\
                --B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\
                Content-Type: application/octet-stream\r\n\r\n\($0.content)
                """
            }.joined(separator: "\r\n") + last
        return try await chunked(form, to: target)
    }

    func chunked(_ body: String, to target: String) async throws -> Answer {
        var rest = Array(body.utf8)[...]
        var chunks = ""
        while !rest.isEmpty {
            let chunk = rest.prefix(1000)
            rest = rest.dropFirst(1000)
            chunks += "\(String(chunk.count, radix: 16))\r\n\(String(decoding: chunk, as: UTF8.self))\r\n"
        }
        return Answer(
            try await RawClient(address).exchange(
                "POST \(target) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
                    + "Content-Type: multipart/form-data; boundary=B\r\n\r\n\(chunks)0\r\n\r\n"))
    }

    func told(_ answer: Answer) throws -> [Told] { try JSONDecoder().decode([Told].self, from: Data(answer.body.utf8)) }
}
