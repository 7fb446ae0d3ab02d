import Glibc
import Netfilter
import System

/// The flow check's sockets in a sandbox's namespace, opened before the rules redirect flows to them, and what it dials
/// from. They are closed with this object.
final class FlowEntrance: Sendable {
    private let sockets: LoopbackSockets
    /// A descriptor of the namespace; nil for this process's own.
    let namespace: CInt?

    /// - Parameter namespace: nil for this process's own.
    init(_ namespace: NetworkNamespace?) throws(EgressError) {
        sockets = try NamespaceRules.inside(namespace) { () throws(EgressError) in try LoopbackSockets.open(.flowCheck)
        }
        do throws(SystemCallError) {
            self.namespace = try namespace.map { (namespace) throws(SystemCallError) in
                try FileDescriptor(opening: namespace.path, O_RDONLY).release()
            }
        } catch {
            throw .kernel("opening \(namespace?.path ?? ""): \(error)")
        }
    }

    deinit { if let namespace { close(namespace) } }

    var listeners: LoopbackSockets.Family { sockets.tcp }
    var port: UInt16 { sockets.port }
}

/// Attaching a guard to the flow check.
extension FlowChecker {
    func attach(_ entrance: FlowEntrance, _ guardian: EgressGuard) -> UInt64 {
        attach(Sandbox(entrance: entrance, policy: guardian, flows: guardian.flows))
    }
}
