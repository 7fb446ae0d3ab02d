import Addresses
import DNSFilter
import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NetworkPolicy
import System
import TestSupport
import Testing

@testable import Egress
@testable import EgressSidecar

@Suite struct SidecarConfigurationTests {
    private func read(_ values: [String: String], resolvConf: String = "") throws -> SidecarConfiguration {
        let environment = Dictionary(uniqueKeysWithValues: values.map { ("OPENSANDBOX_EGRESS_" + $0, $1) })
        return try SidecarConfiguration(environment: environment, resolvConf: resolvConf)
    }

    @Test func `with nothing set, everything is denied and the resolvers of the machine are asked`() throws {
        let configuration = try read([:], resolvConf: "search x\nnameserver 10.0.0.53\nnameserver 2001:db8::53\n")
        #expect(configuration.mode == .namesAndAddresses)
        #expect(configuration.address == ListenAddress(port: 18080))
        #expect(configuration.rules == .denyAll)
        #expect(configuration.token == nil && configuration.policyFile == nil)
        #expect(configuration.maxRules == 4096 && !configuration.needsRulesFolder)
        #expect(try read(["RULES_DIR": "/var/egress/rules"]).needsRulesFolder)
        #expect(configuration.dns.timeout == 5000)
        #expect(configuration.dns.upstreams.map(\.description) == ["10.0.0.53:53", "[2001:db8::53]:53"])
        #expect(configuration.internalZones.map(\.description) == ["x", "cluster.local"])
        #expect(configuration.internalRanges == AnswerFilter.privateRanges)
        #expect(configuration.dns.probeInterval == 30_000 && configuration.dns.probeName == nil)
        #expect(configuration.dns.randomisesCase && configuration.dns.refusal == .nameError)
    }

    @Test(arguments: [
        ("nameserver 127.0.0.11\n", ["127.0.0.11:53"], true),
        ("nameserver 127.0.0.11\n# ExtServers: [host(10.0.0.53)]\n", ["127.0.0.11:53"], false),
        ("nameserver 127.0.0.11\n# ExtServers: [10.0.0.53 ::53]\n", ["10.0.0.53:53", "[::53]:53"], false),
        ("nameserver 127.0.0.11\n# ExtServers: [host(10.0.0.53) 10.0.0.54]\n", ["127.0.0.11:53"], false),
        ("nameserver 127.0.0.11\n# ExtServers: []\n", ["127.0.0.11:53"], false),
        ("nameserver 127.0.0.11\n# ExtServers: [invalid IP]\n", ["127.0.0.11:53"], false),
        ("nameserver 127.0.0.11\n# ExtServers: [10.0.0.53\n", ["127.0.0.11:53"], true),
        ("nameserver 10.0.0.52\n# ExtServers: [10.0.0.53]\n", ["10.0.0.52:53"], false),
    ])
    func `Docker's resolver is passed over where it would ask from inside`(
        resolvConf: String, upstreams: [String], mayAskItself: Bool
    ) throws {
        let configuration = try read([:], resolvConf: resolvConf)
        #expect(configuration.dns.upstreams.map(\.description) == upstreams)
        #expect(configuration.mayAskItself == mayAskItself)
        let named = try read(["DNS_UPSTREAM": "127.0.0.11"], resolvConf: resolvConf)
        #expect(named.dns.upstreams.map(\.description) == ["127.0.0.11:53"] && !named.mayAskItself)
    }

    @Test func `a token comes from a file, and a file without one leaves no API open`() throws {
        let folder = TemporaryFolder("token")
        func file(_ content: String) throws -> String {
            let path = folder.path + "/token"
            try File.write(Array(content.utf8), to: path, mode: 0o400)
            return path
        }
        #expect(try read(["TOKEN_FILE": try file(" a-secret\n")]).token == "a-secret")
        let path = folder.path + "/token"
        for values in [["TOKEN_FILE": path, "TOKEN": "another"], ["TOKEN_FILE": "token"], ["TOKEN_FILE": path + "s"]] {
            #expect(throws: SidecarConfigurationError.self) { try read(values) }
        }
        for content in [" \n", "", String(repeating: "x", count: 5000)] {
            let path = try file(content)
            #expect(throws: SidecarConfigurationError.self, "\(content.prefix(3))") { try read(["TOKEN_FILE": path]) }
        }
    }

