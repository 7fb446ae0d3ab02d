import NetworkPolicy

/// Where a flow was meant for.
struct FlowTarget: Hashable, Sendable {
    var address: IPAddress
    var port: UInt16
}

/// One sandbox's say in its checked flows. Called on the checker's thread: nothing here may wait.
protocol FlowPolicy: AnyObject, Sendable {
    /// Why a flow that names `name` may not begin; nil where it may.
    func refusal(_ name: DomainName, _ target: FlowTarget) -> FlowRefusal?
    /// Hears what became of a flow.
    func record(_ event: FlowEvent)
}

/// A flow that was let through or refused.
struct FlowEvent: Hashable, Sendable {
    var target: FlowTarget
    var kind: FlowProtocol?
    /// nil where none could be read.
    var name: DomainName?
    /// nil where it was let through.
    var refusal: FlowRefusal?
}
