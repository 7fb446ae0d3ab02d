import Netfilter
import NetworkPolicy
import Synchronization

/// Packets that the kernel refused, as events, lines of the log and metrics.
extension EgressGuard {
    /// Seconds between two looks.
    static let refusalInterval = 1.0

    /// How the namespace's rules tell of what they refuse.
    package var reporting: RefusalReporting { refusals?.reporting ?? .counted }

    /// Reports what has been refused since the last call. Cheap if nothing was.
    package func readRefusals() {
        guard let refusals else { return }
        do throws(EgressError) {
            let batch = try refusals.read()
            for (reason, count) in batch.counted { audit.packetsRefused(reason, count) }
            watch.packetsRefused(told(by: batch), omitted: batch.omitted)
        } catch {
            audit.refusalsNotRead(error)
        }
    }

    private func told(by batch: RefusalLog.Batch) -> [PacketRefusal] {
        if batch.packets.isEmpty, batch.counted.isEmpty { return [] }
        let state = state.withLock { $0 }
        func refusal(_ reason: RefusalReason, _ header: PacketHeader?, _ count: Int = 1) -> PacketRefusal {
            let verdict = state.verdict(on: header, reason, settings: settings)
            return PacketRefusal(reason: reason, header: header, verdict: verdict, count: count)
        }
        if batch.isCountedOnly { return batch.counted.map { refusal($0.key, nil, $0.value) } }
        return batch.packets.map { refusal($0.reason, $0.header) }
    }
}
