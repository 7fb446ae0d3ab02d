import CLinux
import Glibc
import NetworkPolicy
import Synchronization

/// One sandbox's checked flows, for the two who end them: the checker's thread, which owns them, and whoever changes the
/// policy.
///
/// A flow is judged and entered under one lock. A change of policy comes before the judgement or finds the flow here:
/// none slips through between.
final class OpenFlows: Sendable {
    struct Flow: Sendable {
        var name: DomainName
        var target: FlowTarget
        var client: CInt
        var server: CInt
    }

    private let flows = Mutex<[UInt64: Flow]>([:])

    var count: Int { flows.withLock { $0.count } }

    /// Enters the flow that `open` makes, unless it refuses.
    func enter(_ number: UInt64, _ open: () throws(FlowRefusal) -> Flow?) throws(FlowRefusal) -> Flow? {
        try flows.withLock { flows throws(FlowRefusal) in
            let flow = try open()
            flows[number] = flow
            return flow
        }
    }

    /// Takes a flow out; its descriptors may be closed afterwards, not before.
    func leave(_ number: UInt64) { flows.withLock { _ = $0.removeValue(forKey: number) } }

    /// Resets both sides of the flows for which `isRevoked` holds. They are dead when this returns; the checker's thread
    /// clears them away.
    /// - Returns: how many there were.
    @discardableResult
    func end(where isRevoked: (DomainName, FlowTarget) -> Bool) -> Int {
        flows.withLock { flows in
            let doomed = flows.filter { isRevoked($0.value.name, $0.value.target) }
            for (number, flow) in doomed {
                _ = linux_abort_connection(flow.server)
                _ = linux_abort_connection(flow.client)
                flows[number] = nil
            }
            return doomed.count
        }
    }
}
