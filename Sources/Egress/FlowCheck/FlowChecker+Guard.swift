import Glibc
import Netfilter

/// Attaching a guard to the flow check.
extension FlowChecker {
    /// The sockets opened in a namespace before its rules redirect flows to them.
    struct Attachment: Sendable {
        var listeners: Listeners
        var namespace: CInt?
        var point: FlowCheckPoint

        func close() {
            listeners.close()
            if let namespace { Glibc.close(namespace) }
        }
    }

    /// - Parameter namespace: nil for this process's own.
    func enter(_ namespace: NetworkNamespace?) throws(EgressError) -> Attachment {
        let listeners = try NamespaceRules.inside(namespace) { () throws(EgressError) in
            try GuardSockets.openFlowListeners()
        }
        var descriptor: CInt?
        if let namespace {
            let opened = open(namespace.path, O_RDONLY | O_CLOEXEC)
            guard opened >= 0 else {
                let reason = String(cString: strerror(errno))
                listeners.close()
                throw .kernel("opening \(namespace.path): \(reason)")
            }
            descriptor = opened
        }
        return Attachment(
            listeners: listeners, namespace: descriptor, point: FlowCheckPoint(port: listeners.port, mark: mark))
    }

    func attach(_ entrance: Attachment, _ guardian: EgressGuard) -> UInt64 {
        attach(
            Sandbox(
                listeners: entrance.listeners, namespace: entrance.namespace, policy: guardian, flows: guardian.flows))
    }
}
