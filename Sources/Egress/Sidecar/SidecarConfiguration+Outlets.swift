import Addresses
import HTTPClient
import NetworkPolicy

extension SidecarConfiguration {
    /// Where events and metrics go.
    package struct Outlets: Sendable {
        package var denyWebhook: HTTPEndpoint?
        package var auditLog: String?
        /// Bytes after which the audit log is rotated; 0 for never.
        package var auditLogLimit = 64 << 20
        /// Attributes added to every metric.
        package var attributes: [(name: String, value: String)] = []
        /// `search` of resolv.conf.
        package var searchDomains: [String] = []
    }

    mutating func readOutlets(
        _ values: SidecarVariables, _ resolvConf: String
    ) throws(SidecarConfigurationError) {
        outlets.denyWebhook = try values.read("DENY_WEBHOOK", "use an http:// or https:// URL without a password") {
            HTTPEndpoint($0)
        }
        outlets.auditLog = try values.read("AUDIT_LOG", "use an absolute path") { $0.hasPrefix("/") ? $0 : nil }
        outlets.auditLogLimit =
            try values.read("AUDIT_LOG_MAX_BYTES", "use a number of bytes; 0 for no limit", Self.number)
            ?? outlets.auditLogLimit
        if values["SANDBOX_ID"] != nil { outlets.attributes = [("sandbox_id", sandboxID)] }
        let extra = try values.list("METRICS_EXTRA_ATTRS", "use name=value, commas between them") { text in
            let sides = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return sides.count == 2 && !sides[0].isEmpty ? (name: String(sides[0]), value: String(sides[1])) : nil
        }
        for attribute in extra ?? [] where !outlets.attributes.contains(where: { $0.name == attribute.name }) {
            outlets.attributes.append(attribute)
        }
        for line in resolvConf.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            if words.first == "search" || words.first == "domain" { outlets.searchDomains = Array(words.dropFirst()) }
        }
    }
}

/// An address to listen on: `:18080`, `0.0.0.0:18080`, `[2001:db8::1]:18080`.
package struct SidecarAddress: Hashable, Sendable, CustomStringConvertible {
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
