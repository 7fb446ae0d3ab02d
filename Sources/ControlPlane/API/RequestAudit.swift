import Egress
import FoundationEssentials
import HTTPServer
import HTTPWire
import JSON
import Logging
import NIOHTTP1
import SafeText
import Synchronization
import System

/// Who did what: a line of JSON in a file for every request that changes something or hands something out, and for every one
/// that was refused. It has names, numbers and paths, and nothing of headers, queries or bodies, in which secrets are.
///
/// A line is in the file before its answer goes out.
final class RequestAudit: Sendable {
    private struct Line: Encodable {
        var time: String
        /// The name of the caller's key; "unknown" where it has none that opens anything.
        var key: String
        var keyId: String?
        var request: String?
        var method: String
        var path: String
        var sandbox: String?
        var status: UInt
        /// Of an error.
        var code: String?
        /// How many lines before it were left out, of callers without a key.
        var leftOut: Int?
    }

    private struct State: ~Copyable {
        var file: AuditFile
        /// Of callers without a key, who could otherwise push out what others did.
        var strangers = RateLimiter(Rate(burst: 100, perSecond: 5), now: SystemClock.monotonicNanoseconds())
    }

    private let state: Mutex<State>
    private let logger: Logger
    /// Of a path; what is longer leads nowhere.
    private static let longestPath = 300

    /// - Parameter limit: bytes after which the file is rotated; 0 for never.
    init(path: String, limit: Int, logger: Logger) {
        state = Mutex(State(file: AuditFile(path: path, limit: limit)))
        self.logger = logger
    }

    func note(_ request: HTTPRequest, _ reply: Reply, of caller: Caller?) {
        guard Self.isWorthIt(request, reply) else { return }
        let isError = reply.status.code >= 400
        var line = Line(
            time: "\(Timestamp.now())", key: caller?.name ?? "unknown", keyId: caller?.key,
            request: reply.headers.first(name: RequestID.header), method: request.method.rawValue,
            path: ForeignText.escaped(request.path, limit: Self.longestPath),
            sandbox: Self.sandbox(request, reply).map { ForeignText.escaped($0, limit: 80) }, status: reply.status.code,
            code: isError ? Self.code(reply) : nil)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do throws(EgressError) {
            try state.withLock { state throws(EgressError) in
                if caller == nil {
                    guard let leftOut = state.strangers.admit(now: SystemClock.monotonicNanoseconds()) else { return }
                    if leftOut > 0 { line.leftOut = leftOut }
                }
                guard let bytes = try? encoder.encode(line) else { return }
                try state.file.append(bytes + [UInt8(ascii: "\n")])
            }
        } catch {
            logger.error("a line of the audit log is lost", metadata: ["error": "\(error)", "path": "\(line.path)"])
        }
    }

    /// Reading is not worth a line, but for endpoints, which have tokens.
    private static func isWorthIt(_ request: HTTPRequest, _ reply: Reply) -> Bool {
        if reply.status == .unauthorized || reply.status == .forbidden { return true }
        return ![.GET, .HEAD, .OPTIONS].contains(request.method) || request.parameters["port"] != nil
    }

    /// The sandbox in the path, or the one that was made.
    private static func sandbox(_ request: HTTPRequest, _ reply: Reply) -> String? {
        if let id = request.parameters["id"] { return id }
        return reply.headers.first(name: "location").flatMap { $0.split(separator: "/").last.map(String.init) }
    }

    static func code(_ reply: Reply) -> String? {
        guard case .object(let fields)? = try? JSONValue(reply.bytes), case .string(let code)? = fields["code"] else {
            return nil
        }
        return code
    }
}
