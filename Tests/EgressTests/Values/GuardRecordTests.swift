import NetworkPolicy
import Testing

@testable import Egress

@Suite struct GuardRecordTests {
    @Test func `a record is read as it was written, ports, mode and odd paths and all`() throws {
        let members = try [Rule(action: .allow, text: "p.example"), Rule(action: .allow, text: "udp://*")]
        let named = Array(#"[{"action":"allow","target":"preset:p"},{"action":"deny","ports":[25]}]"#.utf8)
        let rules =
            try Policy.decodeRules(json: named, presets: Presets(rules: ["p": members])) + [
                Rule(
                    action: .allow, text: "a.example",
                    scope: TrafficScope(transport: .tcp, ports: [443...443, 80...90])),
                Rule(action: .deny, text: "Bücher.example"), Rule(action: .deny, text: "tcp://Bücher.example"),
            ]
        let record = GuardRecord(
            id: "a-1", namespacePath: "/run/\"odd\\\n/é", token: String(repeating: "f", count: PolicyToken.length),
            policy: Policy(defaultAction: .allow, rules: rules, mode: .observe))
        let (read, mark) = try GuardRecord.decode(record.encoded(mark: "m"), path: "x")
        #expect(read == record && mark == "m")
    }
}
