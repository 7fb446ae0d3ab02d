import Addresses
import DNSFilter
import NetworkPolicy
import Testing

@testable import Egress

@Suite struct SuggestionTests {
    private func suggest(_ names: [String]) throws -> [String] {
        PolicySuggestion(SandboxUse(names: Set(try names.map { try DomainName($0) }))).policy.rules.map(\.description)
    }

    /// Names, and flows as `address port protocol` with the names of the address behind it.
    private func use(_ names: [String], _ flows: [(String, Traffic, [String])] = []) throws -> SandboxUse {
        var use = SandboxUse(names: Set(try names.map { try DomainName($0) }))
        for (text, traffic, resolved) in flows {
            let address = try #require(IPAddress(text))
            use.flows.insert(LiveFlow(address: address, traffic: traffic))
            use.resolved[address] = try resolved.map { try DomainName($0) }
        }
        return use
    }

    private func policy(_ rules: [(Action, String)], _ action: Action = .deny) throws -> Policy {
        Policy(defaultAction: action, rules: try rules.map { try Rule(action: $0.0, text: $0.1) })
    }

    @Test func `rules name the ports and protocols that were used`() throws {
        let used = try use(
            ["web.example", "quic.example", "ping.example", "asked.example"],
            [
                ("198.51.100.1", .tcp(port: 443), ["web.example"]), ("198.51.100.2", .tcp(port: 80), ["web.example"]),
                ("198.51.100.3", .tcp(port: 443), ["quic.example"]),
                ("198.51.100.3", .udp(port: 443), ["quic.example"]),
                ("198.51.100.4", .icmp, ["ping.example"]), ("198.51.100.4", .udp(port: 123), ["ping.example"]),
                ("203.0.113.9", .tcp(port: 5432), []), ("203.0.113.10", .other, []),
                ("2001:db8::9", .tcp(port: 22), []),
            ])
        #expect(
            PolicySuggestion(used).policy.rules.map(\.description) == [
                "allow asked.example", "allow ping.example:123/udp", "allow icmp://ping.example",
                "allow quic.example:443", "allow web.example:80,443/tcp", "allow [2001:db8::9]:22/tcp",
                "allow any://203.0.113.10", "allow 203.0.113.9:5432/tcp",
            ])
    }

    @Test func `neighbouring ports become ranges, and more than a rule may have become another rule`() throws {
        func rules(_ ports: [UInt16]) throws -> [String] {
            let flows = ports.map { ("198.51.100.1", Traffic.tcp(port: $0), ["a.example"]) }
            return PolicySuggestion(try use(["a.example"], flows)).policy.rules.map(\.description)
        }
        #expect(try rules([8001, 8000, 8002, 65535, 1]) == ["allow a.example:1,8000-8002,65535/tcp"])
        let first = (1...64).map { "\($0 * 10)" }.joined(separator: ",")
        #expect(
            try rules((1...65).map { $0 * 10 }) == ["allow a.example:\(first)/tcp", "allow a.example:650/tcp"])
    }

    @Test func `what is in force stays as it is and in front, and what of it was not used is named`() throws {
        let present = try policy(
            [
                (.allow, "used.example:443"), (.deny, "*.bad.example"), (.allow, "idle.example"),
                (.allow, "203.0.113.0/24"), (.allow, "192.0.2.0/24"), (.allow, "idle.example:8443"),
            ], .allow)
        let used = try use(
            ["used.example", "new.example", "x.bad.example"],
            [
                ("198.51.100.1", .tcp(port: 443), ["used.example"]), ("198.51.100.2", .tcp(port: 80), ["new.example"]),
                ("198.51.100.3", .tcp(port: 80), ["x.bad.example"]), ("203.0.113.7", .udp(port: 53000), []),
            ])
        let suggestion = PolicySuggestion(used, present)
        #expect(suggestion.policy.defaultAction == .deny && suggestion.policy.mode == .enforce)
        #expect(suggestion.policy.rules == present.rules + [try Rule(action: .allow, text: "new.example:80/tcp")])
        #expect(suggestion.existing.map(\.description).count == 6)
        #expect(suggestion.unused.map(\.description) == ["idle.example", "192.0.2.0/24", "idle.example:8443"])
        // Sent back as a removal it takes what was not used, and nothing else.
        let left = present.removing(suggestion.unused)
        #expect(left.removed == 3 && left.policy.rules.map(\.description).contains("allow used.example:443"))
    }

    @Test func `what would take a used rule with it is not called unused`() throws {
        let present = try policy([(.allow, "a.example:443"), (.allow, "a.example")])
        let suggestion = PolicySuggestion(
            try use(["a.example"], [("198.51.100.1", .tcp(port: 443), ["a.example"])]), present)
        #expect(suggestion.unused.isEmpty, "the text a.example takes both")
        #expect(suggestion.policy == present)
    }

    @Test func `a preset stays a preset, and is unused as a whole or not at all`() throws {
        let presets = Presets(
            rules: [
                "tools": [try Rule(action: .allow, text: "a.example"), try Rule(action: .allow, text: "b.example")]
            ])
        let present = try Policy.decode(json: Array(#"{"egress":[{"preset":"tools"}]}"#.utf8), presets: presets)
        #expect(PolicySuggestion(try use([]), present).unused.map(\.description) == ["preset:tools"])
        let some = PolicySuggestion(try use(["b.example"]), present)
        #expect(some.unused.isEmpty && some.policy == present)
        #expect(
            String(decoding: some.encodedJSON(), as: UTF8.self).contains(#""existing":["preset:tools"],"unused":[]"#))
    }

    @Test func `an address that the filter keeps from a name needs a rule of its own`() throws {
        let used = try use(["db.example"], [("10.0.0.5", .tcp(port: 5432), ["db.example"])])
        #expect(
            PolicySuggestion(used).policy.rules.map(\.description)
                == ["allow db.example", "allow 10.0.0.5:5432/tcp"])
    }

    @Test func `a suggestion can be sent as it stands, and what does not fit is said to be missing`() throws {
        let used = try use(["a.example", "b.example", "c.example"])
        let whole = PolicySuggestion(used)
        #expect(try Policy.decode(json: whole.encodedJSON()) == whole.policy && !whole.isIncomplete)
        let few = PolicySuggestion(used, try policy([(.allow, "x.example")]), maxRules: 3)
        #expect(few.policy.ruleCount == 3 && few.isIncomplete)
        #expect(
            String(decoding: few.encodedJSON(), as: UTF8.self).hasSuffix(#","unused":["x.example"],"incomplete":true}"#)
        )
        #expect(throws: PolicyError.self) { try Policy.decode(json: Array(#"{"used":[]}"#.utf8)) }
    }

    @Test func `a suggestion for an observed sandbox says that nothing is enforced, and is enforced when it is sent`()
        throws
    {
        var present = try policy([(.allow, "a.example")])
        #expect(
            !String(decoding: PolicySuggestion(try use([]), present).encodedJSON(), as: UTF8.self).contains("enforced"))
        present.mode = .observe
        let suggested = PolicySuggestion(try use([]), present).encodedJSON()
        #expect(String(decoding: suggested, as: UTF8.self).hasSuffix(#","unused":["a.example"],"enforced":false}"#))
        #expect(try Policy.decode(json: suggested).mode == .enforce)
    }

    @Test func `names stand together by zone`() throws {
        #expect(
            try suggest(["pypi.org", "b.example.com", "example.com", "a.org"]) == [
                "allow example.com", "allow b.example.com", "allow a.org", "allow pypi.org",
            ])
        #expect(try suggest([]).isEmpty)
    }

    @Test func `many siblings become a wildcard, which stands for all below and not for the zone`() throws {
        let many = (1...8).map { "h\($0).cdn.example.com" }
        #expect(
            try suggest(many + ["x.y.cdn.example.com", "cdn.example.com", "example.com"]) == [
                "allow example.com", "allow cdn.example.com", "allow *.cdn.example.com",
            ])
        #expect(try suggest(Array(many.dropLast())).count == 7)
    }

    @Test func `what anybody can have a name below never becomes a wildcard`() throws {
        for zone in ["com", "co.uk", "com.au"] {
            #expect(try suggest((1...20).map { "h\($0).\(zone)" }).count == 20)
        }
        #expect(try suggest((1...20).map { "h\($0).example.uk" }) == ["allow *.example.uk"])
    }

    @Test func `the suggested policy allows every name that it was made from`() throws {
        for _ in 0..<200 {
            let names = Set(
                try (0..<Int.random(in: 0...60)).map { _ in
                    try DomainName("\(["a", "b", "c.d"].randomElement()!)\(Int.random(in: 0...12)).x.example.org")
                })
            let evaluator = PolicyEvaluator(PolicySuggestion(SandboxUse(names: names)).policy)
            for name in names { #expect(evaluator.evaluate(name).isAllowed) }
        }
    }

    @Test func `names that are kept are bounded`() throws {
        var observed = ObservedTraffic()
        for number in 0..<5000 { observed.insert(try DomainName("n\(number).example")) }
        #expect(observed.names.count == ObservedTraffic.capacity && observed.isIncomplete)
        var scanned = ObservedTraffic()
        for port in UInt16(1)...5000 {
            scanned.insert(LiveFlow(address: try #require(IPAddress("198.51.100.1")), traffic: .tcp(port: port)))
        }
        #expect(scanned.flows.count == ObservedTraffic.capacity && scanned.isIncomplete)
    }

    @Test func `of more connections than are kept the first are taken, and nothing more is looked at`() throws {
        let address = try #require(IPAddress("198.51.100.1"))
        var observed = ObservedTraffic()
        observed.insert(Set((UInt16(1)...5000).map { LiveFlow(address: address, traffic: .tcp(port: $0)) }))
        #expect(observed.flows.count == ObservedTraffic.capacity && observed.isIncomplete)
        let watch = GuardWatch(log: EventLog(sandbox: "s", capacity: 8, time: { 5 }), now: { 7 })
        let used = LiveFlow(address: address, traffic: .tcp(port: 1))
        watch.observed([used, LiveFlow(address: address, traffic: .tcp(port: 2), isAnswered: false)])
        #expect(watch.observed.flows == [used], "nobody answered the other one")
    }

    @Test func `only the guard asks its policy API, its upstreams and Docker's resolver`() throws {
        let reserved = ReservedTraffic(
            apiPort: 18080, answersInside: true,
            upstreams: [UpstreamAddress(address: try #require(IPAddress("127.0.0.1")), port: 5353)],
            resolver: try #require(IPAddress("127.0.0.11")))
        for (address, port, transport, isReserved) in [
            ("10.0.0.2", 18080, .tcp, true), ("10.0.0.2", 18080, .udp, false), ("127.0.0.1", 18080, .tcp, false),
            ("127.0.0.1", 5353, .udp, true), ("127.0.0.1", 80, .tcp, false), ("127.0.0.11", 40000, nil, true),
        ] as [(String, UInt16, TrafficScope.Transport?, Bool)] {
            let scope = try TrafficScope(transport: transport, ports: [port...port])
            let found = reserved.contains(try #require(IPAddress(address)), scope, isOwn: true)
            #expect(found == isReserved, "\(address) \(port)")
        }
        let scope = try TrafficScope(transport: .tcp, ports: [18080...18080])
        let other = try #require(IPAddress("198.51.100.1"))
        #expect(!reserved.contains(other, scope, isOwn: false))
        // A query for a name passes.
        let resolver = try #require(IPAddress("127.0.0.11"))
        #expect(!reserved.contains(resolver, .unstated, isOwn: true))
    }

    @Test func `a question is one name or address, with a port and a protocol or without`() throws {
        let question = try PolicyQuestion(
            query: [("target", "Pypi.org."), ("port", "443"), ("protocol", "tcp")])
        #expect(question.target == .name(try DomainName("pypi.org")))
        #expect(question.scope.ports == [443...443] && question.scope.transport == .tcp)
        #expect(try PolicyQuestion(query: [("target", "2001:DB8::1")]).target == .address(IPAddress("2001:db8::1")!))
    }

    @Test(arguments: [
        [], ["port", "1"], ["target", ""], ["target", "*.a.com"], ["target", "10.0.0.0/8"], ["target", "a b"],
        ["target", "a.com", "port", "0"], ["target", "a.com", "port", "x"], ["target", "a.com", "protocol", "sctp"],
        ["target", "a.com", "protocol", "icmp", "port", "1"], ["target", "a.com", "x", "1"],
        ["target", "a.com", "target", "b.com"],
    ])
    func `anything else is refused`(words: [String]) {
        let query = stride(from: 0, to: words.count, by: 2).map { (name: words[$0], value: words[$0 + 1]) }
        #expect(throws: EgressError.self) { try PolicyQuestion(query: query) }
    }
}
