import Logging
import NIOCore
import NIOHTTP1
import Spelling
import System
import Tracing

/// Sends execd's metrics and spans to a collector.
///
/// Nobody waits for a collector. What it does not take is left to the next time, which comes later each time. Counts of metrics are
/// cumulative, so that nothing is lost of them; spans beyond what `SpanQueue` holds are, and are counted.
struct TelemetryExport: Sendable {
    let settings: TelemetrySettings
    let tracer: Tracer?
    let group: any EventLoopGroup
    let logger: Logger
    /// What is told of a sandbox that was started ahead of its use.
    let gate: GatedStart
    let readings: SystemReadings
    private let start = SystemClock.wallNanoseconds()

    init(
        settings: TelemetrySettings, tracer: Tracer?, readings: SystemReadings, gate: GatedStart,
        group: any EventLoopGroup, logger: Logger
    ) {
        (self.settings, self.tracer, self.readings, self.gate) = (settings, tracer, readings, gate)
        (self.group, self.logger) = (group, logger)
    }

    /// How long one export may take, and the last one, of an execd that ends.
    private static let patience = TimeAmount.seconds(10), lastPatience = TimeAmount.seconds(1)
    /// After so many failures the pauses grow no more.
    private static let maxDoublings = 4

    /// Until the task is cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { tasks in
            if settings.metrics != nil {
                tasks.addTask { await repeatedly("metrics", each: settings.interval, sendMetrics) }
            }
            if settings.traces != nil {
                tasks.addTask { await repeatedly("traces", each: settings.spanInterval, sendSpans) }
            }
        }
    }

    /// Sends what there is when execd ends. A collector that does not answer holds up the end for a second.
    func finish() async {
        let deadline = NIODeadline.now() + Self.lastPatience
        async let metrics = sendMetrics(by: deadline, withLayers: false)
        _ = await (sendSpans(by: deadline), metrics)
    }

    private func repeatedly(
        _ what: String, each interval: Int64, _ export: (_ deadline: NIODeadline) async -> String?
    ) async {
        var failures = 0
        while true {
            do {
                try await Task.sleep(for: .milliseconds(interval << min(failures, Self.maxDoublings)))
            } catch { return }
            if let problem = await export(NIODeadline.now() + Self.patience) {
                // Once for all that follow.
                if failures == 0 { logger.warning("\(what) could not be exported", metadata: ["error": "\(problem)"]) }
                failures += 1
            } else {
                failures = 0
            }
        }
    }

    /// - Returns: why the collector does not have them; nil where it does.
    private func sendMetrics(by deadline: NIODeadline) async -> String? {
        await sendMetrics(by: deadline, withLayers: true)
    }

    private func sendMetrics(by deadline: NIODeadline, withLayers: Bool) async -> String? {
        guard let collector = settings.metrics else { return nil }
        let samples = await readings.samples(withLayers: withLayers)
        // What took long to gather is sent all the same.
        let deadline = max(deadline, NIODeadline.now() + Self.lastPatience)
        let document = MeterDocument(
            histograms: readings.meter?.all ?? [:], samples: samples, service: settings.service,
            version: Release.version, attributes: attributes, start: start, now: SystemClock.wallNanoseconds())
        return await send(document.encoded, to: collector, by: deadline)
    }

    private func sendSpans(by deadline: NIODeadline) async -> String? {
        guard let collector = settings.traces, let tracer else { return nil }
        while NIODeadline.now() < deadline {
            let batch = tracer.spans.take()
            guard !batch.isEmpty else { return nil }
            let document = SpanDocument(
                batch, resource: [.init("service.name", .text(settings.service))] + attributes,
                scope: "opensandbox/execd", version: Release.version)
            if let problem = await send(document.encoded, to: collector, by: deadline) {
                tracer.spans.lose(batch.count)
                return problem
            }
        }
        return "\(collector.authority) is too slow"
    }

    private func send(
        _ document: [UInt8], to collector: CollectorAddress, by deadline: NIODeadline
    ) async -> String? {
        var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: collector.target)
        head.headers = ["host": collector.authority, "content-type": "application/json"]
        let call = PlainCall(host: collector.host, port: collector.port, timeout: deadline - NIODeadline.now())
        guard let answer = try? await call.send(head, ByteBuffer(bytes: document), on: group) else {
            return "no answer of \(collector.authority)"
        }
        return (200..<300).contains(answer.status) ? nil : "\(collector.authority) answers \(answer.status)"
    }

    private var attributes: [SpanRecord.Attribute] {
        guard let told = gate.told else { return settings.attributes }
        let others = (told.telemetry?.attributes ?? [:]).sorted { $0.key < $1.key }
        return settings.attributes.filter { $0.name != "sandbox_id" } + [.init("sandbox_id", .text(told.sandboxId))]
            + others.map { .init($0.key.text, .text($0.value)) }
    }
}
