import HTTPServer
import NIOCore
import NIOHTTP1

/// The routes below `/files` and `/directories` (docs/wire.md#files), and the same below `/v1/filesystem/{uid}/{gid}`.
struct FilesAPI: Sendable {
    /// Runs the operations, with the rights of some user.
    var work = FileWork()
    let expansion: PathExpansion

    /// The largest JSON request, in bytes.
    private static let maxRequest = 64 << 20

    /// - Returns: false where the path is none of these.
    func answer(_ path: ArraySlice<String>, _ request: HTTPRequest, _ response: HTTPResponseWriter) async throws -> Bool
    {
        do {
            switch (request.method, path.joined(separator: "/")) {
            case (.GET, "files/download"): try await download(request, response)
            case (.POST, "files/upload"): try await upload(request, response)
            case (.GET, "files/info"): try await info(request, response)
            case (.GET, "files/search"): try await search(request, response)
            case (.GET, "directories/list"): try await list(request, response)
            case (.POST, "files/mv"): try await move(request, response)
            case (.POST, "files/permissions"): try await setPermissions(request, response)
            case (.POST, "files/replace"): try await replace(request, response)
            case (.DELETE, "files"): try await deleteFiles(request, response)
            case (.POST, "directories"): try await createFolders(request, response)
            case (.DELETE, "directories"): try await deleteFolders(request, response)
            default: return false
            }
        } catch let failure as FileError {
            guard !response.hasStarted else { throw failure }
            var headers = HTTPHeaders()
            if case .unsatisfiableRange(let size) = failure {
                headers.add(name: "content-range", value: "bytes */\(size)")
            }
            try await response.respondError(
                failure.status, code: failure.code, message: failure.description, headers: headers)
        }
        return true
    }

    /// `/v1/filesystem/{uid}/{gid}/…`: `path` starts with the uid.
    func answer(
        asIdentity path: ArraySlice<String>, _ request: HTTPRequest, _ response: HTTPResponseWriter
    ) async throws -> Bool {
        let numbers = path.prefix(2).map { UInt32($0) ?? .max }
        // The kernel takes the largest number to mean "leave unchanged".
        guard numbers.count == 2, !numbers.contains(.max) else {
            try await response.respondError(
                .badRequest, code: "INVALID_REQUEST_BODY", message: "the path needs a uid and a gid in digits")
            return true
        }
        let identity = FileIdentity(user: numbers[0], group: numbers[1])
        return try await FilesAPI(work: FileWork(identity: identity), expansion: expansion)
            .answer(path.dropFirst(2), request, response)
    }

    // MARK: What a request says

    func path(_ request: HTTPRequest) throws -> String {
        try expansion(try Self.required("path", request))
    }

    func paths(_ request: HTTPRequest) throws -> [String] {
        let paths = request.query.filter { $0.name == "path" && !$0.value.isEmpty }.map(\.value)
        guard !paths.isEmpty else { throw FileError.missingQuery("path") }
        return paths
    }

    static func required(_ name: String, _ request: HTTPRequest) throws -> String {
        guard let value = request.query(name), !value.isEmpty else { throw FileError.missingQuery(name) }
        return value
    }

    /// A number in the query; nil if absent.
    static func number(_ name: String, atLeast least: Int, _ request: HTTPRequest) throws -> Int? {
        guard let text = request.query(name), !text.isEmpty else { return nil }
        guard let number = Int(text), number >= least else {
            throw FileError.invalidRequest("\(name) must be a number, at least \(least)")
        }
        return number
    }

    static func json<Value: Decodable>(_ type: Value.Type, _ request: HTTPRequest) async throws -> Value {
        let body = try await request.body.collect(upTo: maxRequest)
        do throws(RequestBodyError) {
            return try RequestBody.decode(type, from: body.readableBytesView)
        } catch {
            throw FileError.invalidRequest(error.description)
        }
    }
}