    @Test func `clients come by loopback only where that is said, and then need a token`() throws {
        #expect(try !read(["TOKEN": "secret"]).answersInside)
        #expect(try read(["TOKEN": "secret", "LOOPBACK_API": "on"]).answersInside)
        for values in [["LOOPBACK_API": "on"], ["TOKEN": "secret", "LOOPBACK_API": "yes, please"]] {
            #expect(throws: SidecarConfigurationError.self) { try read(values) }
        }
    }

    /// A token under a mistyped name would leave the policy API open, a mistyped budget without a limit.
    @Test(arguments: [
        ("TOKENN", "TOKEN"), ("MOED", "MODE"), ("BUDGET_BYTES_OUTS", "BUDGET_BYTES_OUT"),
        ("DOH_BLOCK_LIST", "DOH_BLOCKLIST"),
        ("MITMPROXY_TRANSPARENT", nil),
    ])
    func `a variable that nobody reads is refused, with the nearest that exists`(_ name: String, _ meant: String?)
        throws
    {
        do {
            _ = try read([name: "x"])
            Issue.record("\(name) was passed over")
        } catch let error as SidecarConfigurationError {
            #expect(error.variable == "OPENSANDBOX_EGRESS_" + name)
            if let meant { #expect(error.reason.hasSuffix("did you mean OPENSANDBOX_EGRESS_\(meant)?")) }
        }
        #expect(throws: Never.self) { try read(["PRESETS_DIR": "/x"]) }
        #expect(throws: Never.self) {
            try SidecarConfiguration(environment: ["OPENSANDBOX_SERVER_API_KEY": "k", "OTEL_X": "y", "PATH": "/bin"])
        }
    }

    @Test func `values are read, and blanks around them are nobody's meaning`() throws {
        let configuration = try read([
            "MODE": " dns ", "HTTP_ADDR": "[2001:db8::1]:8080", "TOKEN": " secret\n", "SANDBOX_ID": "sb-1",
            "RULES": #"{"egress":[{"action":"allow","target":"*.pypi.org"}]}"#, "POLICY_FILE": "/state/policy.json",
            "MAX_RULES": "0", "DNS_UPSTREAM": "198.51.100.53, 198.51.100.54:5353 ,[2001:db8::53]:54",
            "DNS_UPSTREAM_TIMEOUT": "2", "NAMESERVER_EXEMPT": "198.51.100.9", "LOG_LEVEL": "WARN",
            "INTERNAL_ZONES": "corp.example", "INBOUND": "10.0.0.0/8",
        ])
        #expect(configuration.mode == .names)
        #expect(configuration.address.description == "[2001:db8::1]:8080")
        #expect(configuration.token == "secret")
        #expect(configuration.rules.defaultAction == .deny && configuration.rules.rules.map(\.text) == ["*.pypi.org"])
        #expect(configuration.maxRules == .max)
        #expect(configuration.dns.upstreams.map(\.port) == [53, 5353, 54])
        #expect(configuration.dns.timeout == 2000)
        #expect(configuration.exemptNameservers.map(\.description) == ["198.51.100.9"])
        #expect(configuration.logLevel == .warning)
        #expect(configuration.internalZones.map(\.description) == ["corp.example", "cluster.local"])
        #expect(configuration.inbound == .blocks([CIDRBlock("10.0.0.0/8")!]))
    }

    @Test func `the filter's settings are read`() throws {
        let dns = try read([
            "DNS_UPSTREAM": "tls://198.51.100.53#dns.example,tls://[2001:db8::53]:8853", "DNS_0X20": "off",
            "DNS_UPSTREAM_PROBE": "up.example", "DNS_UPSTREAM_PROBE_INTERVAL_SEC": "5", "DNS_REFUSAL": "REFUSED",
            "DNS_TLS_CA_FILE": "/ca.pem",
        ]).dns
        #expect(dns.upstreams.map(\.port) == [853, 8853])
        #expect(dns.upstreams.map(\.tls) == [.name("dns.example"), .address])
        #expect(dns.probeName?.description == "up.example" && dns.probeInterval == 5000)
        #expect(!dns.randomisesCase && dns.refusal == .refused && dns.tlsAuthorities == "/ca.pem")
        #expect(try read(["DNS_UPSTREAM_PROBE": "."]).dns.probeName == nil)
        #expect(try read(["INTERNAL_RANGES": "10.1.0.0/16"]).internalRanges == [CIDRBlock("10.1.0.0/16")!])
    }

