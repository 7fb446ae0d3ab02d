import Addresses
import Testing

@testable import NetworkPolicy

/// Clients of the contract pass on `action` and `target` alone: all that a rule can say must be sayable there.
@Suite struct TargetTextTests {
    @Test(arguments: [
        ("pypi.org", "pypi.org"), ("pypi.org:443", "pypi.org 443"), ("PyPI.org.:443", "pypi.org 443"),
        ("*.example.com:25/tcp", "*.example.com tcp 25"), ("tcp://*.example.com:25", "*.example.com tcp 25"),
        ("tcp://pypi.org", "pypi.org tcp"), ("any://pypi.org", "pypi.org any"),
        ("pypi.org:443,8000-8100/any", "pypi.org any 443,8000-8100"), ("bücher.example:80", "xn--bcher-kva.example 80"),
        ("198.51.100.7", "198.51.100.7"), ("198.51.100.7:80", "198.51.100.7 80"),
        ("198.51.100.0/24", "198.51.100.0/24"), ("198.51.100.0/24:8000-8100", "198.51.100.0/24 8000-8100"),
        ("198.51.100.0/24:53/udp", "198.51.100.0/24 udp 53"), ("icmp://198.51.100.7", "198.51.100.7 icmp"),
        ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"), ("[2001:db8::1]:443", "2001:db8::1 443"),
        ("[2001:db8::/32]:443/tcp", "2001:db8::/32 tcp 443"), ("udp://2001:db8::/32", "2001:db8::/32 udp"),
        // Without brackets what looks like a port is one more group of the address.
        ("2001:db8::1:443", "2001:db8::1:443"),
        ("*:25", "* 25"), ("*:25,465/tcp", "* tcp 25,465"), ("udp://*", "* udp"), ("icmp://*", "* icmp"),
        ("0.0.0.0/0:25", "0.0.0.0/0 25"), ("::/0", "::/0"), ("preset.:443", "preset 443"),
        ("tcp://preset:443", "preset tcp 443"),
    ])
    func `a text says place, ports and protocol`(text: String, meaning: String) throws {
        let target = try RuleTarget(text)
        #expect("\(target.target)\(target.scope.text)" == meaning)
        #expect(try RuleTarget(target.description) == target, "\(target) means the same")
        #expect(try Rule(action: .deny, text: text).text == text, "it is kept as it was written")
    }

    @Test(arguments: [
        "", ":", ":443", "pypi.org:", "pypi.org:0", "pypi.org:65536", "pypi.org:https", "pypi.org:443,",
        "pypi.org:,443",
        "pypi.org:443-80", "pypi.org: 443", "pypi.org:443 ", "pypi.org:+443", "pypi.org:0443", "pypi.org:443/",
        "pypi.org:443/TCP",
        "pypi.org:443/icmp", "pypi.org:443/tcp/tcp", "pypi.org/tcp", "pypi.org:/tcp", "tcp://pypi.org:443/tcp",
        "://pypi.org",
        "https://pypi.org", "https://pypi.org/simple", "TCP://pypi.org", "tcp:pypi.org", "tcp//pypi.org", "tcp://",
        "tcp://tcp://pypi.org", "icmp://198.51.100.7:1", "user@pypi.org:443", "pypi.org:443:443", "pypi.org#443",
        "[2001:db8::1", "2001:db8::1]:443", "[2001:db8::1]443", "[2001:db8::1]/64", "[2001:db8::]/32:443", "[]:443",
        "[198.51.100.7]:443", "[pypi.org]:443", "[*]:443", "[2001:db8::1%eth0]:443", "[::ffff:198.51.100.7]:443",
        "198.51.100.1/24:443", "198.51.100.0/24/443", "*", "any.*:443", "**:25", "*.:25", "*.*.com:25", "*25",
        "preset:pypi",
        "preset:443", "pypi.org:443\0", "pypi.org:\u{0664}43",
        "a.com:" + (1...65).map(String.init).joined(separator: ","),
    ])
    func `what is not of the grammar is refused, as a rule and where rules are named`(text: String) {
        #expect(throws: PolicyError.self) { try Rule(action: .allow, text: text) }
        guard text != "*", RuleTarget.preset(text) == nil else { return }
        #expect(throws: PolicyError.self) { try RuleSelector(text) }
    }

