import CLinux
import Glibc
import NetworkPolicy
import Synchronization

/// One sandbox's checked flows, shared by the two sides that may end them: the checker's thread, which owns them, and
/// changes of the policy.
///
/// A flow is judged and entered under one lock. So a change of policy either comes before the judgement or finds the
/// flow here.
package final class OpenFlows: Sendable {
    struct Flow: Sendable {
        var name: DomainName
        var target: FlowTarget
        var client: CInt
        var server: CInt
    }

    private let flows = Mutex<[UInt64: Flow]>([:])

    package init() {}

    package var count: Int { flows.withLock { $0.count } }

    /// Enters the flow that `open` returns; `open` may refuse it.
    func enter(_ number: UInt64, _ open: () throws(FlowRefusal) -> Flow?) throws(FlowRefusal) -> Flow? {
        try flows.withLock { flows throws(FlowRefusal) in
            let flow = try open()
            flows[number] = flow
            return flow
        }
    }

    /// Removes a flow. Its descriptors may be closed only after this.
    func leave(_ number: UInt64) { flows.withLock { _ = $0.removeValue(forKey: number) } }

    /// Resets both sides of the flows for which `isRevoked` holds. They are dead when this returns; the checker's
    /// thread cleans up.
    /// - Returns: how many there were.
    @discardableResult
    package func end(where isRevoked: (DomainName, FlowTarget) -> Bool) -> Int {
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
