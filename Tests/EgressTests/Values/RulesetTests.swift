import Addresses
import NetworkPolicy
import Testing

@testable import Egress

@Suite struct RulesetTests {
    private func ruleset(_ json: String) throws -> SandboxRuleset {
        let policy = try Policy.decode(json: Array(json.utf8))
        return try SandboxRuleset(
            dnsPort: 4000, plan: PolicyEvaluator(policy).addressPlan, alwaysDeny: EgressConfiguration.neverOpen,
            neighbours: [])
    }

    @Test func `touching and overlapping ranges become one`() {
        let ranges = ["198.51.100.0/25", "198.51.100.128/25", "198.51.100.4/32", "203.0.113.0/24"].map {
            CIDRBlock($0)!.range
        }
        #expect(
            AddressRanges.normalized(ranges) == [
                CIDRBlock("198.51.100.0/24")!.range, CIDRBlock("203.0.113.0/24")!.range,
            ])
        #expect(AddressRanges.successor(of: IPAddress("255.255.255.255")!) == nil)
    }

    @Test func `a change of one rule is a change of one range`() throws {
        let old = try ruleset(#"{"egress":[{"action":"allow","target":"198.51.100.0/24"}]}"#)
        let new = try ruleset(
            #"{"egress":[{"action":"allow","target":"198.51.100.0/24"},{"action":"allow","target":"2001:db8::/32"}]}"#)
        let difference = RulesetDifference(from: old, to: new)
        #expect(difference.sets.count == 1)
        #expect(difference.sets.first?.added.map(\.range) == [CIDRBlock("2001:db8::/32")!.range])
        #expect(difference.sets.first?.removed.isEmpty == true)
        #expect(difference.defaultAction == nil)
        #expect(difference.profiles.isEmpty, "the second rule is open as the first")
        #expect(RulesetDifference(from: old, to: old).isEmpty)
    }

    @Test func `a protected address is refused whatever the policy says`() throws {
        let open = try ruleset(
            #"{"defaultAction":"allow","egress":[{"action":"allow","target":"169.254.169.254/32"}]}"#)
        #expect(open.action(IPAddress("169.254.169.254")!, .icmp) == .deny)
        #expect(open.action(IPAddress("198.51.100.1")!, .other) == .allow)
    }
}
