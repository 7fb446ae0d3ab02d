import FlowCheck
import FoundationEssentials
import JSON
import NetworkPolicy

/// A decision of a guard, for event streams, the audit log and the webhook. It has names, rules and counts, and no
/// secret.
struct DecisionEvent: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// The first query for a name under the policy in force, or the first after a while.
        case name(DomainName, type: UInt16, Verdict)
        /// While observing: the name passed; the verdict says why it would be denied.
        case wouldDeny(DomainName, type: UInt16, Verdict)
        /// The answer filter removed addresses from an answer.
        case addressesRemoved(DomainName, count: Int)
        case policyChanged(Policy)
        /// The flow check refused a connection.
        case flowRefused(FlowEvent)
        /// The kernel refused packets.
        case packetsRefused(PacketRefusal)
        /// Refused packets that no event describes, since there were too many.
        case refusalsOmitted(Int)
        /// Sockets and conntrack entries that were ended because of a new policy.
        case flowsCut(Int)
        /// A budget refused something, with the number of times since the last report.
        case budgetExceeded(Budget, refusals: Int)
    }

    /// Milliseconds since 1970.
    var time: UInt64
    var kind: Kind

    /// Overwrites this event with another, reusing the memory of its name, so that events cost no allocation each.
    mutating func become(_ event: DecisionEvent) {
        guard case .name(var memory, _, _) = kind, case .name(let name, let type, let verdict) = event.kind else {
            self = event
            return
        }
        // Release the name first, so that its memory is not shared.
        kind = .flowsCut(0)
        memory.copy(name)
        self = DecisionEvent(time: event.time, kind: .name(memory, type: type, verdict))
    }

    /// The event's name in a stream.
    var name: String {
        switch kind {
        case .name(_, _, let verdict): verdict.isAllowed ? "nameAllowed" : "nameDenied"
        case .wouldDeny: "wouldDeny"
        case .addressesRemoved: "addressesRemoved"
        case .policyChanged: "policyChanged"
        case .flowRefused: "flowRefused"
        case .packetsRefused: "packetsRefused"
        case .refusalsOmitted: "refusalsOmitted"
        case .flowsCut: "flowsCut"
        case .budgetExceeded: "budgetExceeded"
        }
    }

    /// One JSON object, one line.
    func encodedJSON(sandbox: String) -> String {
        var fields = [
            "\"time\":\"\(Self.text(time))\"", "\"sandbox\":" + JSONText.quoted(sandbox), "\"event\":\"\(name)\"",
        ]
        switch kind {
        case .name(let name, let type, let verdict), .wouldDeny(let name, let type, let verdict):
            fields += ["\"name\":" + JSONText.quoted("\(name)"), "\"type\":\"\(RecordTypeName.text(type))\""]
            fields += verdict.jsonFields
        case .addressesRemoved(let name, let count):
            fields += ["\"name\":" + JSONText.quoted("\(name)"), "\"count\":\(count)"]
        case .policyChanged(let policy):
            fields += ["\"defaultAction\":\"\(policy.defaultAction.rawValue)\"", "\"rules\":\(policy.ruleCount)"]
            if policy.mode == .observe { fields.append("\"mode\":\"observe\"") }
        case .flowRefused(let event):
            fields += ["\"address\":\"\(event.target.address)\"", "\"port\":\(event.target.port)"]
            if let source = event.source {
                fields += ["\"source\":\"\(source.address)\"", "\"sourcePort\":\(source.port)"]
            }
            if let kind = event.kind { fields.append("\"protocol\":\"\(kind.rawValue)\"") }
            if let name = event.name { fields.append("\"name\":" + JSONText.quoted("\(name)")) }
            if let refusal = event.refusal { fields.append("\"text\":" + JSONText.quoted("\(refusal)")) }
        case .packetsRefused(let refusal): fields += refusal.jsonFields
        case .flowsCut(let count), .refusalsOmitted(let count): fields.append("\"count\":\(count)")
        case .budgetExceeded(let budget, let refusals):
            fields += ["\"budget\":\"\(budget.rawValue)\"", "\"refusals\":\(refusals)"]
        }
        return "{" + fields.joined(separator: ",") + "}"
    }

    /// RFC 3339 with exact milliseconds, which a Date would round.
    static func text(_ time: UInt64) -> String {
        let seconds = Date(timeIntervalSince1970: Double(time / 1000)).formatted(Date.ISO8601FormatStyle())
        return seconds.dropLast() + ".\(String(1000 + time % 1000).dropFirst())Z"
    }
}

extension Verdict {
    /// `"verdict":…,"reason":…` and, if a rule decided, its position and text.
    var jsonFields: [String] {
        var fields = ["\"verdict\":\"\(action.rawValue)\""]
        switch reason {
        case .rule(let index, let rule):
            let document = String(decoding: Policy.encodeRules([rule]).dropFirst().dropLast(), as: UTF8.self)
            fields += ["\"reason\":\"rule\"", "\"index\":\(index)", "\"rule\":" + document]
        case .defaultAction: fields.append("\"reason\":\"default\"")
        case .guardrail, .operatorRule: fields.append("\"reason\":\"guardrail\"")
        case .budget: fields.append("\"reason\":\"budget\"")
        }
        return fields + ["\"text\":" + JSONText.quoted("\(self)")]
    }
}

/// Names of record types; unknown ones as in RFC 3597, section 5.
enum RecordTypeName {
    static func text(_ type: UInt16) -> String { known[type] ?? "TYPE\(type)" }

    private static let known: [UInt16: String] = [
        1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
        64: "SVCB", 65: "HTTPS", 255: "ANY", 257: "CAA",
    ]
}
