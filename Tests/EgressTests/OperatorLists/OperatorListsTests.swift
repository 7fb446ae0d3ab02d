import Addresses
import DNSFilter
import Foundation
import Logging
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import Egress

/// The operator's lists, as a guard follows them.
@Suite struct OperatorListsTests {
    private let folder = TemporaryFolder("lists")
    private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func write(_ text: String, to file: String) throws {
        try text.write(toFile: folder.path + "/" + file, atomically: true, encoding: .utf8)
    }

    private func lists() throws -> OperatorLists {
        try OperatorLists(folder: folder.path, mustExist: true, waits: false)
    }

    /// As many looks as it takes until files that stand still are read.
    private func look(_ lists: OperatorLists) { for _ in 0..<2 { lists.refresh(quiet) } }

    @Test func `what is denied stands before what is allowed, and a change is another version`() throws {
        try write("# ours\n*.evil.example\n203.0.113.0/24 # lab\n", to: "deny.always")
        try write("mirror.example:443\n", to: "allow.always")
        let lists = try lists()
        #expect(
            lists.current.rules.rules.map(\.description) == [
                "deny *.evil.example", "deny 203.0.113.0/24", "allow mirror.example:443",
            ])
        let version = lists.current.version
        look(lists)
        #expect(lists.current.version == version, "nothing has changed")
        try write("*.evil.example\n203.0.113.0/24\n", to: "deny.always")
        look(lists)
        #expect(lists.current.version == version, "other words for the same rules")
        try write("", to: "deny.always")
        look(lists)
        #expect(lists.current.version != version && lists.current.rules.denied.isEmpty)
    }

    @Test func `a file is read when it stands still`() throws {
        let lists = try lists()
        for count in 1...3 {
            try write((1...count).map { "a\($0).example\n" }.joined(), to: "deny.always")
            lists.refresh(quiet)
            #expect(lists.current.rules.denied.isEmpty, "it was another one at the last look")
        }
        lists.refresh(quiet)
        #expect(lists.current.rules.denied.count == 3)
    }

    @Test func `a mistake keeps all lists as they were, and says where it is until it is mended`() throws {
        try write("a.example\n", to: "deny.always")
        let lists = try lists()
        try write("a.example\nhttps://b.example/\n", to: "deny.always")
        try write("c.example\n", to: "allow.always")
        look(lists)
        #expect(lists.current.rules.rules.map(\.description) == ["deny a.example"])
        #expect(lists.problem?.hasPrefix(folder.path + "/deny.always, line 2: ") == true)
        #expect(throws: EgressError.self) { try self.lists() }
        try write("a.example\nb.example\n", to: "deny.always")
        look(lists)
        #expect(lists.problem == nil && lists.current.rules.rules.count == 3)
    }

    @Test func `a folder that goes takes no denial with it`() throws {
        try write("a.example\n", to: "deny.always")
        let lists = try lists()
        let away = folder.path + ".away"
        try FileManager.default.moveItem(atPath: folder.path, toPath: away)
        look(lists)
        #expect(lists.current.rules.denied.count == 1 && lists.problem?.contains("no such folder") == true)
        #expect(throws: EgressError.self) { try self.lists() }
        #expect(try OperatorLists(folder: folder.path, mustExist: false).current.rules.rules.isEmpty)
        try FileManager.default.moveItem(atPath: away, toPath: folder.path)
        look(lists)
        #expect(lists.current.rules.denied.count == 1 && lists.problem == nil)

        // One that is gone and comes back empty is the operator's word.
        try FileManager.default.removeItem(atPath: folder.path)
        look(lists)
        #expect(lists.current.rules.denied.count == 1 && lists.problem != nil)
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: false)
        look(lists)
        #expect(lists.current.rules.denied.isEmpty && lists.problem == nil)
    }

    @Test func `a folder that need not be there may not go once it is`() throws {
        try write("a.example\n", to: "deny.always")
        let lists = try OperatorLists(folder: folder.path, mustExist: false, waits: false)
        let away = folder.path + ".away"
        try FileManager.default.moveItem(atPath: folder.path, toPath: away)
        look(lists)
        #expect(lists.current.rules.denied.count == 1 && lists.problem != nil)
        try FileManager.default.moveItem(atPath: away, toPath: folder.path)
    }

    @Test func `a link that leads nowhere is no empty list`() throws {
        let link = folder.path + "/deny.always", target = folder.path + "/target"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
        #expect(throws: EgressError.self) { try self.lists() }
        try write("a.example\n", to: "target")
        let lists = try lists()
        try FileManager.default.removeItem(atPath: target)
        look(lists)
        #expect(lists.current.rules.denied.count == 1 && lists.problem?.contains("leads nowhere") == true)
    }

    private final class Clock: Sendable {
        private let time = Mutex<UInt64>(100)
        var now: UInt64 { time.withLock { $0 } }
        func pass(_ seconds: UInt64) { time.withLock { $0 += seconds } }
    }

    /// A kernel that can refuse.
    private final class FullKernel: KernelRules {
        let inner = InterpretedKernel()
        let isFull = Mutex(false)

        private func check() throws(EgressError) { if isFull.withLock({ $0 }) { throw .kernel("told to refuse") } }
        func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError) {
            try check()
            try inner.install(ruleset, learned: learned)
        }
        func wasChangedByOthers() throws(EgressError) -> Bool { false }
        func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError) {
            try check()
            try inner.apply(difference, learned: learned)
        }
        func learned() throws(EgressError) -> [FoundElement] { [] }
        func cut(
            forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
        ) throws(EgressError) -> Int { 0 }
        func liveFlows() throws(EgressError) -> Set<LiveFlow> { [] }
    }

    @Test func `a guard takes up what has changed, and tries again where the kernel refused`() throws {
        try write("198.51.100.2\n", to: "deny.always")
        let lists = try lists(), kernel = FullKernel(), clock = Clock()
        var configuration = EgressConfiguration(stateDirectory: "", socketPath: "", dns: .init(upstreams: []))
        configuration.resolverBlock.overTLS = true
        let first = lists.current
        let guardian = try EgressGuard(
            record: GuardRecord(id: "a", namespacePath: "/", token: "", policy: .allowAll),
            operatorRules: first.rules.rules, listsVersion: first.version, dnsPort: 4000,
            surroundings: LinkSurroundings(), kernel: kernel,
            settings: GuardSettings(configuration, now: { clock.now }), logger: quiet)
        func opens(_ address: String) -> Bool {
            kernel.inner.table.withLock { $0.action(.init(IPAddress(address)!, .tcp(port: 80))) } == .allow
        }
        guardian.follow(lists)
        #expect(opens("198.51.100.1") && !opens("198.51.100.2"))
        #expect(kernel.inner.installations.withLock { $0 } == 1, "they were in force from the start")

        try write("198.51.100.1\n", to: "deny.always")
        look(lists)
        kernel.isFull.withLock { $0 = true }
        guardian.follow(lists)
        #expect(opens("198.51.100.1") && !opens("198.51.100.2"), "those before it stay")
        #expect(guardian.isBehind(lists) && lists.problem == nil)
        kernel.isFull.withLock { $0 = false }
        guardian.follow(lists)
        #expect(!opens("198.51.100.2"), "not at once")
        clock.pass(10)
        guardian.follow(lists)
        #expect(!opens("198.51.100.1") && opens("198.51.100.2") && !guardian.isBehind(lists))

        // The policy is the client's, and cannot reach what stands before it.
        let rules = [try Rule(action: .allow, text: "198.51.100.1")]
        _ = try guardian.change(store: NoStore(), .merge(rules))
        #expect(!opens("198.51.100.1"))
    }

    @Test func `what holds is told in the order in which it decides`() throws {
        try write("a.example\n", to: "deny.always")
        try write("b.example:443\n", to: "allow.always")
        let lists = try lists()
        var configuration = EgressConfiguration(stateDirectory: "", socketPath: "", dns: .init(upstreams: []))
        configuration.resolverBlock.overTLS = true
        configuration.resolverBlock.overHTTPS = .targets([try Target("dns.example")])
        configuration.budgets.bytesOut = 7
        var policy = Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "c.example")])
        policy.isDefault = true
        let guardian = try EgressGuard(
            record: GuardRecord(id: "a", namespacePath: "/", token: "", policy: policy),
            operatorRules: lists.current.rules.rules, listsVersion: lists.current.version, dnsPort: 4000,
            surroundings: LinkSurroundings(), kernel: InterpretedKernel(), settings: GuardSettings(configuration),
            logger: quiet)
        func told() -> [String] {
            guardian.effectivePolicy(lists).layers.map {
                "\($0.kind.rawValue) \($0.origin.rawValue) \($0.isEnforced) \($0.rules.map(\.description).joined(separator: ","))"
            }.filter { !$0.hasPrefix("guardrails ") }
        }
        #expect(
            told() == [
                "block_dot operator true deny * 853", "block_doh operator true deny dns.example",
                "deny.always operator true deny a.example", "allow.always operator true allow b.example:443",
                "policy operator true allow c.example", "default operator true ", "budgets operator true ",
            ])
        let json = String(decoding: guardian.effectivePolicy(lists).encodedJSON(), as: UTF8.self)
        #expect(
            json.hasPrefix(
                #"{"enforced":true,"enforcementMode":"dns+nft","staleLists":false,"layers":[{"layer":"guardrails","from":"sallyport""#
            ))
        #expect(
            json.contains(#""rules":[{"action":"allow","target":"b.example:443"}]"#) && json.contains(#""bytes_out":7"#)
        )
        // What a client writes is the client's, and what is only observed is not enforced.
        _ = try guardian.change(store: NoStore(), .replace(Policy(defaultAction: .deny, mode: .observe)))
        #expect(
            told().suffix(5) == [
                "deny.always operator true deny a.example", "allow.always operator true allow b.example:443",
                "policy client false ", "default client false ", "budgets operator true ",
            ])
        #expect(!guardian.effectivePolicy(lists).isEnforced)
    }
}
