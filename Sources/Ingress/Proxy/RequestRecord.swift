import HTTPServer
import NIOHTTP1
import System

/// How a request says which sandbox it is for.
enum RouteKind: String, CaseIterable, Sendable {
    case header, host, path, proxy
    /// Not at all, or not in a way that could be read.
    case none
}

/// What is known of the request that a connection serves: for the access log and for metrics. Values that are there anyway are
/// written down; nothing is made for it but the id.
struct RequestRecord {
    /// Nil where it could not be read.
    let method: HTTPMethod?
    /// Of the monotonic clock.
    let begun: UInt64
    var kind: RouteKind
    /// Only of one that the directory knows: any other text is the client's own.
    var sandbox: String?
    var port: Int?
    /// It has shown what lets it reach the sandbox. Where a sandbox asks for nothing, anybody may, who is a stranger all the same.
    var isAdmitted = false
    var status: Int?
    /// Of an answer in the sandbox's place.
    var code: String?
    var bytesIn = 0
    var bytesOut = 0
    var id: String?

    init(_ method: HTTPMethod?, _ kind: RouteKind = .none) {
        self.method = method
        self.kind = kind
        begun = SystemClock.monotonicNanoseconds()
    }

    mutating func found(_ sandbox: String, _ port: Int) { (self.sandbox, self.port) = (sandbox, port) }
    mutating func answered(_ status: Int, code: String? = nil) { (self.status, self.code) = (status, code) }
}

/// How an exchange came to its end.
enum RequestEnd: String {
    case whole
    /// The sandbox, a limit of time or a change of access has ended it in the middle.
    case brokenOff = "broken off"
    /// Whoever has enough of a stream or a page ends it so: no error.
    case clientGone = "the client has gone"
}

extension RequestRecord {
    /// What a sandbox itself answers is its own business, up to what it says is an error of its own.
    func isError(_ end: RequestEnd) -> Bool { code != nil || status ?? 0 >= 500 || end == .brokenOff }

    func line(_ end: RequestEnd, nanoseconds: UInt64) -> AccessLine {
        var line = AccessLine(method, route: kind.rawValue)
        (line.sandbox, line.port) = (sandbox, port)
        (line.status, line.code) = (status, code)
        (line.bytesIn, line.bytesOut) = (bytesIn, bytesOut)
        line.nanoseconds = nanoseconds
        line.request = id
        line.end = end == .whole ? nil : end.rawValue
        return line
    }
}
