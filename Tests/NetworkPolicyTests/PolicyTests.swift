import Addresses
import NetworkPolicy
import Testing

@Suite struct PolicyJSONTests {
    private func decode(_ text: String) throws -> Policy { try Policy.decode(json: Array(text.utf8)) }

    @Test(arguments: ["", "  ", "null", "{}", #"{"egress":[]}"#, #"{"egress":null}"#])
    func `an empty policy denies everything`(json: String) throws {
        #expect(try decode(json) == .denyAll)
    }

    @Test func `rules keep their order and their writer's text`() throws {
        let policy = try decode(
            #"{"defaultAction":"allow","egress":[{"action":"deny","target":"Bad.Example."},{"action":"allow","target":"10.0.0.0/8"}]}"#
        )
        #expect(policy.defaultAction == .allow)
        #expect(policy.rules.map(\.text) == ["Bad.Example.", "10.0.0.0/8"])
        #expect(
            String(decoding: policy.encodedJSON(), as: UTF8.self)
                == #"{"defaultAction":"allow","egress":[{"action":"deny","target":"Bad.Example."},{"action":"allow","target":"10.0.0.0/8"}]}"#
        )
    }

    @Test(arguments: [
        #"{"defaultAction":"maybe"}"#, #"{"defaultAction":"Allow"}"#,
        #"{"egress":[{"action":"permit","target":"a.com"}]}"#,
        #"{"egress":[{"action":"allow"}]}"#, #"{"egress":[{"target":"a.com"}]}"#,
        #"{"egress":[{"action":"allow","target":""}]}"#,
        #"{"egress":[{"action":"allow","target":"*"}]}"#, #"{"egress":[{"action":"allow","target":"a.*.com"}]}"#,
        #"{"egress":[{"action":"allow","target":"10.0.0.1/8"}]}"#, #"{"egress":"all"}"#, #"[]"#, #"{"#,
        #"{"egress":[{"preset":"none"}]}"#, #"{"egress":[{"preset":"../pypi"}]}"#, #"{"egress":[{"preset":""}]}"#,
        #"{"egress":[{"action":"allow","target":"::ffff:198.51.100.1"}]}"#,
        #"{"egress":[{"action":"deny","target":"::ffff:10.0.0.0/104"}]}"#,
        #"{"egress":[{"action":"allow","target":"http://a.com"}]}"#, #"{"egress":[1]}"#,
    ])
    func `a malformed policy is refused`(json: String) {
        #expect(throws: PolicyError.self) { try decode(json) }
    }

    @Test func `the refusal names the offending rule`() {
        #expect(throws: PolicyError.invalidTarget("a b", reason: "U+20 is not allowed in a name")) {
            try decode(#"{"egress":[{"action":"allow","target":"a b"}]}"#)
        }
    }

    @Test(arguments: ["", "[]", "{}", "null", #"["a.com"]"#])
    func `a change without a rule is refused`(json: String) {
        #expect(throws: PolicyError.self) { try Policy.decodeRules(json: Array(json.utf8)) }
    }
}

/// Two readers of one text must not read two policies, and none may pass over what narrows a rule.
@Suite struct StrictJSONTests {
    private let presets = try! Presets(rules: ["p": [Rule(action: .allow, text: "p.example")]])

    @Test(arguments: [
        #"{"action":"allow","target":"a.com","port":[443]}"#, #"{"action":"allow","target":"a.com","Ports":[443]}"#,
        #"{"action":"allow","action":"deny","target":"a.com"}"#,
        #"{"action":"allow","target":"a.com","target":"b.com"}"#,
        #"{"action":"allow","target":"a.com","ports":[443],"ports":[80]}"#,
        #"{"\u0061ction":"deny","action":"allow","target":"a.com"}"#,
        #"{"action":"deny","preset":"p"}"#, #"{"preset":"p","ports":[443]}"#, #"{"preset":"p","protocol":"tcp"}"#,
        #"{"preset":"p","target":"a.com"}"#, #"{"preset":"p","preset":"p"}"#,
        #"{"action":"deny","target":"preset:p"}"#, #"{"action":"allow","target":"preset:p","ports":[443]}"#,
        #"{"target":"preset:p"}"#, #"{"action":"allow","preset":"p","target":"preset:q"}"#,
        #"{"action":"allow","target":"p.example","from":["p",0,1,true]}"#,
        #"{"action":"allow","target":"a.com","ports":[1e3]}"#, #"{"action":"allow","target":"a.com","ports":[080]}"#,
        #"{"action":"allow","target":"a.com"},"#, #"{"action":"allow","target":"a.com",}"#,
        #"{"action":"allow","target":"a.com"}]["#, #"{'action':'allow','target':'a.com'}"#,
        #"{"action":"allow","target":"\ud800.com"}"#, #"{"action":"allow","target":"a\x2ecom"}"#,
        "{\"action\":\"allow\",\"target\":\"a.\ncom\"}", #"// {"action":"allow","target":"a.com"}"#,
    ])
    func `what two parsers could read in two ways is refused, and so is a field that nobody knows`(rule: String) throws
    {
        #expect(throws: PolicyError.self) { try Policy.decodeRules(json: Array("[\(rule)]".utf8), presets: presets) }
        let policy = #"{"defaultAction":"allow","egress":[\#(rule)]}"#
        #expect(throws: PolicyError.self) { try Policy.decode(json: Array(policy.utf8), presets: presets) }
    }

    @Test(arguments: [
        #"{"defaultaction":"allow"}"#, #"{"defaultAction":"allow","defaultAction":"deny"}"#,
        #"{"defaultAction":"allow","egres":[]}"#, #"{"defaultAction":"allow"} {}"#, "\u{FEFF}{}", "nul", "NaN", "[",
        "{\"a\":",
        String(repeating: "[", count: 200_000), String(repeating: #"{"egress":"#, count: 50_000),
        "{" + (0..<100).map { "\"f\($0)\":1" }.joined(separator: ",") + "}",
    ])
    func `a policy is one text with the fields of the contract`(json: String) {
        #expect(throws: PolicyError.self) { try Policy.decode(json: Array(json.utf8)) }
    }

    @Test func `other encodings than UTF-8 are refused`() {
        let text = #"{"defaultAction":"allow"}"#
        let wide = text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        for bytes in [wide, [0xff, 0xfe] + wide, Array(#"{"mode":""#.utf8) + [0xff] + Array(#""}"#.utf8)] {
            #expect(throws: PolicyError.self) { try Policy.decode(json: bytes) }
        }
    }

    @Test func `escapes, spaces and null are read as JSON has them`() throws {
        let json =
            " {\r\n\t\"egress\" : [ {\"preset\":\"p\",\"action\":null} , "
            + #"{"target":"b\u00FCcher.\u0065xample","action":"al\u006cow","ports":[ 443]}"#
            + " ] , \"mode\":null}\n"
        let policy = try Policy.decode(json: Array(json.utf8), presets: presets)
        #expect(policy.rules.map(\.description) == ["allow p.example", "allow bücher.example 443"])
        let pair = #"[{"action":"allow","target":"\ud83d\ude00.example"}]"#
        let error = #expect(throws: PolicyError.self) { try Policy.decodeRules(json: Array(pair.utf8)) }
        #expect(error?.description.contains("U+1F600") == true, "a pair of surrogates is one character")
    }

    @Test func `an unknown field is named with its rule`() {
        let json = #"[{"action":"allow","target":"a.com"},{"action":"allow","target":"b.com","port":443}]"#
        let error = #expect(throws: PolicyError.self) { try Policy.decodeRules(json: Array(json.utf8)) }
        #expect(
            error?.description == "rule 1: unknown field \"port\": use action, target, ports, protocol, preset")
    }

    @Test func `the mode stands among the rules, too, for clients that show nothing else`() throws {
        func decode(_ text: some StringProtocol) throws -> Policy { try Policy.decode(json: Array(text.utf8)) }
        let text =
            #"{"defaultAction":"deny","egress":[{"action":"allow","target":"a.com"},"#
            + #"{"action":"allow","target":"mode:observe"}],"mode":"observe"}"#
        let policy = try decode(#"{"mode":"observe","egress":[{"action":"allow","target":"a.com"}]}"#)
        #expect(policy.ruleCount == 1 && String(decoding: policy.encodedJSON(), as: UTF8.self) == text)
        #expect(try decode(text) == policy)
        // What a client has left of it.
        let left = #"{"egress":[{"action":"allow","target":"mode:observe"},{"action":"allow","target":"a.com"}]}"#
        #expect(try decode(left) == policy)
        #expect(throws: PolicyError.self) { try decode(left.dropLast() + #","mode":"enforce"}"#) }
        #expect(throws: PolicyError.self) { try decode(#"{"egress":[{"action":"deny","target":"mode:observe"}]}"#) }
        let body = Array(#"[{"action":"allow","target":"mode:observe"}]"#.utf8)
        #expect(throws: PolicyError.self) { try Policy.decodeRules(json: body) }
        #expect(throws: PolicyError.self) { try Policy.decodeTargets(json: Array(#"["mode:observe"]"#.utf8)) }
        for form in [PolicyForm.record, .plain] {
            #expect(!String(decoding: policy.encodedJSON(form), as: UTF8.self).contains("mode:observe"))
        }
    }

    @Test func `a preset file has no unknown field, either`() {
        for entry in [#"{"target":"a.com","port":[443]}"#, #"{"target":"a.com","action":"deny"}"#] {
            let json = #"{"name":"n","description":"d","allow":[\#(entry)]}"#
            #expect(throws: PolicyError.self) { try Presets.decode(json: Array(json.utf8)) }
        }
    }
}

@Suite struct PolicyChangeTests {
    private func rule(_ action: Action, _ text: String) throws -> Rule { try Rule(action: action, text: text) }

    @Test func `patched rules come first, replace equal targets, and the first of equals wins`() throws {
        let policy = Policy(defaultAction: .deny, rules: [try rule(.deny, "a.com"), try rule(.allow, "b.com")])
        let merged = policy.merging([try rule(.allow, "c.com"), try rule(.allow, "A.com"), try rule(.deny, "a.com.")])
        #expect(
            merged.rules.map { "\($0.action.rawValue) \($0.text)" } == ["allow c.com", "allow A.com", "allow b.com"])
    }

    @Test func `removal is by target and idempotent`() throws {
        let policy = Policy(defaultAction: .deny, rules: [try rule(.allow, "a.com"), try rule(.allow, "*.a.com")])
        let (once, removed) = policy.removing([try RuleSelector("A.COM")])
        #expect(removed == 1 && once.rules.map(\.text) == ["*.a.com"])
        #expect(once.removing([try RuleSelector("a.com")]).removed == 0)
    }
}

@Suite struct EvaluationTests {
    @Test func `the apex is not below its wildcard and suffixes do not match`() throws {
        let evaluator = PolicyEvaluator(
            Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "*.example.com")]))
        #expect(try evaluator.evaluate(DomainName("a.example.com")).isAllowed)
        #expect(try !evaluator.evaluate(DomainName("example.com")).isAllowed)
        #expect(try !evaluator.evaluate(DomainName("notexample.com")).isAllowed)
    }

    @Test func `a Unicode rule meets its A-label query`() throws {
        let evaluator = PolicyEvaluator(
            Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "bücher.example")]))
        #expect(try evaluator.evaluate(DomainName("xn--bcher-kva.example")).isAllowed)
    }

    /// Slow and obvious: walk the rules.
    private func oracle(_ policy: Policy, name: DomainName?, address: IPAddress?) -> Action {
        for rule in policy.rules {
            switch rule.target {
            case .name(let target): if name == target { return rule.action }
            case .wildcard(let zone):
                if let name, name.description.hasSuffix("." + zone.description) { return rule.action }
            case .address(let block): if let address, block.contains(address) { return rule.action }
            case .anyAddress: if address != nil { return rule.action }
            }
        }
        return policy.defaultAction
    }

    @Test func `the evaluator and the plan agree with walking the rules`() throws {
        let names = ["a.com", "b.a.com", "c.b.a.com", "com", "ba.com", "x.org"]
        let blocks = [
            "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "255.255.255.255", "::/0", "2001:db8::/32",
            "2001:db8::1",
            "128.0.0.0/1", "ffff::/16",
        ]
        let probes = [
            "0.0.0.0", "10.0.0.1", "10.1.0.0", "10.1.2.3", "10.1.2.4", "10.255.255.255", "11.0.0.0", "255.255.255.255",
            "::",
            "2001:db8::1", "2001:db8::2", "2001:db9::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ].map { IPAddress($0)! }
        for _ in 0..<2000 {
            let rules = try (0..<Int.random(in: 0...8)).map { _ in
                let text = [names.randomElement()!, "*." + names.randomElement()!, blocks.randomElement()!]
                    .randomElement()!
                return try Rule(action: Bool.random() ? .allow : .deny, text: text)
            }
            let policy = Policy(defaultAction: Bool.random() ? .allow : .deny, rules: rules)
            let evaluator = PolicyEvaluator(policy)
            for text in names {
                let name = try DomainName(text)
                #expect(evaluator.evaluate(name).action == oracle(policy, name: name, address: nil))
                let address = probes.randomElement()!
                #expect(
                    evaluator.evaluate(address, learnedFrom: name).action
                        == oracle(policy, name: name, address: address))
            }
            let plan = evaluator.addressPlan
            for address in probes {
                let expected = oracle(policy, name: nil, address: address)
                #expect(evaluator.evaluate(address).action == expected)
                let planned = plan.blocks.first { $0.range.contains(address) }?.actions[.tcp(port: 443)]
                #expect(planned ?? plan.defaultAction == expected)
            }
            let all = plan.blocks.map(\.range)
            for (left, right) in zip(all, all.dropFirst()) { #expect(left.upperBound < right.lowerBound) }
            for range in all { #expect(range.lowerBound.isIPv4 == range.upperBound.isIPv4) }
        }
    }
}

@Suite struct AnswerFilterTests {
    let filter = AnswerFilter(internalZones: [try! DomainName("cluster.local")])
    let open = PolicyEvaluator(.allowAll)

    @Test(arguments: [
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:198.51.100.1", "64:ff9b::a00:1",
        "2002:a00:1::",
    ])
    func `a public name never yields this`(text: String) throws {
        #expect(try !filter.permits(#require(IPAddress(text)), for: DomainName("public.example"), policy: open))
    }

    @Test(arguments: [
        ("10.0.0.1", true), ("fd00::1", true), ("127.0.0.1", false), ("169.254.169.254", false), ("fe80::1", false),
        ("fd00:ec2::254", false), ("fd00:ec2::23", false), ("fd20:ce::254", false), ("fd00:c1::a9fe:a9fe", false),
        ("fd00:42::42", false), ("100.100.100.200", false), ("168.63.129.16", false), ("0.0.0.0", false),
        ("::1", false),
    ])
    func `an internal name yields private addresses only`(text: String, allowed: Bool) throws {
        #expect(
            try filter.permits(#require(IPAddress(text)), for: DomainName("db.cluster.local"), policy: open) == allowed)
    }

    @Test func `an internal name yields what is set, and a setting opens nothing to other names`() throws {
        let narrow = AnswerFilter(
            internalZones: [AnswerFilter.cluster],
            internalRanges: ["10.1.0.0/16", "127.0.0.0/8"].map { CIDRBlock($0)! })
        for (text, allowed) in [("10.1.0.1", true), ("10.2.0.1", false), ("127.0.0.1", false), ("198.51.100.1", true)] {
            let address = try #require(IPAddress(text))
            #expect(try narrow.permits(address, for: DomainName("db.cluster.local")) == allowed, "\(text)")
            #expect(try narrow.permits(address, for: DomainName("db.example")) == (text == "198.51.100.1"), "\(text)")
        }
    }

    @Test func `an address rule lifts the filter for what it names`() throws {
        let policy = PolicyEvaluator(
            Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "10.0.0.0/24")]))
        #expect(try filter.permits(#require(IPAddress("10.0.0.9")), for: DomainName("public.example"), policy: policy))
        #expect(try !filter.permits(#require(IPAddress("10.0.1.9")), for: DomainName("public.example"), policy: policy))
    }

    @Test(arguments: ["198.51.100.1", "8.8.8.8", "2001:db8::1", "2a00::1"])
    func `global addresses pass`(text: String) throws {
        #expect(try filter.permits(#require(IPAddress(text)), for: DomainName("public.example"), policy: open))
    }
}
