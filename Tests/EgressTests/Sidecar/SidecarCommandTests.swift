import Foundation
import Netfilter
import TestSupport
import Testing

@testable import Egress
@testable import EgressSidecar

@Suite struct SidecarCommandTests {
    @Test func `without a word it guards, and each word is one work`() throws {
        #expect(try SidecarCommand([]) == SidecarCommand([""].dropFirst()))
        #expect(try SidecarCommand([]).work == .guard)
        for (words, work) in [
            (["--help"], SidecarCommand.Work.help), (["-h"], .help), (["--version"], .version), (["--check"], .check),
            (["--running"], .running), (["--open"], .open), (["--open", "--open"], .open),
            (["--host-namespace"], .guard),
        ] {
            #expect(try SidecarCommand(words).work == work)
        }
        #expect(try !SidecarCommand([]).mayBeHost && SidecarCommand(["--host-namespace"]).mayBeHost)
        #expect(try SidecarCommand(["--check", "--host-namespace"]).mayBeHost)
    }

    @Test(arguments: [
        ["--hlep"], [""], ["guard"], ["--open=true"], ["--check", "x"], ["--HELP"], ["-H"], ["--"], ["-"],
        ["--help", "--opne"], ["--check", "--open"], ["--host"],
    ])
    func `a word that nobody knows is an error, beside others, too`(words: [String]) {
        #expect(throws: SidecarCommandError.self) { try SidecarCommand(words) }
    }
}

@Suite struct NamespaceKindTests {
    /// A /proc with these settings of the network's core.
    private func proc(_ settings: [String]) throws -> TemporaryFolder {
        let made = TemporaryFolder("proc"), folder = made.path
        for path in ["/thread-self/ns", "/sys/net/core"] {
            try FileManager.default.createDirectory(atPath: folder + path, withIntermediateDirectories: true)
        }
        for path in ["/thread-self/ns/net"] + settings.map({ "/sys/net/core/" + $0 }) {
            #expect(FileManager.default.createFile(atPath: folder + path, contents: nil))
        }
        return made
    }

    @Test func `the machine's namespace is known by what it alone has`() throws {
        for (settings, kind) in [
            (["somaxconn", "netdev_max_backlog", "dev_weight"], NamespaceKind.initial), (["somaxconn"], .other),
            (["somaxconn", "dev_weight"], .other), ([], .unknown),
        ] {
            let folder = try proc(settings)
            #expect(NamespaceKind(proc: folder.path) == kind)
        }
        #expect(NamespaceKind(proc: "/nowhere") == .unknown)
    }

    @Test func `of all namespaces of the machine one is the first, and a new one is not`() throws {
        let made = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? made.delete() }
        #expect(try made.run { NamespaceKind() } == .other)
        var kinds: [UInt64: NamespaceKind] = [:]
        for process in try FileManager.default.contentsOfDirectory(atPath: "/proc") where Int(process) != nil {
            let path = "/proc/\(process)/ns/net"
            // Of processes that ended meanwhile, or of others, nothing can be told.
            guard let identity = try? NamespaceIdentity(path: path), kinds[identity.inode] == nil else { continue }
            kinds[identity.inode] = try? NetworkNamespace(existing: path).run { NamespaceKind() }
        }
        #expect(!kinds.isEmpty && kinds.values.count { $0 == .initial } <= 1)
        #expect(!kinds.values.contains(.unknown))
    }
}
