import Addresses
import DNSFilter
import Foundation
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

@Suite struct ResolverBlockTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "policies").path()

    @Test func `the shipped list is read, names each target once, and no address that is not public`() throws {
        let targets = try KnownResolvers.load(folder: Self.folder).targets
        #expect(targets.count > 100 && Set(targets).count == targets.count)
        for name in ["dns.google", "cloudflare-dns.com", "dns.quad9.net", "dns.adguard-dns.com", "doh.opendns.com"] {
            #expect(targets.contains(.name(try DomainName(name))), "\(name)")
        }
        for text in ["8.8.8.8", "1.1.1.1", "9.9.9.9", "2606:4700:4700::1111", "2001:4860:4860::8888"] {
            #expect(targets.contains(try Target(text)), "\(text)")
        }
        for case .address(let block) in targets {
            #expect(block.prefixLength >= (block.base.isIPv4 ? 24 : 32), "\(block) takes too much along")
            #expect(
                !["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7"]
                    .contains { CIDRBlock($0)!.range.contains(block.base) }, "\(block)")
        }
    }

    @Test func `no list is no error, and one that is none is`() throws {
        let temporary = TemporaryFolder("resolvers")
        let folder = temporary.path
        try FileManager.default.createDirectory(atPath: folder + "/resolvers", withIntermediateDirectories: true)
        #expect(try KnownResolvers.load(folder: folder) == .none)
        for text in ["", "[]", #"{"description":"a","names":["a b"],"addresses":[]}"#] {
            try Data(text.utf8).write(to: URL(filePath: folder + "/resolvers/known.json"))
            #expect(throws: EgressError.self) { try KnownResolvers.load(folder: folder) }
        }
        withExtendedLifetime(temporary) {}
    }

    private func verdict(_ block: ResolverBlock, _ address: String, _ port: UInt16) throws -> Verdict {
        var configuration = EgressConfiguration(stateDirectory: "", socketPath: "", dns: .init(upstreams: []))
        configuration.resolverBlock = block
        let settings = GuardSettings(configuration)
        let evaluator = PolicyEvaluator(
            Policy(defaultAction: .allow, rules: [try Rule(action: .allow, text: "8.8.8.8")]),
            operatorRules: settings.operatorRules)
        return evaluator.evaluate(IPAddress(address)!, try TrafficScope(transport: .tcp, ports: [port...port]))
    }

    @Test func `what is blocked is closed before any policy, and no other port with it`() throws {
        var block = ResolverBlock()
        #expect(try verdict(block, "8.8.8.8", 443).isAllowed && verdict(block, "8.8.8.8", 853).isAllowed)
        block.overTLS = true
        block.overHTTPS = .targets(try KnownResolvers.load(folder: Self.folder).targets)
        #expect(try !verdict(block, "8.8.8.8", 443).isAllowed && !verdict(block, "2001:db8::1", 853).isAllowed)
        #expect(try verdict(block, "8.8.8.8", 80).isAllowed && verdict(block, "198.51.100.1", 443).isAllowed)
        block.overHTTPS = .everything
        #expect(try !verdict(block, "198.51.100.1", 443).isAllowed && verdict(block, "198.51.100.1", 80).isAllowed)
    }

    @Test func `rules are counted as the policy's clients wrote them`() throws {
        var block = ResolverBlock()
        block.overTLS = true
        guard case .rule(let index, let rule) = try verdict(block, "8.8.8.8", 80).reason else {
            Issue.record("a rule decides")
            return
        }
        #expect(index == 0 && rule.text == "8.8.8.8")
        guard case .operatorRule = try verdict(block, "8.8.8.8", 853).reason else {
            Issue.record("the operator's rule is none of the policy's")
            return
        }
    }
}
