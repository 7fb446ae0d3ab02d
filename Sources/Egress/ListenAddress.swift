import Addresses

/// An address to listen on: `:18080`, `0.0.0.0:18080`, `[2001:db8::1]:18080`.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// `nil` for every address.
    package var host: IPAddress?
    package var port: UInt16

    package init(host: IPAddress? = nil, port: UInt16) {
        self.host = host
        self.port = port
    }

    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0,
            text[text.index(after: colon)...].allSatisfy(\.isNumber)
        else { return nil }
        var host = text[..<colon]
        self.init(port: port)
        if host.isEmpty { return }
        if host.hasPrefix("[") {
            guard host.hasSuffix("]"), host.contains(":") else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let address = IPAddress(String(host)) else { return nil }
        self.host = address
    }

    package var description: String {
        guard let host else { return ":\(port)" }
        return host.isIPv4 ? "\(host):\(port)" : "[\(host)]:\(port)"
    }
}
