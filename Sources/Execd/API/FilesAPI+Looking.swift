import HTTPServer
import NIOHTTP1
import Spelling

/// Routes that only read information about files.
extension FilesAPI {
    /// Header of an answer that was cut to `FolderWalk.maxEntries` entries, with that number.
    static let cutHeader = "EXECD-ENTRIES-LIMITED-TO"

    /// `GET /files/info?path=a&path=b`: by the paths as they were asked for.
    func info(_ request: HTTPRequest) async throws -> Reply {
        let paths = try self.paths(request)
        let expansion = self.expansion
        let found = try await work {
            let names = Accounts.current()
            var found: [ExactName: FileInfo] = [:]
            for path in paths { found[ExactName(path)] = try FileInfo.of(try expansion(path), names: names) }
            return found.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        }
        return .json(.ok, byName: found)
    }

    /// `GET /directories/list?path=&depth=`
    func list(_ request: HTTPRequest) async throws -> Reply {
        let root = try await path(request)
        let depth = try Self.number("depth", atLeast: 0, request) ?? 1
        let found = try await work { try FolderWalk.list(root, depth: depth, names: .current()) }
        return Self.reply(found)
    }

    /// `GET /files/search?path=&pattern=`
    func search(_ request: HTTPRequest) async throws -> Reply {
        let root = try await path(request)
        let text = request.query("pattern") ?? ""
        let pattern = try GlobPattern(text.isEmpty ? "**" : text)
        let found = try await work { try FolderWalk.search(root, pattern, names: .current()) }
        return Self.reply(found)
    }

    private static func reply(_ found: FolderWalk.Found) -> Reply {
        .json(.ok, found.entries, headers: found.isCut ? [cutHeader: String(FolderWalk.maxEntries)] : [:])
    }
}
