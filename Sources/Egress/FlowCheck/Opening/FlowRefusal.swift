import NetworkPolicy

/// A flow's protocol, by its first byte.
package enum FlowProtocol: String, Hashable, Sendable {
    case tls, http
}

/// Why a flow is refused.
package enum FlowRefusal: Error, Hashable, Sendable {
    /// The first byte begins neither a TLS handshake nor an HTTP/1 request.
    case neitherTLSNorHTTP
    /// It violates RFC 8446, 6066 or 9112, or parsers could read it differently.
    case malformed(String)
    /// A ClientHello without a server name.
    case noServerName
    /// The real name is encrypted (RFC 9849), or an encrypted name is simulated (GREASE); the two look the same.
    case encryptedServerName
    /// The stated name is not a valid host name.
    case notAName(String)
    /// A tunnel, or a protocol that is not checked here.
    case unsupported(String)
    case tooLong(limit: Int)
    case tooSlow
    case tooManyFlows(limit: Int)
    /// The policy denies this name on this port.
    case denied(Verdict)
    /// The policy allows the name, but this sandbox has not learned this address from it, or its time is up.
    case notLearned
    /// `Host` states another port than the one that was dialled.
    case otherPort(UInt16)
}

extension FlowRefusal: CustomStringConvertible {
    package var description: String {
        switch self {
        case .neitherTLSNorHTTP:
            "the connection begins with neither TLS nor HTTP/1, and its address is open to a name only"
        case .malformed(let what): what
        case .noServerName: "the TLS ClientHello names no server (SNI)"
        case .encryptedServerName:
            "the TLS ClientHello has Encrypted Client Hello, which hides the real name: turn it off"
        case .notAName(let why): "the name cannot be checked: \(why)"
        case .unsupported(let what): what
        case .tooLong(let limit): "the name did not come within \(limit) bytes"
        case .tooSlow: "the name did not come in time"
        case .tooManyFlows(let limit): "more than \(limit) connections are open"
        case .denied(let verdict): "\(verdict)"
        case .notLearned: "the name was not seen to resolve to this address: resolve it again"
        case .otherPort(let port): "the Host names port \(port), which is not the one that was dialled"
        }
    }

    /// RFC 8446, section 6.2, and RFC 6066, section 3: the alert for a TLS client.
    private var alert: UInt8 {
        switch self {
        case .malformed, .tooLong, .notAName: 50  // decode_error
        case .noServerName, .denied, .notLearned: 112  // unrecognized_name
        default: 49  // access_denied
        }
    }

    /// The answer to the client; empty if its protocol is unknown.
    /// - Parameter name: the stated name, if it could be read.
    func answer(to kind: FlowProtocol?, name: DomainName?) -> [UInt8] {
        switch kind {
        case nil: return []
        case .tls: return [21, 3, 3, 0, 2, 2, alert]
        case .http:
            let status = isMalformed ? "400 Bad Request" : "403 Forbidden"
            let target = name.map { " to \($0)" } ?? ""
            let body = "Refused by the sandbox's egress policy\(target): \(self).\n"
            return Array(
                ("HTTP/1.1 \(status)\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: \(body.utf8.count)\r\n"
                    + "Cache-Control: no-store\r\nConnection: close\r\n\r\n" + body).utf8)
        }
    }

    private var isMalformed: Bool {
        switch self {
        case .malformed, .tooLong, .notAName: true
        default: false
        }
    }
}
