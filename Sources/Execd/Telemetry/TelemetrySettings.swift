import Spelling
import Tracing

/// What execd exports, and where to, by OpenTelemetry's variables (OTel specification, "OTLP Exporter Configuration" and
/// "Environment Variables"). Nothing unless a collector is named. A value without I/O.
struct TelemetrySettings: Sendable {
    var metrics: CollectorAddress?
    var traces: CollectorAddress?
    var sampler = Sampler()
    /// Of the resource: `service.name`.
    var service: String
    /// On every point, and on the resource of spans: the sandbox's id, and the operator's.
    var attributes: [SpanRecord.Attribute] = []
    /// Milliseconds between two exports of metrics.
    var interval: Int64 = 60_000
    /// The same of spans.
    var spanInterval: Int64 = 5000
    /// What was asked for and is not done, a line each. No value is repeated.
    private(set) var problems: [String] = []

    private static let maxAttributes = 64
    private static let extraAttributes = "OPENSANDBOX_EXECD_METRICS_EXTRA_ATTRS"

    init(_ environment: [ExactName: String], version: String) {
        func value(_ name: String) -> String? {
            environment[ExactName(name)].flatMap { $0.isEmpty ? nil : $0 }
        }
        service = value("OTEL_SERVICE_NAME") ?? "opensandbox-execd-" + version
        guard value("OTEL_SDK_DISABLED")?.lowercased() != "true" else { return }
        let general = value("OTEL_EXPORTER_OTLP_ENDPOINT")
        if isWanted(value("OTEL_METRICS_EXPORTER"), "OTEL_METRICS_EXPORTER", usually: true) {
            metrics = collector("METRICS", value("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"), general, "/v1/metrics")
        }
        // As everywhere: only where somebody asks for them.
        if isWanted(value("OTEL_TRACES_EXPORTER"), "OTEL_TRACES_EXPORTER", usually: false) {
            traces = collector("TRACES", value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), general, "/v1/traces")
        }
        guard metrics != nil || traces != nil else { return }
        if value("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" {
            problems.append("OTEL_EXPORTER_OTLP_PROTOCOL: gRPC is not supported; JSON is sent over HTTP")
        }
        if value("OTEL_EXPORTER_OTLP_HEADERS") != nil {
            problems.append("OTEL_EXPORTER_OTLP_HEADERS: none are sent, since without TLS others could read them")
        }
        for (place, name) in [
            (\Self.interval, "OTEL_METRIC_EXPORT_INTERVAL"), (\.spanInterval, "OTEL_BSP_SCHEDULE_DELAY"),
        ] {
            guard let text = value(name) else { continue }
            if let number = Int64(text), (1...86_400_000).contains(number) {
                self[keyPath: place] = number
            } else {
                problems.append("\(name): use milliseconds from 1 to 86400000")
            }
        }
        if traces != nil, let name = value("OTEL_TRACES_SAMPLER") {
            if let named = Sampler(name: name, argument: value("OTEL_TRACES_SAMPLER_ARG")) {
                sampler = named
            } else {
                problems.append("OTEL_TRACES_SAMPLER: it, or its argument, is not known; traces follow those who ask")
            }
        }
        if let id = value("OPENSANDBOX_ID") { attributes.append(.init("sandbox_id", .text(id))) }
        addAttributes(value(Self.extraAttributes) ?? "")
    }

    /// - Parameter named: the value of the variable.
    private mutating func isWanted(_ named: String?, _ variable: String, usually: Bool) -> Bool {
        switch named?.lowercased() {
        case nil: return usually
        case "otlp": return true
        case "none": return false
        default:
            problems.append("\(variable): use otlp or none; nothing of it is exported")
            return false
        }
    }

    /// - Parameters:
    ///   - own: the signal's own URL, which is taken as it is unless it has no path.
    ///   - general: the URL of all signals, below which each has its path.
    private mutating func collector(
        _ signal: String, _ own: String?, _ general: String?, _ path: String
    ) -> CollectorAddress? {
        guard let url = own ?? general else { return nil }
        do throws(CollectorAddress.Refusal) {
            let address = try CollectorAddress(url)
            return own == nil || address.target == "/" ? address.appending(path) : address
        } catch {
            let name = own == nil ? "OTEL_EXPORTER_OTLP_ENDPOINT" : "OTEL_EXPORTER_OTLP_\(signal)_ENDPOINT"
            let problem = "\(name): \(error.reason); nothing is exported"
            if !problems.contains(problem) { problems.append(problem) }
            return nil
        }
    }

    private mutating func addAttributes(_ text: String) {
        for pair in text.split(separator: ",").prefix(Self.maxAttributes) {
            let sides = pair.split(separator: "=", maxSplits: 1)
            guard sides.count == 2 else {
                problems.append("\(Self.extraAttributes): use name=value, commas between them")
                return
            }
            attributes.append(.init(String(sides[0]), .text(String(sides[1]))))
        }
    }
}
