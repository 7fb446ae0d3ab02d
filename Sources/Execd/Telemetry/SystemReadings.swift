import System
import Tracing

/// What is read when metrics are exported, by the reference's names.
struct SystemReadings: Sendable {
    let meter: Meter?
    let sessions: IsolatedSessions
    private let sampler = MetricsSampler()

    init(meter: Meter?, sessions: IsolatedSessions) { (self.meter, self.sessions) = (meter, sessions) }

    /// - Parameter withLayers: whether to walk through what isolated sessions have changed, which may take long.
    func samples(withLayers: Bool) async -> [MeterDocument.Sample] {
        let system = sampler.sample(at: CommandRunner.now()), network = NetworkUse.current()
        func sample(
            _ name: String, _ value: Double, _ attribute: String? = nil, _ text: String = "", isCount: Bool = false
        ) -> MeterDocument.Sample {
            let attributes = attribute.map { [SpanRecord.Attribute($0, .text(text))] } ?? []
            return MeterDocument.Sample(name: "execd." + name, value: value, attributes: attributes, isCount: isCount)
        }
        var samples = [
            sample("system.process.count", Double(ProcessNumbers.all().count)),
            sample("system.cpu.usage", system.cpu_used_pct),
            sample("system.memory.usage_bytes", system.mem_used_mib * 1_048_576),
            sample("system.network.io.bytes", network.received, "direction", "in", isCount: true),
            sample("system.network.io.bytes", network.sent, "direction", "out", isCount: true),
            sample("system.network.connections.active", network.tcp, "protocol", "tcp"),
            sample("system.network.connections.active", network.udp, "protocol", "udp"),
            sample("isolation.session.count", Double(sessions.all.count)),
        ]
        // It is walked through: not without need, nor on a thread that others wait for.
        if withLayers, let bytes = try? await FileWork()({ sessions.changedBytes }) {
            samples.append(sample("isolation.upper.usage_bytes", Double(bytes)))
        }
        return samples
    }
}