    @Test func `known resolvers are read where a list names them, and a file of them that cannot be read is an error`()
        throws
    {
        var reads = 0
        func configuration(_ list: String) throws -> SidecarConfiguration {
            try SidecarConfiguration(environment: ["OPENSANDBOX_EGRESS_DOH_BLOCKLIST": list]) {
                () throws(EgressError) in
                reads += 1
                throw .invalidPolicy("known.json: a list")
            }
        }
        _ = try configuration("dns.example")
        #expect(reads == 0)
        #expect { try configuration("dns.example, known") } throws: {
            "\($0)".contains("OPENSANDBOX_EGRESS_DOH_BLOCKLIST") && "\($0)".contains("known.json")
        }
        #expect(reads == 1)
        var resolvers = KnownResolvers.none
        resolvers.targets = [try Target("*.resolvers.example")]
        let named = try SidecarConfiguration(environment: ["OPENSANDBOX_EGRESS_DOH_BLOCKLIST": "known"]) {
            () throws(EgressError) in resolvers
        }
        #expect(named.resolverBlock.overHTTPS == .targets(resolvers.targets))
    }

    @Test func `a blank value is none`() throws {
        let configuration = try read(["MODE": "", "TOKEN": "  ", "RULES": " ", "HTTP_ADDR": ""])
        #expect(configuration.token == nil && configuration.rules == .denyAll)
    }

    @Test(arguments: [
        ("MODE", "iptables"), ("HTTP_ADDR", "18080"), ("HTTP_ADDR", ":0"), ("HTTP_ADDR", ":99999"),
        ("HTTP_ADDR", "example.com:80"), ("HTTP_ADDR", ":+80"), ("SANDBOX_ID", "../x"), ("MAX_RULES", "-1"),
        ("MAX_RULES", "many"), ("LOG_LEVEL", "loud"), ("RULES", "{"), ("RULES", #"{"defaultAction":"maybe"}"#),
        ("RULES", #"{"egress":[{"action":"allow","target":"a b"}]}"#), ("POLICY_FILE", "policy.json"),
        ("RULES_DIR", "rules"), ("DNS_UPSTREAM", "dns.google"), ("DNS_UPSTREAM", ","),
        ("DNS_UPSTREAM_TIMEOUT", "0"), ("DNS_UPSTREAM_TIMEOUT", "5s"), ("NAMESERVER_EXEMPT", "10.0.0.0/8"),
        ("INTERNAL_ZONES", "a..b"), ("INBOUND", "some"), ("MAX_NS", "0"),
        ("DNS_UPSTREAM", "tls://198.51.100.53,198.51.100.54"), ("DNS_UPSTREAM", "tls://dns.example"),
        ("DNS_UPSTREAM_PROBE", "a..b"), ("DNS_UPSTREAM_PROBE_INTERVAL_SEC", "3601"), ("DNS_0X20", "maybe"),
        ("DNS_REFUSAL", "drop"), ("DNS_TLS_CA_FILE", "ca.pem"), ("INTERNAL_RANGES", "10.0.0.0/99"),
    ])
    func `a wrong value is refused by the name of its variable`(name: String, value: String) throws {
        let error = #expect(throws: SidecarConfigurationError.self) { try read([name: value]) }
        #expect(error?.variable == "OPENSANDBOX_EGRESS_" + name)
        #expect(error?.description.contains("OPENSANDBOX_EGRESS_" + name) == true)
    }

    @Test func `more rules than the limit are refused at the start, too`() {
        let rules = #"{"egress":[{"action":"allow","target":"a.x"},{"action":"allow","target":"b.x"}]}"#
        #expect(throws: SidecarConfigurationError.self) { try read(["RULES": rules, "MAX_RULES": "1"]) }
    }

    @Test func `an address is a port on every address, or on one`() {
        #expect(ListenAddress(":1")?.host == nil)
        #expect(ListenAddress("0.0.0.0:80")?.description == "0.0.0.0:80")
        #expect(ListenAddress("[::1]:80")?.port == 80)
        for wrong in ["", ":", "::1:80", "[::1]", "[10.0.0.1]:80", "10.0.0.1", "10.0.0.1:", "localhost:80"] {
            #expect(ListenAddress(wrong) == nil, "\(wrong)")
        }
    }
}

@Suite struct AlwaysRulesTests {
    private let policy = Policy(
        defaultAction: .deny, rules: [try! Rule(action: .allow, text: "a.x"), try! Rule(action: .deny, text: "b.x")])

    @Test func `what is always denied outranks what is always allowed, and both the policy`() throws {
        let always = try AlwaysRules(deny: "a.x\n# all of it\n*.evil.x # and below\n\n", allow: "b.x\r\n*.evil.x\n")
        let evaluator = PolicyEvaluator(policy, operatorRules: always.rules)
        func isAllowed(_ name: String) throws -> Bool { evaluator.evaluate(try DomainName(name)).isAllowed }
        #expect(try !isAllowed("a.x"))
        #expect(try isAllowed("b.x"))
        #expect(try !isAllowed("c.evil.x"))
        #expect(try !isAllowed("other.x"))
    }

    @Test func `no files change nothing`() throws {
        #expect(try AlwaysRules().rules.isEmpty)
    }

    @Test func `a line that is no target is named`() {
        #expect(throws: EgressError.self) { try AlwaysRules(deny: "ok.x\n10.0.0.0/99\n") }
        do {
            _ = try AlwaysRules(allow: "ok.x\n\nnot a name\n")
        } catch {
            #expect("\(error)".hasPrefix("allow.always, line 3:"))
        }
    }

    @Test func `names that are not logged are names and wildcards`() throws {
        let skip = LogSkip(try TargetList.targets("noise.x\n*.noise.x\n", file: .logSkip))
        #expect(skip.contains("noise.x") && skip.contains("a.b.noise.x") && !skip.contains("x"))
        skip.replace([])
        #expect(!skip.contains("noise.x"))
    }
}

@Suite struct SidecarPeerTests {
    private let own: Set<IPAddress> = [IPAddress("10.0.0.2")!, IPAddress("2001:db8::2")!]

    @Test(arguments: [
        "127.0.0.1", "127.8.9.1", "::1", "10.0.0.2", "2001:db8::2", "::ffff:10.0.0.2", "::ffff:127.0.0.1",
    ])
    func `the sandbox is known by its addresses`(text: String) throws {
        #expect(SidecarAPI.isOfTheSandbox(try SocketAddress(ipAddress: text, port: 1), own: own))
    }

    @Test func `others are others, and one without an address is not trusted`() throws {
        #expect(!SidecarAPI.isOfTheSandbox(try SocketAddress(ipAddress: "10.0.0.1", port: 1), own: own))
        #expect(!SidecarAPI.isOfTheSandbox(try SocketAddress(ipAddress: "::ffff:10.0.0.1", port: 1), own: own))
        #expect(SidecarAPI.isOfTheSandbox(nil, own: own))
        #expect(SidecarAPI.isOfTheSandbox(try SocketAddress(unixDomainSocketPath: "/x"), own: own))
    }

    @Test(arguments: [("127.0.0.1", true), ("::1", true), ("192.0.2.9", false)])
    func `loopback alone is let in where clients come that way, and only with a token`(
        text: String, isLetIn: Bool
    ) throws {
        let request = HTTPRequest(
            method: .GET, target: "/policy", headers: [:], remoteAddress: try SocketAddress(ipAddress: text, port: 1))
        let own: Set<IPAddress> = [IPAddress("192.0.2.9")!]
        func refusal(isOpen: Bool, _ answersInside: Bool) -> String? {
            SidecarAPI.refusal(of: request, own: own, isOpen: isOpen, answersInside: answersInside)
        }
        #expect((refusal(isOpen: false, true) == nil) == isLetIn)
        #expect(refusal(isOpen: false, false) != nil)
        #expect(refusal(isOpen: true, true) != nil)
    }

    @Test(
        arguments: [
            (["origin": "http://page.example"], true), (["origin": "null"], true),
            (["sec-fetch-site": "same-origin"], true),
            (["sec-fetch-site": "none"], false), ([:], false),
        ] as [(HTTPHeaders, Bool)])
    func `pages get nothing where no token is set`(_ headers: HTTPHeaders, _ isPage: Bool) throws {
        let request = HTTPRequest(
            method: .POST, target: "/policy", headers: headers,
            remoteAddress: try SocketAddress(ipAddress: "10.0.0.1", port: 1))
        #expect((SidecarAPI.refusal(of: request, own: own, isOpen: true) != nil) == isPage)
        #expect(SidecarAPI.refusal(of: request, own: own, isOpen: false) == nil)
        #expect(SidecarAPI.refusal(of: request, own: [IPAddress("10.0.0.1")!], isOpen: false) != nil)
    }
}
