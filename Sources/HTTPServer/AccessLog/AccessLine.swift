import HTTPWire
import Logging
import NIOHTTP1

/// Which requests get a line in the log.
package enum AccessLogMode: String, Sendable, CaseIterable {
    case off, errors, all
}

/// What the log says of one request. It has no path, no query, no fields and no address of the client: tokens and credentials are
/// in the first three, and a line that cannot hold a secret needs no rule about which ones to leave out.
package struct AccessLine: Equatable, Sendable {
    /// Nil where the request could not be read.
    package var method: HTTPMethod?
    /// A pattern of the API, or how the gateway's client named the sandbox.
    package var route: String
    /// One that exists, or that somebody with a key has asked for.
    package var sandbox: String?
    package var port: Int?
    /// Nil where the connection ended without an answer.
    package var status: Int?
    /// Of an error that this program answered itself.
    package var code: String?
    /// Of the bodies.
    package var bytesIn = 0
    package var bytesOut = 0
    package var nanoseconds: UInt64 = 0
    package var request: String?
    /// Why the answer is not whole; nil where it is.
    package var end: String?

    package init(_ method: HTTPMethod?, route: String) { (self.method, self.route) = (method, route) }

    var metadata: Logger.Metadata {
        var fields: Logger.Metadata = [
            "method": "\(method.map { RequestMethod.known($0) ?? "OTHER" } ?? "unread")", "route": "\(route)",
            "bytesIn": "\(bytesIn)", "bytesOut": "\(bytesOut)", "seconds": "\(Self.seconds(nanoseconds))",
        ]
        if let sandbox { fields["sandbox"] = "\(sandbox)" }
        if let port { fields["port"] = "\(port)" }
        if let status { fields["status"] = "\(status)" }
        if let code { fields["code"] = "\(code)" }
        if let request { fields["request"] = "\(request)" }
        if let end { fields["end"] = "\(end)" }
        return fields
    }

    /// With six digits behind the point.
    static func seconds(_ nanoseconds: UInt64) -> String {
        let microseconds = nanoseconds / 1000, digits = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000)." + String(repeating: "0", count: 6 - digits.utf8.count) + digits
    }
}
