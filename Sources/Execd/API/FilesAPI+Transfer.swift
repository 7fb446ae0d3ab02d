import HTTPServer
import NIOCore
import NIOHTTP1
import System

/// Uploads and downloads, streamed without holding a file in memory.
extension FilesAPI {
    /// Bytes read at a time.
    private static let piece = 256 << 10
    /// Bytes by which a client that is slower than the disk is waited for.
    private static let pace = 16 << 10
    /// How long a client that sends is waited for on the thread that writes, and how long one turn of it may take, in nanoseconds.
    private static let patience: UInt64 = 500_000
    private static let longestTurn: UInt64 = 5_000_000

    /// `POST /files/upload`: a multipart form, of any length.
    func upload(_ request: HTTPRequest) async throws -> Reply {
        let boundary = try MultipartHeaders.boundary(contentType: request.headers.first(name: "content-type"))
        let expansion = self.expansion
        let upload = try await work { Upload(boundary: boundary, expansion: expansion, names: .current()) }
        do {
            var body = request.body.makeAsyncIterator()
            while let part = try await body.next() {
                try await work { [body] in
                    try part.withUnsafeReadableBytes(upload.consume)
                    // What comes meanwhile is written without a change of threads, until others are to have this one.
                    let end = SystemClock.monotonicNanoseconds() + Self.longestTurn
                    while SystemClock.monotonicNanoseconds() < end,
                        let part = body.next(until: min(SystemClock.monotonicNanoseconds() + Self.patience, end))
                    {
                        try part.withUnsafeReadableBytes(upload.consume)
                    }
                }
            }
            try await work { try upload.finish() }
        } catch {
            try await work { upload.discard() }
            throw error
        }
        return .empty(.ok)
    }

    /// `GET /files/download?path=[&offset=&limit=]`, with or without `Range` and the conditions of RFC 9110.
    func download(_ request: HTTPRequest) async throws -> Reply {
        let path = try await self.path(request)
        let first = try Self.number("offset", atLeast: 1, request)
        let count = try Self.number("limit", atLeast: 1, request)
        let range = request.headers.first(name: "range")
        if first != nil || count != nil {
            guard range == nil else { throw FileError.invalidRequest("give lines or a Range, not both") }
            let file = try await work { try FileBytes(path) }
            return try await sendLines(of: file, LineSelector(first: first ?? 1, count: count))
        }
        let file = try await work { try FileBytes(path) }
        var headers: HTTPHeaders = [
            "content-type": "application/octet-stream", "accept-ranges": "bytes",
            "content-disposition": Self.disposition(FilePath.name(of: path)), "etag": file.version.tag,
            "last-modified": file.version.modified,
        ]
        let conditions = FileConditions(request.headers)
        switch conditions.judge(file.version) {
        case .met: break
        case .notModified: return Reply(.notModified, headers: ["etag": file.version.tag])
        case .failed: throw FileError.changed(path)
        }
        let part = conditions.allowsRange(of: file.version) ? range : nil
        switch file.size == 0 ? .whole : ByteRange(header: part, size: file.size) {
        case .unsatisfiable: throw FileError.unsatisfiableRange(size: file.size)
        case .part(let part):
            headers.add(name: "content-range", value: "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(file.size)")
            return try await send(part, of: file, .partialContent, headers)
        case .whole where file.size == 0: return try await sendUntilEnd(of: file, headers)
        case .whole: return try await send(0..<file.size, of: file, .ok, headers)
        }
    }

    private func send(
        _ range: Range<Int>, of file: FileBytes, _ status: HTTPResponseStatus, _ headers: HTTPHeaders
    ) async throws -> Reply {
        var headers = headers
        headers.add(name: "content-length", value: String(range.count))
        // The first piece before the status line: a file that cannot be read gets an error, not a broken answer.
        let first = try await read(file, at: range.lowerBound, upTo: range.count)
        return .stream(status, headers: headers) { writer in
            guard !first.isEmpty else { throw FileError.cut(file.path) }
            try await writer.write(ByteBuffer(bytes: first))
            try await send(range.lowerBound + first.count..<range.upperBound, of: file, to: writer)
        }
    }

    /// Straight from the file to the socket where that can be; what has no room there is waited for by the event loop.
    private func send(_ range: Range<Int>, of file: FileBytes, to writer: HTTPResponseWriter) async throws {
        var position = range.lowerBound
        var output = range.isEmpty ? nil : try await writer.directOutput()
        while position < range.upperBound {
            var bytes: [UInt8] = []
            if let direct = output {
                let (turn, next) = try await work { [position] () -> (DirectOutput.Turn, [UInt8]) in
                    let turn = try file.send(position..<range.upperBound, to: direct)
                    guard case .clientBusy = turn.stop else { return (turn, []) }
                    return (turn, try file.read(at: turn.end, upTo: min(range.upperBound - turn.end, Self.pace)))
                }
                (position, bytes) = (turn.end, next)
                switch turn.stop {
                case .turnOver:
                    guard !writer.isClosed else { throw HTTPBodyError.clientGone }
                    continue
                case .clientBusy: break
                case .fileEnded: throw FileError.cut(file.path)
                case .unsupported:
                    output = nil
                    continue
                }
            } else {
                bytes = try await read(file, at: position, upTo: range.upperBound - position)
            }
            guard !bytes.isEmpty else { throw FileError.cut(file.path) }
            position += bytes.count
            try await writer.write(ByteBuffer(bytes: bytes))
        }
    }

    /// For files that do not tell their size, as those of /proc.
    private func sendUntilEnd(of file: FileBytes, _ headers: HTTPHeaders) async throws -> Reply {
        let first = try await read(file, at: 0)
        guard !first.isEmpty else { return Reply(.ok, headers: headers) }
        return .stream(.ok, headers: headers) { writer in
            var bytes = first, position = 0
            while !bytes.isEmpty {
                position += bytes.count
                try await writer.write(ByteBuffer(bytes: bytes))
                bytes = try await read(file, at: position)
            }
        }
    }

    private func sendLines(of file: FileBytes, _ selector: LineSelector) async throws -> Reply {
        let first = try await read(file, at: 0)
        return .stream(.ok, headers: ["content-type": "text/plain; charset=utf-8"]) { writer in
            var bytes = first, position = 0, lines = selector
            while !bytes.isEmpty {
                position += bytes.count
                try await writer.write(ByteBuffer(bytes: lines.select(bytes)))
                bytes = lines.isDone ? [] : try await read(file, at: position)
            }
        }
    }

    private func read(_ file: FileBytes, at offset: Int, upTo count: Int = .max) async throws -> [UInt8] {
        try await work { try file.read(at: offset, upTo: min(count, Self.piece)) }
    }

    /// RFC 6266, section 4.3: a name that is not plain ASCII goes into the extended parameter.
    static func disposition(_ name: String) -> String {
        let isPlain = name.utf8.allSatisfy { (0x20..<0x7f).contains($0) && $0 != 0x22 && $0 != 0x5c && $0 != 0x25 }
        return isPlain
            ? "attachment; filename=\"\(name)\"" : "attachment; filename*=UTF-8''\(PercentEncoding.encode(name))"
    }
}