    @Test(arguments: [
        ("pypi.org:99999", #"invalid port "99999""#), ("https://pypi.org", "write pypi.org, or pypi.org:443"),
        ("https://pypi.org/simple/x", "write pypi.org, or pypi.org:443"),
        ("HTTP://a.com:8080/", "write a.com, or a.com:8080"),
        ("ftp://pypi.org", #"unknown protocol "ftp""#), ("https:///x", "as in example.com:443"),
        ("pypi.org/simple", "write pypi.org"), ("pypi.org/tcp", "write tcp://pypi.org"),
        ("10.0.0.1/8", "write 10.0.0.0/8 for the network, or 10.0.0.1 for the address"),
        ("2001:db8::1/32", "write 2001:db8::/32 for the network"), ("10.0.0.0/33", "a number from 0 to 32"),
        ("10.0.0.0/08", "a number from 0 to 32"), ("10.0.0.0/", "a number from 0 to 32"),
        ("tcp://a.com:1/udp", "a protocol twice"), ("[a.com]:443", "only an IPv6 address or block"),
        ("*", #"any address needs ports or a protocol, as in "*:25""#), ("icmp://a.com:7", "icmp has no ports"),
    ])
    func `the refusal says what is wrong`(text: String, reason: String) {
        let error = #expect(throws: PolicyError.self) { try Rule(action: .allow, text: text) }
        #expect(error?.description.contains("invalid target \"\(text)\": ") == true)
        #expect(error?.description.contains(reason) == true)
    }

    @Test func `every rule can be said in a text, which means what the fields mean`() throws {
        for _ in 0..<2000 {
            for rule in try RandomPolicy.make().rules {
                let said = try Rule(action: rule.action, text: "\(RuleTarget(rule.target, rule.scope))")
                #expect(said.target == rule.target && said.scope == rule.scope)
            }
        }
    }

    @Test func `any address is every address of both families, and no name`() throws {
        let policy = Policy(
            defaultAction: .allow,
            rules: [try Rule(action: .deny, text: "*:25"), try Rule(action: .allow, text: "0.0.0.0/0:25")])
        let evaluator = PolicyEvaluator(policy), mail = try TrafficScope(transport: .tcp, ports: [25...25])
        for text in ["198.51.100.7", "2001:db8::1"] {
            let address = try #require(IPAddress(text))
            #expect(!evaluator.evaluate(address, mail).isAllowed)
            #expect(try !evaluator.evaluate(address, learnedFrom: DomainName("a.com"), mail).isAllowed)
            #expect(try evaluator.evaluate(address, TrafficScope(transport: .tcp, ports: [443...443])).isAllowed)
        }
        #expect(try evaluator.evaluate(DomainName("a.com")).isAllowed)
        let narrow = PolicyEvaluator(Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "*:443")]))
        #expect(try !narrow.evaluate(DomainName("a.com")).isAllowed, "who may reach addresses may not ask for names")
    }
}

/// What a client wrote is what it reads: another form would be another rule to it.
@Suite struct RuleFormTests {
    private let presets = Presets(rules: [
        "p": try! [Rule(action: .allow, text: "p.example"), Rule(action: .allow, text: "*.p.example:443/tcp")]
    ])

