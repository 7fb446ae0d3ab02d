import Addresses
import NetworkPolicy

/// The original destination of a flow.
struct FlowTarget: Hashable, Sendable {
    var address: IPAddress
    var port: UInt16
}

/// What the flow check asks about one sandbox. Called on the checker's thread, so no method may wait.
protocol FlowPolicy: AnyObject, Sendable {
    /// Why a flow that states `name` may not begin; nil if it may.
    func refusal(_ name: DomainName, _ target: FlowTarget) -> FlowRefusal?
    /// Called with the outcome of each flow.
    func record(_ event: FlowEvent)
}

/// A flow that was allowed or refused.
struct FlowEvent: Hashable, Sendable {
    var target: FlowTarget
    var kind: FlowProtocol?
    /// nil if none could be read.
    var name: DomainName?
    /// nil if it was allowed.
    var refusal: FlowRefusal?
}
