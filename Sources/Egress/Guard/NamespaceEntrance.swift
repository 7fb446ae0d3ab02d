import FlowCheck
import Glibc
import Netfilter
import System

/// The flow check's sockets in a sandbox's namespace, opened before the rules redirect flows to them, and what it dials
/// from. They are closed with this object.
final class NamespaceEntrance: FlowEntrance {
    private let sockets: LoopbackSockets
    let namespace: CInt?

    /// - Parameter namespace: nil for this process's own.
    init(_ namespace: NetworkNamespace?) throws(EgressError) {
        sockets = try NamespaceRules.inside(namespace) { () throws(EgressError) in
            try LoopbackSockets.open(.flowCheck)
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

    var listeners: (ipv4: CInt?, ipv6: CInt?) { (sockets.tcp.ipv4, sockets.tcp.ipv6) }
    var port: UInt16 { sockets.port }
}
