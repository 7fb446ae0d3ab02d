import NetworkPolicy
import Testing

@Suite struct ScopeJSONTests {
    private func decode(_ fields: String) throws -> Policy {
        try Policy.decode(json: Array(#"{"egress":[{"action":"allow","target":"a.com"\#(fields)}]}"#.utf8))
    }

    @Test func `ports are numbers or texts, and come back as what they are`() throws {
        let policy = try decode(#","ports":[443,"80","8000-8100","9-9"],"protocol":"tcp""#)
        #expect(policy.rules[0].scope.ports == [443...443, 80...80, 8000...8100, 9...9])
        #expect(policy.rules[0].scope.transport == .tcp)
        #expect(
            String(decoding: policy.encodedJSON(), as: UTF8.self)
                == #"{"defaultAction":"deny","egress":[{"action":"allow","ports":[443,80,"8000-8100",9],"protocol":"tcp","target":"a.com"}]}"#
        )
        #expect(try Policy.decode(json: policy.encodedJSON()).rules == policy.rules)
        #expect("\(policy.rules[0])" == "allow a.com tcp 443,80,8000-8100,9")
    }

    @Test(arguments: ["", #","ports":null,"protocol":null"#])
    func `what is not sent is not answered`(fields: String) throws {
        let policy = try decode(fields)
        #expect(policy.rules[0].scope.isUnstated)
        #expect(
            String(decoding: policy.encodedJSON(), as: UTF8.self)
                == #"{"defaultAction":"deny","egress":[{"action":"allow","target":"a.com"}]}"#)
    }

    @Test(arguments: [
        #""ports":[]"#, #""ports":[0]"#, #""ports":[65536]"#, #""ports":[-1]"#, #""ports":[1.5]"#, #""ports":443"#,
        #""ports":["http"]"#, #""ports":["1-"]"#, #""ports":["-1"]"#, #""ports":["2-1"]"#, #""ports":["1-2-3"]"#,
        #""ports":[""]"#, #""ports":["+1"]"#, #""ports":[" 1"]"#, #""ports":["0-5"]"#, #""ports":[true]"#,
        #""ports":[[1]]"#, #""ports":["1-65536"]"#, #""ports":["99999999999999999999"]"#,
        #""protocol":"TCP""#, #""protocol":"sctp""#, #""protocol":"""#, #""protocol":6"#,
        #""protocol":"icmp","ports":[1]"#,
    ])
    func `malformed ports and protocols are refused`(fields: String) {
        #expect(throws: PolicyError.self) { try decode("," + fields) }
    }

    @Test func `the refusal names the offending rule`() {
        let json = #"[{"action":"allow","target":"a.com"},{"action":"deny","target":"b.com","ports":[70000]}]"#
        let error = #expect(throws: PolicyError.self) { try Policy.decodeRules(json: Array(json.utf8)) }
        #expect(
            error?.description
                == "rule 1: invalid port \"70000\": use a number from 1 to 65535 or a range such as \"8000-8100\"")
    }

    @Test func `too many ports are refused`() {
        let ports = (1...65).map(String.init).joined(separator: ",")
        #expect(throws: PolicyError.invalidTraffic(rule: 0, .tooManyPorts(65))) { try decode(",\"ports\":[\(ports)]") }
    }

    @Test func `a patch says everything about its targets, and may give one target several ports`() throws {
        func rule(_ action: Action, _ text: String, _ ports: [ClosedRange<UInt16>] = []) throws -> Rule {
            try Rule(action: action, text: text, scope: TrafficScope(ports: ports))
        }
        let policy = Policy(
            defaultAction: .deny,
            rules: [try rule(.allow, "a.com", [22...22]), try rule(.allow, "b.com"), try rule(.allow, "a.com")])
        let patch = [
            try rule(.allow, "A.com", [443...443]), try rule(.allow, "a.com", [80...81]),
            try rule(.deny, "a.com", [81...81, 80...80]), try rule(.deny, "a.com"),
        ]
        #expect(
            policy.merging(patch).rules.map(\.description) == [
                "allow A.com 443", "allow a.com 80-81", "deny a.com", "allow b.com",
            ])
        #expect(policy.removing([try RuleSelector("a.com")]).removed == 2)
    }

    @Test func `a preset may name ports`() throws {
        let json = #"{"name":"n","description":"d","allow":[{"target":"a.com","ports":[443],"protocol":"tcp"}]}"#
        #expect(try Presets.decode(json: Array(json.utf8)).rules.map(\.description) == ["allow a.com tcp 443"])
        let wrong = #"{"name":"n","description":"d","allow":[{"target":"a.com","ports":[0]}]}"#
        #expect(throws: PolicyError.self) { try Presets.decode(json: Array(wrong.utf8)) }
    }
}
