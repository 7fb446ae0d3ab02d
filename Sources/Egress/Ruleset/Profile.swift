import Netfilter
import NetworkPolicy

/// What is done with traffic to an address.
struct Profile: Hashable, Sendable {
    /// What the output chain does; nil where the rules for bare addresses decide.
    var actions: TrafficMap<Action>
    /// Ports of TCP whose flows go to the flow check before they come to the output chain.
    var checked = PortMap<Bool>(nil)

    init(_ actions: TrafficMap<Action>) { self.actions = actions }

    /// For an address that names open, where flows are checked.
    ///
    /// What is open to names alone is closed to whoever just has the address: TCP goes through the check, and UDP, which
    /// nobody looks into, does not go at all. What the address rules open anyway stays as it is.
    init(checking named: TrafficMap<Action>, alone: TrafficMap<Action>, uncheckedPorts: PortMap<Bool>) {
        func unlessChecked(_ named: PortMap<Action>, _ alone: PortMap<Action>) -> PortMap<Action> {
            named.combined(with: alone) { $0 == .allow && $1 == .allow ? nil : $0 }
                .combined(with: uncheckedPorts) { $0 == .allow && $1 == nil ? .deny : $0 }
        }
        actions = named
        actions.tcp = unlessChecked(named.tcp, alone.tcp)
        actions.udp = unlessChecked(named.udp, alone.udp)
        checked = named.tcp.combined(with: actions.tcp) { $0 == .allow && $1 == .deny ? true : nil }
    }
}

/// What tells the flow check's own connections in conntrack. No secret: who could set it may change the rules.
enum FlowCheckMark {
    static let connection: UInt32 = 0x53_41_4c_59
}

extension [Expression] {
    /// `tcp flags & rst == 0`: a reset of the kernel does not always come from a socket that has the mark.
    static let noReset: [Expression] =
        .transport(IPProtocol.tcp) + [
            .payload(.transport, offset: 13, length: 1), .mask([0x04]), .compare(.equal, [0]),
        ]
}
