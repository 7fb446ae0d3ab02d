import Netfilter
import NetworkPolicy
import Synchronization

/// Packets that the kernel refused, as events, lines of the log and metrics.
extension EgressGuard {
    /// Seconds between two looks.
    static let refusalInterval = 1.0

    /// How the namespace's rules tell of what they refuse.
    package var reporting: RefusalReporting { refusals?.reporting ?? .counted }

    /// Carries out a change that makes a table besides the policy's anew.
    /// - Parameter change: is told how rules of devices have to tell of what they refuse.
    package func replacing(
        _ table: String, _ change: (RefusalReporting) throws(EgressError) -> Void
    ) throws(EgressError) {
        guard let refusals else { return try change(.counted) }
        try refusals.replacing([table]) { () throws(EgressError) in try change(refusals.packetReporting) }
    }

    /// Reports what has been refused since the last call. Cheap if nothing was.
    package func readRefusals() {
        guard let refusals else { return }
        let batch = refusals.read()
        for (reason, count) in batch.counted { audit.packetsRefused(reason, count) }
        if let trouble = batch.trouble { audit.refusalsNotRead(trouble) }
        watch.packetsRefused(told(by: batch), omitted: batch.omitted)
    }

    private func told(by batch: RefusalLog.Batch) -> [PacketRefusal] {
        if batch.packets.isEmpty, batch.counted.isEmpty { return [] }
        let state = state.withLock { $0 }
        let silent = batch.counted.filter { batch.countedOnly.contains($0.key) }
        // A verdict for each kind of packet and not for each packet: a sandbox chooses how many names an address has.
        return (PacketGroup.groups(batch.packets) + silent.map { PacketGroup(reason: $0, header: nil, count: $1) }).map
        {
            PacketRefusal(
                reason: $0.reason, header: $0.header,
                verdict: state.verdict(on: $0.header, $0.reason, settings: settings), count: $0.count)
        }
    }
}

/// Packets of which the same is said.
struct PacketGroup: Hashable {
    var reason: RefusalReason
    /// Of the first one.
    var header: PacketHeader?
    var count: Int

    /// Equal packets together, in the order of their first ones.
    static func groups(_ packets: [(reason: RefusalReason, header: PacketHeader?)]) -> [PacketGroup] {
        var groups: [PacketGroup] = [], places: [RefusalKey: Int] = [:]
        for packet in packets {
            if let place = places[RefusalKey(packet.reason, packet.header)] {
                groups[place].count += 1
            } else {
                places[RefusalKey(packet.reason, packet.header)] = groups.count
                groups.append(PacketGroup(reason: packet.reason, header: packet.header, count: 1))
            }
        }
        return groups
    }
}
