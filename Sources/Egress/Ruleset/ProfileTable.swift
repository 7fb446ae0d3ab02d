import Netfilter
import NetworkPolicy

/// The distinct profiles, numbered. The kernel has one chain for each, and its maps lead from an address to a number,
/// so thousands of names with the same rules share one chain.
///
/// A number is never reused while the table is in the kernel, since an element that has timed out may still refer to it
/// for a while. When no numbers are left, everything is installed again with an empty table.
struct ProfileTable: Hashable, Sendable {
    /// A limit, so that one tenant's policy cannot fill the kernel with chains.
    static let capacity = 1024

    private(set) var profiles: [Profile] = []
    private var numbers: [Profile: UInt32] = [:]

    var isFull: Bool { profiles.count >= Self.capacity }

    subscript(number: UInt32) -> TrafficMap<Action> { profiles[Int(number)].actions }

    /// The profile's number, newly assigned if needed; nil if there is no room.
    mutating func number(of actions: TrafficMap<Action>) -> UInt32? { number(of: Profile(actions)) }

    /// Whether a profile has this number.
    func has(_ profile: Profile, as number: UInt32?) -> Bool { number != nil && numbers[profile] == number }

    mutating func number(of profile: Profile) -> UInt32? {
        if let number = numbers[profile] { return number }
        guard !isFull else { return nil }
        let number = UInt32(profiles.count)
        profiles.append(profile)
        numbers[profile] = number
        return number
    }

    /// The profiles added since an earlier state of the same kernel table.
    func added(since earlier: ProfileTable) -> [NumberedProfile] { numbered(from: earlier.profiles.count) }

    var all: [NumberedProfile] { numbered(from: 0) }

    private func numbered(from first: Int) -> [NumberedProfile] {
        (first..<profiles.count).map {
            NumberedProfile(number: UInt32($0), actions: profiles[$0].actions, checked: profiles[$0].checked)
        }
    }
}

struct NumberedProfile: Hashable, Sendable {
    var number: UInt32
    var actions: TrafficMap<Action>
    /// TCP ports whose flows are redirected to the flow check.
    var checked: PortMap<Bool>
}

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
    package static let noReset: [Expression] =
        .transport(IPProtocol.tcp) + [
            .payload(.transport, offset: 13, length: 1), .mask([0x04]), .compare(.equal, [0]),
        ]
}

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
