import NIOHTTP1

#if canImport(Glibc)
    import Glibc
#endif

/// Why a file operation was refused or failed; each case has its status and code in the API (docs/wire.md#files).
enum FileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A query parameter that must be there.
    case missingQuery(String)
    /// The request asks for something that cannot be done.
    case invalidRequest(String)
    /// The path names something of the wrong kind, or an upload has no pairs.
    case invalidFile(String)
    case invalidContent(String)
    case invalidMetadata(String)
    case notFound(String)
    /// The range lies outside a file of so many bytes.
    case unsatisfiableRange(size: Int)
    /// The file is not the one that the request is about.
    case changed(String)
    /// The kernel refused the requested identity.
    case identityRefused(String)
    /// A system call failed: the action and the errno.
    case system(String, code: Int32)

    /// A file that has become shorter than what has been promised of it.
    static func cut(_ path: String) -> FileError { .invalidContent("\(path) was cut while it was sent") }

    /// The failure of a system call on a path.
    static func call(_ action: String, _ path: String, _ code: Int32 = errno) -> FileError {
        code == ENOENT || code == ENOTDIR ? .notFound(path) : .system("\(action) \(path)", code: code)
    }

    var status: HTTPResponseStatus {
        switch self {
        // Not 503 for a refused identity, because clients would retry for half a minute.
        case .missingQuery, .invalidRequest, .invalidFile, .invalidContent, .invalidMetadata, .identityRefused:
            .badRequest
        case .notFound: .notFound
        case .unsatisfiableRange: .rangeNotSatisfiable
        case .changed: .preconditionFailed
        // What is mounted read-only, or somewhere else, is the caller's to know.
        case .system(_, EROFS), .system(_, EXDEV): .badRequest
        case .system: .internalServerError
        }
    }

    var code: String {
        switch self {
        case .missingQuery: "MISSING_QUERY"
        case .invalidRequest: "INVALID_REQUEST_BODY"
        case .invalidFile: "INVALID_FILE"
        case .invalidContent: "INVALID_FILE_CONTENT"
        case .invalidMetadata: "INVALID_FILE_METADATA"
        case .notFound: "FILE_NOT_FOUND"
        case .unsatisfiableRange, .changed: "UNKNOWN"
        case .identityRefused: "NOT_SUPPORTED"
        case .system: "RUNTIME_ERROR"
        }
    }

    var description: String {
        switch self {
        case .missingQuery(let name): "the query needs \(name)"
        case .invalidRequest(let text), .invalidFile(let text), .invalidContent(let text), .invalidMetadata(let text),
            .identityRefused(let text):
            text
        case .notFound(let path): "\(path) does not exist"
        case .changed(let path): "\(path) is not what the request's conditions say"
        case .unsatisfiableRange(let size): "the range is outside the file's \(size) bytes"
        case .system(let action, let code): "cannot \(action): \(String(cString: strerror(code)))"
        }
    }
}
