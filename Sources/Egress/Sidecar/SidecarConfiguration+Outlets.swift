import Addresses
import Egress
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
