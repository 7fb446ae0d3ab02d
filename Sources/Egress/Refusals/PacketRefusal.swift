import Addresses
import JSON
import Netfilter
import NetworkPolicy

/// Packets of one kind that the kernel refused.
struct PacketRefusal: Hashable, Sendable {
    var reason: RefusalReason
    /// Of the first one; nil where the kernel only counts them.
    var header: PacketHeader?
    /// What the policy says of it.
    var verdict: Verdict
    var count = 1

    /// Without braces. Names are those of `flowRefused` where it has the same.
    var jsonFields: [String] {
        var fields: [String] = []
        if let header {
            fields += [
                "\"protocol\":\"\(Self.name(of: header))\"", "\"source\":\"\(header.source)\"",
                "\"address\":\"\(header.destination)\"",
            ]
            if let ports = header.ports {
                fields += ["\"sourcePort\":\(ports.source)", "\"port\":\(ports.destination)"]
            }
            if let type = header.icmpType { fields.append("\"icmpType\":\(type)") }
        }
        return fields + ["\"kind\":\"\(reason.rawValue)\"", "\"count\":\(count)"] + verdict.jsonFields
    }

    /// As in a rule, or the protocol's number.
    private static func name(of header: PacketHeader) -> String {
        switch header.traffic {
        case .tcp: "tcp"
        case .udp: "udp"
        case .icmp: "icmp"
        case .other: "\(header.transport)"
        }
    }
}

extension PacketHeader {
    /// The kind of traffic, as rules see it. A later fragment has no ports.
    var traffic: Traffic {
        switch transport {
        case IPProtocol.tcp: .tcp(port: ports?.destination ?? 0)
        case IPProtocol.udp: .udp(port: ports?.destination ?? 0)
        case destination.isIPv4 ? IPProtocol.icmp : IPProtocol.icmpv6: .icmp
        default: .other
        }
    }

    /// The same as a question to a policy.
    var scope: TrafficScope { traffic.question }
}

extension EgressGuard.State {
    /// What is said of a packet that the kernel has refused.
    func verdict(on header: PacketHeader?, _ reason: RefusalReason, settings: GuardSettings) -> Verdict {
        func refused(_ text: String) -> Verdict { Verdict(action: .deny, reason: .guardrail(text)) }
        switch reason {
        case .protected: return refused("no policy opens this address")
        case .ended: return refused("it belongs to no open connection")
        case .forged: return refused("its source address is not the sandbox's")
        case .reserved: return refused("only the guard may use this port")
        case .packetSocket: return refused("a packet socket sent it past the rules")
        case .inbound: return refused("only hosts that may connect to the sandbox open connections to it")
        case .connections, .connectionsPerSecond, .bytesOut:
            return Verdict(action: .deny, reason: .budget("the budget \(reason.rawValue) is used up"))
        case .policy:
            guard let header else { return refused("the policy does not open it") }
            let (verdict, _) = verdict(header.destination, header.scope, settings: settings)
            guard verdict.isAllowed else { return verdict }
            if header.traffic == .other { return refused("no rule opens this protocol") }
            // The policy may have changed since, too.
            let isUnchecked = settings.flowCheck != nil && header.transport != IPProtocol.tcp
            return refused(
                isUnchecked
                    ? "a name alone opens it, and this traffic states no name"
                    : "the rules at that moment did not open it")
        }
    }
}
