import HTTPServer
import NIOCore
import JSON
import NIOHTTP1
import Spelling

/// The routes below `/files` and `/directories` (docs/wire.md#files), and the same below `/v1/filesystem/{uid}/{gid}`.
struct FilesAPI: Sendable {
    /// Runs the operations, with the rights of some user.
    var work = FileWork()
    let expansion: PathExpansion
    /// For what is waited for.
    let group: any EventLoopGroup

    /// Bytes of a JSON request.
    private static let maxRequest = 64 << 20

    func add(to http: inout HTTPAPI) {
        for prefix in ["", "/v1/filesystem/{uid}/{gid}"] {
            Self.add(to: &http, prefix: prefix) { try acting(for: $0) }
            func on(
                _ method: HTTPMethod, _ path: String,
                _ operation: @escaping @Sendable (FilesAPI, HTTPRequest) async throws -> Reply
            ) {
                http.on(method, prefix + path, maxBody: Self.maxRequest) {
                    try await operation(try acting(for: $0), $0)
                }
            }
            on(.GET, "/files/watch") { try await $0.watch($1) }
            on(.GET, "/directories/archive") { try await $0.pack($1) }
            on(.POST, "/directories/archive") { try await $0.unpack($1) }
        }
    }

    /// The routes of the contract below a prefix.
    /// - Parameters:
    ///   - acting: whose files a request is about, and with whose rights.
    ///   - afterwards: told of a request when it has done what it could.
    static func add(
        to http: inout HTTPAPI, prefix: String,
        acting: @escaping @Sendable (HTTPRequest) async throws -> FilesAPI,
        afterwards: @escaping @Sendable (HTTPRequest) -> Void = { _ in }
    ) {
        func on(
            _ method: HTTPMethod, _ path: String,
            _ operation: @escaping @Sendable (FilesAPI, HTTPRequest) async throws -> Reply
        ) {
            http.on(method, prefix + path, maxBody: maxRequest) { request in
                defer { afterwards(request) }
                return try await operation(try await acting(request), request)
            }
        }
        on(.GET, "/files/download") { try await $0.download($1) }
        on(.POST, "/files/upload") { try await $0.upload($1) }
        on(.GET, "/files/info") { try await $0.info($1) }
        on(.GET, "/files/search") { try await $0.search($1) }
        on(.GET, "/directories/list") { try await $0.list($1) }
        on(.POST, "/files/mv") { try await $0.move($1) }
        on(.POST, "/files/permissions") { try await $0.setPermissions($1) }
        on(.POST, "/files/replace") { try await $0.replace($1) }
        on(.DELETE, "/files") { try await $0.deleteFiles($1) }
        on(.POST, "/directories") { try await $0.createFolders($1) }
        on(.DELETE, "/directories") { try await $0.deleteFolders($1) }
    }

    /// With the rights of those whom the path names.
    private func acting(for request: HTTPRequest) throws(ExecdError) -> FilesAPI {
        guard let user = request.parameters["uid"], let group = request.parameters["gid"] else { return self }
        // The last number is the kernel's "leave it as it is".
        guard let user = UInt32(user), let group = UInt32(group), user != .max, group != .max else {
            throw .invalid("the path needs a uid and a gid in digits")
        }
        return FilesAPI(
            work: FileWork(identity: FileIdentity(user: user, group: group)), expansion: expansion, group: self.group)
    }

    // MARK: What a request says

    func path(_ request: HTTPRequest) async throws -> String {
        try await expand([try Self.required("path", request)])[0]
    }

    /// Absolute paths. Whether a session has them is asked of the kernel, which may have to wait for a disk.
    func expand(_ paths: [String]) async throws -> [String] {
        let expansion = self.expansion
        guard expansion.bounds != nil else { return try paths.map { try expansion($0) } }
        return try await work { try paths.map { try expansion($0) } }
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
        let body = try await request.wholeBody()
        do throws(RequestBodyError) {
            return try RequestBody.decode(type, from: body)
        } catch {
            throw FileError.invalidRequest(error.description)
        }
    }
}

extension Reply {
    /// An object whose names are files'. Foundation's encoder would keep one of two spellings of a name.
    static func json(_ status: HTTPResponseStatus, byName entries: [(ExactName, some Encodable)]) -> Reply {
        var text = Array("{".utf8)
        for (index, (name, value)) in entries.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            JSONText.append(quoted: name.text, to: &text)
            text.append(UInt8(ascii: ":"))
            text += Reply.json(status, value).bytes
        }
        text.append(UInt8(ascii: "}"))
        return .encodedJSON(status, text)
    }
}
