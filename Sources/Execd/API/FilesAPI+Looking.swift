import HTTPServer
import NIOHTTP1

/// Routes that only read information about files.
extension FilesAPI {
    /// Header of an answer that was cut to `FolderWalk.maxEntries` entries, with that number.
    static let cutHeader = "EXECD-ENTRIES-LIMITED-TO"

    /// `GET /files/info?path=a&path=b`: the keys are the paths as requested.
    func info(_ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        let paths = try self.paths(request)
        let expansion = self.expansion
        let found = try await work {
            let names = Accounts.current()
            var found: [String: FileInfo] = [:]
            for path in paths { found[path] = try FileInfo.of(try expansion(path), names: names) }
            return found
        }
        try await response.respondJSON(.ok, found)
    }

    /// `GET /directories/list?path=&depth=`
    func list(_ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        let root = try path(request)
        let depth = try Self.number("depth", atLeast: 0, request) ?? 1
        let found = try await work { try FolderWalk.list(root, depth: depth, names: .current()) }
        try await send(found, response)
    }

    /// `GET /files/search?path=&pattern=`
    func search(_ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        let root = try path(request)
        let text = request.query("pattern") ?? ""
        let pattern = try GlobPattern(text.isEmpty ? "**" : text)
        let found = try await work { try FolderWalk.search(root, pattern, names: .current()) }
        try await send(found, response)
    }

    private func send(_ found: FolderWalk.Found, _ response: HTTPResponseWriter) async throws {
        let headers: HTTPHeaders = found.isCut ? [Self.cutHeader: String(FolderWalk.maxEntries)] : [:]
        try await response.respondJSON(.ok, found.entries, headers: headers)
    }
}
