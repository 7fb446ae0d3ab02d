import Addresses
import NetworkPolicy

/// A resolver that allowed queries are forwarded to.
public struct UpstreamAddress: Hashable, Sendable, CustomStringConvertible {
    /// What a resolver's certificate must be for (RFC 8310, strict privacy).
    public enum TLSIdentity: Hashable, Sendable {
        /// Its address.
        case address
        /// This name, which is also sent as SNI.
        case name(String)
    }

    public var address: IPAddress
    public var port: UInt16
    /// Set for DNS over TLS (RFC 7858), which never falls back to clear text; nil for UDP and TCP.
    public var tls: TLSIdentity?

    /// The default port of DNS over TLS.
    public static let tlsPort: UInt16 = 853

    public init(address: IPAddress, port: UInt16 = 53, tls: TLSIdentity? = nil) {
        self.address = address
        self.port = port
        self.tls = tls
    }

    /// `198.51.100.53`, `198.51.100.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`, and for DNS over TLS
    /// `tls://198.51.100.53`, `tls://[2001:db8::53]:8853#dns.example`.
    public init?(_ text: String) {
        let scheme = "tls://"
        guard text.hasPrefix(scheme) else {
            self.init(endpoint: text[...], port: 53)
            return
        }
        let parts = text.dropFirst(scheme.count).split(separator: "#", omittingEmptySubsequences: false)
        self.init(endpoint: parts[0], port: Self.tlsPort)
        switch parts.count {
        case 1: tls = .address
        case 2:
            guard let name = try? DomainName(String(parts[1])) else { return nil }
            tls = .name(name.description)
        default: return nil
        }
    }

    private init?(endpoint text: Substring, port: UInt16) {
        if let address = IPAddress(text) {
            self.init(address: address, port: port)
            return
        }
        if text.hasPrefix("["), text.hasSuffix("]") {
            guard let address = IPv6Address(text.dropFirst().dropLast()) else { return nil }
            self.init(address: .v6(address), port: port)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard let address = IPv6Address(host) else { return nil }
            self.init(address: .v6(address), port: port)
        } else {
            guard let address = IPv4Address(host) else { return nil }
            self.init(address: .v4(address), port: port)
        }
    }

    /// Only address and port, without TLS.
    public var endpoint: UpstreamAddress { UpstreamAddress(address: address, port: port) }

    public var description: String {
        let text = address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
        return switch tls {
        case nil: text
        case .address?: "tls://" + text
        case .name(let name)?: "tls://\(text)#\(name)"
        }
    }
}
