import Addresses
import Foundation
import Netfilter
import NetworkPolicy
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Runs `body` in two namespaces joined by a veth, `a` with 198.51.100.1 and `b` with 198.51.100.2; both go afterwards.
func withPair<Result>(_ body: (_ a: NetworkNamespace, _ b: NetworkNamespace) throws -> Result) throws -> Result {
    let tag = String(UInt32.random(in: 0 ... .max), radix: 16)
    let a = try NetworkNamespace.create(named: "spt-\(tag)-a")
    defer { try? a.delete() }
    let b = try NetworkNamespace.create(named: "spt-\(tag)-b")
    defer { try? b.delete() }
    try a.run {
        let route = try RouteSocket()
        try route.addVirtualPair(
            "left", address: [2, 0, 0, 0, 0, 1], peer: "right", peerAddress: [2, 0, 0, 0, 0, 2], peerNamespace: b)
        try configure(route, "left", "198.51.100.1", "2001:db8::1")
    }
    try b.run { try configure(RouteSocket(), "right", "198.51.100.2", "2001:db8::2") }
    return try body(a, b)
}

@Sendable private func configure(_ route: RouteSocket, _ link: String, _ v4: String, _ v6: String) throws {
    let index = try route.index(of: link)
    try route.addAddress(IPAddress(v4)!, prefixLength: 24, link: index)
    try route.addAddress(IPAddress(v6)!, prefixLength: 64, link: index)
    try route.setUp(link)
}

@Suite(.serialized) struct NetworkNamespaceTests {
    @Test func `a link is told from others by kind and hardware address`() throws {
        try withPair { a, _ in
            try a.run {
                let route = try RouteSocket()
                let left = try route.identity(of: "left"), loopback = try route.identity(of: "lo")
                #expect(left?.kind == "veth" && left?.hardware == [2, 0, 0, 0, 0, 1])
                #expect(loopback?.kind == "" && loopback?.hardware == [0, 0, 0, 0, 0, 0])
                #expect(try route.identity(of: "none") == nil)
            }
        }
    }

    @Test func `a namespace is made with its loopback up and leaves nothing behind`() throws {
        let namespace = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        #expect(namespace.exists)
        let links = try namespace.run { try RouteSocket().links() }
        #expect(links.map(\.name).contains("lo"))
        try namespace.delete()
        #expect(!namespace.exists)
        #expect(access(namespace.path, F_OK) != 0)
        try namespace.delete()
    }

    @Test func `a name that exists is refused and kept`() throws {
        let name = "spt-\(UInt32.random(in: 0 ... .max))"
        let namespace = try NetworkNamespace.create(named: name)
        defer { try? namespace.delete() }
        #expect(throws: NetfilterError.self) { try NetworkNamespace.create(named: name) }
        #expect(namespace.exists)
    }

    @Test(arguments: ["", "a/b", "..", "."])
    func `a name that is a path is refused`(name: String) {
        #expect(throws: NetfilterError.self) { try NetworkNamespace.create(named: name) }
    }

    /// What any program may do to a folder, `ip netns add` to its own for one.
    @Test(arguments: [
        "mount --bind . .", "mount --rbind . .", "mount --rbind . . && mount --rbind . .", "mount -t tmpfs tmpfs .",
        "mount --bind .. ..", "mount --rbind .. .. && mount -t tmpfs tmpfs .",
        "mkdir ../seen && mount --rbind . ../seen",
    ])
    func `a namespace ends whatever others have mounted over its name`(mount: String) throws {
        let outer = "/tmp/spt-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: outer + "/netns", withIntermediateDirectories: true)
        defer { try? run("umount -l \(outer)/seen \(outer)/netns \(outer)/netns \(outer); rm -rf \(outer)") }
        let namespace = try NetworkNamespace.create(named: "spt-covered", in: outer + "/netns")
        let inode = try namespace.run {
            try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self/ns/net")
        }
        try run("cd \(outer)/netns && \(mount)")
        try namespace.delete()
        try namespace.delete()
        #expect(try !String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).contains(inode))
        try? run("umount -l \(outer)/seen \(outer)/netns \(outer)/netns \(outer) 2>/dev/null")
        #expect(access(namespace.path, F_OK) != 0)
    }

    @Test func `namespaces are not kept where a program that is about namespaces covers them`() throws {
        let namespace = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? namespace.delete() }
        let other = "spt-\(UInt32.random(in: 0 ... .max))"
        try run("ip netns add \(other) && ip netns del \(other)")
        #expect(namespace.exists)
        try namespace.delete()
        #expect(access(namespace.path, F_OK) != 0)
    }

    private func run(_ script: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", script]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0 || script.hasPrefix("umount"), "\(script)")
    }

    @Test func `running in a namespace that is gone fails and leaves this one alone`() throws {
        // Other tests make links meanwhile: the namespace itself is compared, not what is in it.
        let before = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self/ns/net")
        #expect(throws: NetfilterError.self) {
            try NetworkNamespace(existing: "/run/netns/spt-none").run { try RouteSocket().links().map(\.name) }
        }
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self/ns/net") == before)
    }
}

@Suite(.serialized) struct RouteSocketTests {
    @Test func `a veth pair spans two namespaces and goes with either end`() throws {
        try withPair { a, b in
            #expect(try b.run { try RouteSocket().links().map(\.name) }.contains("right"))
            try a.run { try RouteSocket().deleteLink("left") }
            #expect(try !b.run { try RouteSocket().links().map(\.name) }.contains("right"))
        }
    }

    @Test func `a route by a gateway on the link needs no network of its own`() throws {
        try withPair { a, _ in
            try a.run {
                let route = try RouteSocket()
                let link = try route.index(of: "left")
                try route.setNeighbour(IPAddress("169.254.1.1")!, hardware: [2, 0, 0, 0, 0, 2], link: link)
                try route.addRoute(to: CIDRBlock("0.0.0.0/0")!, link: link, via: IPAddress("169.254.1.1")!)
                try route.setNeighbour(IPAddress("fe80::1")!, hardware: [2, 0, 0, 0, 0, 2], link: link)
                try route.addRoute(to: CIDRBlock("::/0")!, link: link, via: IPAddress("fe80::1")!)
                try route.addRoute(to: CIDRBlock("203.0.113.7")!, link: link)
                try route.deleteRoute(to: CIDRBlock("203.0.113.7")!, link: link)
                #expect(throws: NetfilterError.self) {
                    try route.deleteRoute(to: CIDRBlock("203.0.113.7")!, link: link)
                }
            }
        }
    }

    @Test func `an unknown link is an error that says so`() throws {
        let error = #expect(throws: NetfilterError.self) { try RouteSocket().deleteLink("spt-none") }
        #expect(error?.isNotFound == true)
        #expect(error?.description.hasPrefix("deleting the link spt-none: No such device") == true)
    }
}
