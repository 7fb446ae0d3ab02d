import Addresses
import Glibc
import Netfilter

/// A sandbox and an outside, two namespaces joined by a veth pair. The outside owns the "public" addresses.
public final class TestNetwork: Sendable {
    public static let publicAddresses = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::1", "2001:db8::2"]
    public static let gateway = "10.99.0.1"
    public static let sandboxAddress = "10.99.0.2"

    public let sandbox: NetworkNamespace
    public let outside: NetworkNamespace

    public init() throws {
        let tag = String(UInt32.random(in: .min ... .max), radix: 36)
        sandbox = try NetworkNamespace.create(named: "spt-\(tag)-s")
        outside = try NetworkNamespace.create(named: "spt-\(tag)-o")
        try sandbox.ip("link add eth0 type veth peer name host0 netns \(outside.path)")
        for (namespace, link, address, address6) in [
            (sandbox, "eth0", Self.sandboxAddress, "fd00:99::2"), (outside, "host0", Self.gateway, "fd00:99::1"),
        ] {
            try namespace.ip("address add \(address)/30 dev \(link)")
            try namespace.ip("address add \(address6)/64 dev \(link) nodad")
            try namespace.ip("link set lo up")
            try namespace.ip("link set \(link) up")
        }
        try sandbox.ip("route add default via \(Self.gateway)")
        try sandbox.ip("-6 route add default via fd00:99::1")
        for address in Self.publicAddresses + ["169.254.169.254"] {
            let length = address.contains(":") ? "/128" : "/32"
            try outside.ip("address add \(address)\(length) dev lo nodad")
        }
    }

    deinit {
        try? sandbox.delete()
        try? outside.delete()
    }
}

extension NetworkNamespace {
    /// Runs `ip` inside. Its own `-n` finds only what is in its own folder.
    public func ip(_ words: String) throws {
        try Command.run(["nsenter", "--net=\(path)", "ip"] + words.split(separator: " ").map(String.init))
    }
}

public enum Command {
    public struct Failure: Error { var line: String }

    public static func run(_ line: String...) throws { try run(line) }

    public static func run(_ line: [String]) throws {
        var arguments = line.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var process: pid_t = 0
        guard posix_spawnp(&process, line[0], nil, nil, &arguments, environ) == 0 else {
            throw Failure(line: line.joined(separator: " "))
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        guard status == 0 else { throw Failure(line: line.joined(separator: " ")) }
    }
}