    private func decode(_ rules: String) throws -> Policy {
        try Policy.decode(json: Array(#"{"egress":[\#(rules)]}"#.utf8), presets: presets)
    }
    private func answer(_ policy: Policy) -> String {
        String(decoding: policy.encodedJSON(), as: UTF8.self)
    }

    @Test(arguments: [
        #"{"action":"allow","target":"PyPI.org:443"}"#, #"{"action":"allow","ports":[443],"target":"PyPI.org"}"#,
        #"{"action":"deny","target":"*.example.com:25/tcp"}"#, #"{"action":"deny","target":"*:25"}"#,
        #"{"action":"allow","target":"icmp://198.51.100.7"}"#, #"{"action":"allow","target":"[2001:db8::1]:443"}"#,
        #"{"action":"allow","target":"preset:p"}"#,
        #"{"action":"deny","ports":[25],"target":"*"}"#,
    ])
    func `a rule is answered as it was written, and can be sent again`(rule: String) throws {
        let policy = try decode(rule)
        #expect(answer(policy) == #"{"defaultAction":"deny","egress":[\#(rule)]}"#)
        #expect(try Policy.decode(json: policy.encodedJSON(), presets: presets) == policy)
        #expect(try Policy.decode(json: policy.encodedJSON(.record), form: .record) == policy, "no preset is looked up")
    }

    @Test(arguments: [#"{"preset":"p"}"#, #"{"action":"allow","target":"preset:p"}"#])
    func `another guard is told a preset's rules and not its name, which it may not know`(_ rule: String) throws {
        let policy = try decode(rule), told = policy.encodedJSON(.plain)
        #expect(!String(decoding: told, as: UTF8.self).contains("preset"))
        let read = try Policy.decode(json: told)
        #expect(read.ruleCount == policy.ruleCount && read.rules.map(\.target) == policy.rules.map(\.target))
    }

    /// The contract requires both fields; clients read nothing without them.
    @Test(arguments: [
        (#"{"action":"deny","ports":[25]}"#, #"{"action":"deny","ports":[25],"target":"*:25"}"#),
        (#"{"action":"deny","protocol":"udp"}"#, #"{"action":"deny","protocol":"udp","target":"udp://*"}"#),
        (#"{"preset":"p"}"#, #"{"action":"allow","preset":"p","target":"preset:p"}"#),
    ])
    func `a rule without a target is answered with one that means it`(sent: String, answered: String) throws {
        let policy = try decode(sent)
        #expect(answer(policy) == #"{"defaultAction":"deny","egress":[\#(answered)]}"#)
        #expect(try decode(answered) == policy)
        #expect(try Policy.decode(json: policy.encodedJSON(.record), form: .record) == policy)
    }

    @Test(arguments: [
        #"{"action":"deny"}"#, #"{"ports":[25]}"#, #"{"action":"allow","target":"a.com:443","ports":[443]}"#,
        #"{"action":"allow","target":"a.com:443","protocol":"tcp"}"#,
        #"{"action":"deny","target":"*:25","ports":[26]}"#,
        #"{"action":"deny","target":"*"}"#, #"{"action":"deny","target":"","ports":[25]}"#,
        #"{"action":"allow","target":"preset:none"}"#, #"{"action":"allow","target":"preset:"}"#,
    ])
    func `a rule that says too little, or something twice, is refused`(rule: String) {
        #expect(throws: PolicyError.self) { try decode(rule) }
    }

    @Test func `a preset that was changed is answered as the rules that are left`() throws {
        let rules = #"{"action":"deny","target":"x.example"},{"action":"allow","target":"preset:p"}"#
        let policy = try decode(rules)
        #expect(answer(policy) == #"{"defaultAction":"deny","egress":[\#(rules)]}"#)
        let less = PolicyEvaluator(policy).applying(.remove([try RuleSelector("p.example")])).evaluator.policy
        #expect(
            answer(less)
                == #"{"defaultAction":"deny","egress":[{"action":"deny","target":"x.example"},{"action":"allow","target":"*.p.example:443/tcp"}]}"#
        )
        #expect(try less.removing([RuleSelector("preset:p")]).policy.rules.map(\.text) == ["x.example"])
        #expect(try policy.removing([RuleSelector("preset:p")]).removed == 2)
        #expect(try policy.removing([RuleSelector("preset:q")]).removed == 0)
    }

    @Test func `a preset that is patched in again stands once, in front`() throws {
        let patch = try Policy.decodeRules(
            json: Array(#"[{"action":"allow","target":"preset:p"}]"#.utf8), presets: presets)
        let policy = try decode(#"{"action":"allow","target":"a.com"},{"action":"allow","target":"preset:p"}"#)
        let next = PolicyEvaluator(policy).applying(.merge(patch)).evaluator.policy
        #expect(
            answer(next)
                == #"{"defaultAction":"deny","egress":[{"action":"allow","target":"preset:p"},{"action":"allow","target":"a.com"}]}"#
        )
    }

    @Test func `a text with ports is a target of its own, a bare one is all of its rules`() throws {
        let policy = try decode(
            #"{"action":"allow","target":"a.com:443"},{"action":"allow","target":"a.com:80"},{"action":"deny","ports":[25]}"#
        )
        func left(_ text: String) throws -> [String] {
            try PolicyEvaluator(policy).applying(.remove([RuleSelector(text)])).evaluator.policy.rules.map(
                \.description)
        }
        #expect(try left("A.com:443") == ["allow a.com:80", "deny * 25"])
        #expect(try left("a.com") == ["deny * 25"])
        #expect(try left("a.com:443/tcp").count == 3)
        #expect(try left("*:25") == ["allow a.com:443", "allow a.com:80"])
        func patched(_ rule: Rule) -> [String] { policy.merging([rule]).rules.map(\.description) }
        #expect(
            try patched(Rule(action: .deny, text: "a.com:443"))
                == ["deny a.com:443", "allow a.com:80", "deny * 25"])
        #expect(try patched(Rule(action: .deny, text: "a.com")) == ["deny a.com", "deny * 25"])
        let fields = try Rule(action: .deny, text: "a.com", scope: TrafficScope(ports: [25...25]))
        #expect(patched(fields) == ["deny a.com 25", "deny * 25"])
    }
}
