import Addresses
import JSON
import Netfilter
import NetworkPolicy
import System

/// What `GET /policy/explain` asks: a name or an address, and the traffic to it.
package struct PolicyQuestion: Hashable, Sendable {
    package enum Target: Hashable, Sendable, CustomStringConvertible {
        case name(DomainName)
        case address(IPAddress)

        package var description: String {
            switch self {
            case .name(let name): "\(name)"
            case .address(let address): "\(address)"
            }
        }
    }

    package var target: Target
    /// One port, a range, a protocol, or all traffic if unstated.
    package var scope: TrafficScope

    package init(target: Target, scope: TrafficScope = .unstated) {
        self.target = target
        self.scope = scope
    }

    /// Whether it is only about asking for a name.
    var isAboutName: Bool { if case .name = target { scope.isUnstated } else { false } }

    /// The same as a query, for the guard of another process.
    package var text: String {
        var parts = ["?target=" + PercentEncoding.encode("\(target)")]
        if let range = scope.ports.first {
            parts.append("port=\(range.lowerBound)" + (range.count == 1 ? "" : "-\(range.upperBound)"))
        }
        if let transport = scope.transport { parts.append("protocol=\(transport.rawValue)") }
        return parts.joined(separator: "&")
    }

    /// - Throws: `EgressError.invalidPolicy` for a missing target, a wildcard, a block, a bad port, an unknown parameter.
    package init(query: [(name: String, value: String)]) throws(EgressError) {
        var values: [String: String] = [:]
        for (name, value) in query {
            guard ["target", "port", "protocol"].contains(name), values.updateValue(value, forKey: name) == nil else {
                throw .invalidPolicy("unknown or repeated parameter \"\(name)\": use target, port and protocol")
            }
        }
        guard let text = values["target"] else {
            throw .invalidPolicy("the query needs target=<name or address>")
        }
        do {
            if let address = IPAddress(text) {
                // An IPv4-mapped address is sent as IPv4.
                target = .address(address.unmapped)
            } else {
                target = .name(try DomainName(text))
            }
        } catch {
            throw .invalidPolicy("invalid target \"\(text)\": \(error); ask for one name or one address")
        }
        do throws(TrafficScopeError) {
            let transport = values["protocol"].map { TrafficScope.Transport(rawValue: $0) }
            if transport == .some(nil) { throw .unknownProtocol(values["protocol"] ?? "") }
            var ports: [ClosedRange<UInt16>] = []
            if let port = values["port"] { ports = [try TrafficScope.range(port)] }
            scope = try TrafficScope(transport: transport ?? nil, ports: ports)
        } catch {
            throw .invalidPolicy("\(error)")
        }
    }
}

/// The answer: the verdict on the traffic and the rule behind it.
package struct PolicyExplanation: Hashable, Sendable {
    package var question: PolicyQuestion
    package var verdict: Verdict
    /// The name that the address was learned from, if its rules decided.
    package var learnedFrom: DomainName?
    /// Whether the verdict is enforced; policy verdicts are not while the sandbox is observed.
    package var isEnforced: Bool
    /// All that the traffic passes, the policy among it.
    package var path = PolicyPath()

    func encodedJSON() -> [UInt8] {
        var fields = ["\"target\":" + JSONText.quoted("\(question.target)")]
        if let range = question.scope.ports.first {
            let text = range.count == 1 ? "\(range.lowerBound)" : "\"\(range.lowerBound)-\(range.upperBound)\""
            fields.append("\"port\":" + text)
        }
        if let transport = question.scope.transport { fields.append("\"protocol\":\"\(transport.rawValue)\"") }
        fields += verdict.jsonFields
        if let learnedFrom { fields.append("\"learnedFrom\":" + JSONText.quoted("\(learnedFrom)")) }
        fields.append("\"enforced\":\(isEnforced)")
        fields += path.jsonFields
        return Array(("{" + fields.joined(separator: ",") + "}").utf8)
    }
}
