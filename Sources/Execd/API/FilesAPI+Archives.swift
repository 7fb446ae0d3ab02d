import HTTPServer
import NIOCore
import NIOHTTP1

/// Whole folders as tar archives, in both directions, without holding any of it in memory.
extension FilesAPI {
    /// `GET /directories/archive?path=`
    func pack(_ request: HTTPRequest) async throws -> Reply {
        let path = try await self.path(request)
        let packing = try await work { try Packing(path) }
        // Before the status line: a folder that cannot be read gets an error, not a broken answer.
        let first = try await work { try packing.next() }
        let name = path == "/" ? "root" : FilePath.name(of: path)
        let headers: HTTPHeaders = [
            "content-type": "application/x-tar", "content-disposition": Self.disposition(name + ".tar"),
        ]
        return .stream(.ok, headers: headers) { writer in
            var bytes = first
            while !bytes.isEmpty {
                try await writer.write(ByteBuffer(bytes: bytes))
                bytes = try await work { try packing.next() }
            }
        }
    }

    private struct Unpacked: Encodable {
        var entries: Int
    }

    /// `POST /directories/archive?path=&links=&owners=`: the body is the archive.
    func unpack(_ request: HTTPRequest) async throws -> Reply {
        let path = try await self.path(request)
        let options = Unpacking.Options(
            keepsOutwardLinks: try Self.keeps("links", request), keepsOwners: try Self.keeps("owners", request))
        let unpacking = try await work { try Unpacking(into: path, options) }
        do {
            for try await part in request.body {
                let bytes = Array(part.readableBytesView)
                try await work { try unpacking.consume(bytes) }
            }
            return .json(.ok, Unpacked(entries: try await work { try unpacking.finish() }))
        } catch {
            try await work { unpacking.discard() }
            throw error
        }
    }

    private static func keeps(_ name: String, _ request: HTTPRequest) throws -> Bool {
        switch request.query(name) ?? "" {
        case "": return false
        case "keep": return true
        default: throw FileError.invalidRequest("\(name) must be keep, or be left out")
        }
    }
}
