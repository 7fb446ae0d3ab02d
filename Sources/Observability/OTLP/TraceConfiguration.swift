import Tracing

/// Whether and how requests are traced, by OpenTelemetry's variables (OTel specification, "Environment Variables").
package struct TraceConfiguration: Sendable {
    package var otlp: OTLPConfiguration
    package var sampler: Sampler
    /// Spans that wait at most, and that leave together.
    package var capacity = 2048
    package var batch = 512

    /// Nil if nothing is traced: unless the program's setting or `OTEL_TRACES_EXPORTER=otlp` asks for it, and where no endpoint is
    /// given.
    /// - Parameters:
    ///   - endpoint, isOn, sampler: the program's own settings, which the variables override.
    package init?(
        environment: [String: String], service: String, endpoint: String? = nil, isOn: Bool = false,
        sampler setting: Sampler = Sampler()
    ) throws(OTLPConfigurationError) {
        let otlp = try OTLPConfiguration(
            environment: environment, service: service, endpoint: endpoint, signal: .traces, isOn: isOn)
        guard let otlp else { return nil }
        self.otlp = otlp
        sampler = setting
        if let name = environment["OTEL_TRACES_SAMPLER"], !name.isEmpty {
            guard let named = Sampler(name: name, argument: environment["OTEL_TRACES_SAMPLER_ARG"]) else {
                throw OTLPConfigurationError(
                    "OTEL_TRACES_SAMPLER",
                    "use always_on, always_off or traceidratio, with parentbased_ before it or not, "
                        + "and a ratio from 0 to 1 in OTEL_TRACES_SAMPLER_ARG")
            }
            sampler = named
        }
        capacity = try Self.count("OTEL_BSP_MAX_QUEUE_SIZE", environment) ?? capacity
        batch = min(capacity, try Self.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", environment) ?? batch)
    }

    private static func count(
        _ name: String, _ environment: [String: String]
    ) throws(OTLPConfigurationError) -> Int? {
        guard let text = environment[name], !text.isEmpty else { return nil }
        guard let number = Int(text), (1...65536).contains(number) else {
            throw OTLPConfigurationError(name, "use a number from 1 to 65536")
        }
        return number
    }

    package func tracer() -> Tracer { Tracer(sampler, spans: SpanQueue(capacity: capacity, batch: batch)) }
}
