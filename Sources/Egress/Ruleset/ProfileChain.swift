import Netfilter
import NetworkPolicy

/// The chain for a profile. It gives a verdict where the profile decides, and returns otherwise.
enum ProfileChain {
    static func name(_ number: UInt32) -> String { "profile-\(number)" }
    static func checkName(_ number: UInt32) -> String { "check-\(number)" }

    /// - Parameter port: the port of the flow check.
    static func checks(_ checked: PortMap<Bool>, port: UInt16) -> [[Expression]] {
        checked.ranges.map { .destinationPorts($0.ports, transport: IPProtocol.tcp) + [.redirect(port: port)] }
    }

    /// - Parameter refuse: the chain that refuses denied packets.
    static func rules(_ actions: TrafficMap<Action>, refuse: String) -> [[Expression]] {
        func end(_ action: Action) -> [Expression] { [.verdict(action == .allow ? .accept : .goto(refuse))] }
        if let action = actions.other, actions == TrafficMap(action) { return [end(action)] }
        var rules: [[Expression]] = []
        for (number, ports) in [(IPProtocol.tcp, actions.tcp), (IPProtocol.udp, actions.udp)] {
            if let action = ports.uniformValue {
                rules.append(.transport(number) + end(action))
            } else {
                rules += ports.ranges.map { .destinationPorts($0.ports, transport: number) + end($0.value) }
            }
        }
        if let action = actions.icmp { rules += icmp.map { $0 + end(action) } }
        if let action = actions.other {
            // The verdict for other protocols must not apply to undecided TCP, UDP or ICMP.
            let back: [Expression] = [.verdict(.return)]
            let known = [[Expression].transport(IPProtocol.tcp), .transport(IPProtocol.udp)] + icmp
            rules += known.map { $0 + back } + [end(action)]
        }
        return rules
    }

    private static let icmp: [[Expression]] = [
        .family(isIPv4: true) + .transport(IPProtocol.icmp), .family(isIPv4: false) + .transport(IPProtocol.icmpv6),
    ]
}
