import Netfilter
import NetworkPolicy

/// How traffic to an address is treated.
struct Profile: Hashable, Sendable {
    /// The verdicts of the output chain; nil where the address rules decide.
    var actions: TrafficMap<Action>
    /// TCP ports whose flows are redirected to the flow check.
    var checked = PortMap<Bool>(nil)

    init(_ actions: TrafficMap<Action>) { self.actions = actions }

    /// The profile of a learned address in the mode that checks flows.
    ///
    /// Traffic that only a name opens needs more than the address: TCP goes through the check, and UDP, which is not
    /// checked, is refused. Traffic that address rules open anyway is not affected.
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

/// The conntrack mark of the flow check's own connections. Not a secret: whoever could set it could change the rules.
enum FlowCheckMark {
    static let connection: UInt32 = 0x53_41_4c_59
}

extension [Expression] {
    /// `tcp flags & rst == 0`: resets that the kernel sends do not always come from a socket with the mark.
    static let noReset: [Expression] =
        .transport(IPProtocol.tcp) + [
            .payload(.transport, offset: 13, length: 1), .mask([0x04]), .compare(.equal, [0]),
        ]
}
