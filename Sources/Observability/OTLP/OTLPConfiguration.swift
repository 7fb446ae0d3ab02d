import HTTPClient
import System

/// Where metrics or traces are exported to, by OpenTelemetry's variables (OTel specification, "OTLP Exporter Configuration" and
/// "Environment Variables").
package struct OTLPConfiguration: Sendable {
    package enum Signal: String, Sendable {
        case metrics = "METRICS"
        /// Off unless somebody asks for them: each request costs the collector something.
        case traces = "TRACES"

        var exporter: String { self == .metrics ? "METRICS_EXPORTER" : "TRACES_EXPORTER" }
        var path: String { self == .metrics ? "/v1/metrics" : "/v1/traces" }
        /// Milliseconds between two exports.
        var interval: (variable: String, usual: UInt64) {
            self == .metrics ? ("METRIC_EXPORT_INTERVAL", 60_000) : ("BSP_SCHEDULE_DELAY", 5000)
        }
    }

    package var endpoint: HTTPEndpoint
    package var headers: [(name: String, value: String)] = []
    /// Milliseconds.
    package var timeout: UInt64 = 10_000
    package var interval: UInt64
    package var tls = ClientTLS()
    /// Attributes of the resource: `service.name` and the operator's.
    package var attributes: [MetricsRegistry.Dimension] = []

    /// Nil if no endpoint is given, or the signal is switched off.
    /// - Parameters:
    ///   - endpoint: the program's own setting, which the variables override.
    ///   - isOn: where no variable says it; metrics are on unless told otherwise, traces are not.
    /// - Throws: `OTLPConfigurationError` with the invalid variable; its value is not repeated.
    package init?(
        environment: [String: String], service: String, endpoint setting: String? = nil, signal: Signal = .metrics,
        isOn: Bool? = nil
    ) throws(OTLPConfigurationError) {
        func value(_ names: String...) -> (name: String, text: String)? {
            for name in names {
                let text = (environment["OTEL_" + name] ?? "").trimmed
                if !text.isEmpty { return ("OTEL_" + name, text) }
            }
            return nil
        }
        guard value("SDK_DISABLED")?.text.lowercased() != "true" else { return nil }
        func own(_ name: String) -> String { "EXPORTER_OTLP_\(signal.rawValue)_\(name)" }
        switch value(signal.exporter)?.text.lowercased() {
        case "none": return nil
        case "otlp": break
        case nil: guard isOn ?? (signal == .metrics) else { return nil }
        default: throw OTLPConfigurationError("OTEL_" + signal.exporter, "use otlp or none")
        }
        if let (name, text) = value(own("PROTOCOL"), "EXPORTER_OTLP_PROTOCOL"), text == "grpc" {
            throw OTLPConfigurationError(name, "gRPC is not supported: use http/json")
        }
        let advice = "use an http:// or https:// URL"
        if let (name, text) = value(own("ENDPOINT")) {
            guard let named = HTTPEndpoint(text) else { throw OTLPConfigurationError(name, advice) }
            // The reference's documentation gives a collector without a path.
            endpoint = named.target == "/" ? named.appending(signal.path) : named
        } else if let (name, text) = value("EXPORTER_OTLP_ENDPOINT") ?? setting.map({ ("otel.endpoint", $0) }) {
            guard let base = HTTPEndpoint(text) else { throw OTLPConfigurationError(name, advice) }
            endpoint = base.appending(signal.path)
        } else {
            return nil
        }
        if let (name, text) = value(own("HEADERS"), "EXPORTER_OTLP_HEADERS") {
            headers = try Self.pairs(text, name)
            guard headers.allSatisfy({ ClientRequest.isLegal(name: $0.name, value: $0.value) }) else {
                throw OTLPConfigurationError(name, "use headers that a request may have")
            }
        }
        for (part, name) in [
            (\ClientTLS.authorities, "CERTIFICATE"), (\.certificate, "CLIENT_CERTIFICATE"), (\.key, "CLIENT_KEY"),
        ] {
            if let (_, path) = value(own(name), "EXPORTER_OTLP_" + name) {
                tls[keyPath: part] = .file(path)
            }
        }
        if let (name, text) = value(own("TIMEOUT"), "EXPORTER_OTLP_TIMEOUT") {
            timeout = try Self.milliseconds(text, name)
        }
        interval = signal.interval.usual
        if let (name, text) = value(signal.interval.variable) { interval = try Self.milliseconds(text, name) }
        var named: [(name: String, value: String)] = []
        if let (name, text) = value("RESOURCE_ATTRIBUTES") { named = try Self.pairs(text, name) }
        let isNamed = named.contains { $0.name == "service.name" }
        if let service = value("SERVICE_NAME")?.text ?? (isNamed ? nil : service) {
            named.removeAll { $0.name == "service.name" }
            named.insert(("service.name", service), at: 0)
        }
        attributes = named.map { MetricsRegistry.Dimension($0.name, $0.value) }
    }

    /// Tells a process of several that export under one configuration from the others.
    package mutating func nameService(suffix: String) {
        attributes = attributes.map { $0.name == "service.name" ? .init($0.name, $0.value + "-" + suffix) : $0 }
    }

    private static func milliseconds(_ text: String, _ name: String) throws(OTLPConfigurationError) -> UInt64 {
        guard let number = UInt64(text), (1...86_400_000).contains(number) else {
            throw OTLPConfigurationError(name, "use milliseconds from 1 to 86400000")
        }
        return number
    }

    /// `key=value,key=value`, percent-encoded (W3C Baggage, without properties).
    static func pairs(
        _ text: String, _ name: String
    ) throws(OTLPConfigurationError) -> [(name: String, value: String)] {
        var pairs: [(name: String, value: String)] = []
        for part in text.split(separator: ",") {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, let key = decoded(sides[0]), !key.isEmpty, let value = decoded(sides[1]) else {
                throw OTLPConfigurationError(name, "use name=value, commas between them")
            }
            pairs.append((key, value))
        }
        return pairs
    }

    private static func decoded(_ text: Substring) -> String? { PercentEncoding.decode(String(text).trimmed) }
}

/// A variable with an invalid value.
package struct OTLPConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    package let variable: String
    package let reason: String

    init(_ variable: String, _ reason: String) {
        self.variable = variable
        self.reason = reason
    }

    package var description: String { "\(variable): \(reason)" }
}

extension String {
    fileprivate var trimmed: String {
        guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }
}
