import Addresses
import DNSFilter
import Egress
import FoundationEssentials
import Glibc
import Logging
import NIOCore
import Netfilter
import NetworkPolicy
import Runtimes
import TestSupport
import Testing

/// A machine with everything but the lifecycle API: runtime, guard, an outside behind the host, and an upstream.
private final class Machine: Sendable {
    let runtime: LocalEngine
    let node: EgressNode
    let outside: NetworkNamespace
    let echo: EchoServer
    let folder: String
    let uplink: String

    private init() async throws {
        // First, since a machine that is half made has nobody to take it away.
        let execd = try #require(BusyboxImage.execd, "run `make execd` first")
        let number = UInt32.random(in: 0 ... .max)
        folder = "/tmp/spt-machine-\(number)"
        uplink = "spt" + String(number, radix: 36)
        try BusyboxImage.create(at: folder + "/image")
        outside = try NetworkNamespace.create(named: "spt-\(number)-o")
        try Command.run("ip", "link", "add", uplink, "type", "veth", "peer", "name", "up0", "netns", outside.path)
        try Command.run("ip", "address", "add", "198.51.100.254/24", "dev", uplink)
        try Command.run("ip", "link", "set", uplink, "up")
        for address in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
            try outside.ip("address add \(address)/24 dev up0")
        }
        try outside.ip("link set up0 up")
        echo = try EchoServer(in: outside)
        let upstream = UpstreamServer(["one.example": ["198.51.100.1"], "two.example": ["198.51.100.2"]])
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        runtime = try LocalEngine(
            configuration: LocalConfiguration(
                stateDirectory: folder + "/sandboxes", execdPath: execd,
                addressPool: TestAddresses.pool(232), tag: "g" + String(number % 46656, radix: 36),
                namespaceDirectory: folder + "/netns"),
            logger: logger)
        node = try await EgressNode(
            configuration: EgressConfiguration(
                stateDirectory: folder + "/egress", socketPath: folder + "/policy.sock",
                dns: DNSConfiguration(
                    upstreams: [UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port)])),
            logger: logger)
        self.upstream = upstream
    }
    private let upstream: UpstreamServer

    static func run(_ body: (Machine) async throws -> Void) async throws {
        let machine = try await Machine()
        do {
            try await body(machine)
        } catch {
            await machine.tearDown()
            throw error
        }
        await machine.tearDown()
    }

    private func tearDown() async {
        for id in await runtime.list() {
            try? await runtime.delete(id)
            await node.release(id)
        }
        await node.shutdown()
        try? runtime.uninstall()
        try? RouteSocket().deleteLink(uplink)
        try? outside.delete()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// A sandbox as the lifecycle server makes it: prepared, guarded, started.
    func create(_ id: String, policy: Policy) async throws -> PreparedSandbox {
        let prepared = try await runtime.prepare(
            EngineSpec(id: id, imageRoot: folder + "/image", entrypoint: ["/bin/sleep", "1000"]))
        try await node.protect(id, namespace: NetworkNamespace(existing: prepared.namespacePath), policy: policy)
        try await runtime.start(id)
        return prepared
    }

    /// Runs a shell command by the sandbox's execd; its events as they came.
    func run(_ command: String, in sandbox: PreparedSandbox) async throws -> String {
        let body = #"{"command":\#(String(decoding: try JSONEncoder().encode(command), as: UTF8.self)),"timeout":4000}"#
        let address = try SocketAddress(ipAddress: sandbox.address.description, port: 44772)
        return try await RawClient(address).exchange(
            "POST /command HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
    }
}

@Suite(.serialized) struct GuardedSandboxTests {
    private let deny = Policy(defaultAction: .deny, rules: [try! Rule(action: .allow, text: "one.example")])
    private func echo(_ host: String) -> String { "echo hello | nc -w 3 \(host) 7" }

    @Test func `code in a sandbox reaches what its policy names and nothing else`() async throws {
        try await Machine.run { machine async throws in
            let sandbox = try await machine.create("agent-1", policy: deny)
            let allowed = try await machine.run(echo("one.example"), in: sandbox)
            #expect(allowed.contains(#""text":"hello""#) && allowed.contains("execution_complete"), "\(allowed)")
            for host in ["two.example", "198.51.100.2", "198.51.100.254", "169.254.1.1", "169.254.169.254"] {
                let denied = try await machine.run(echo(host), in: sandbox)
                #expect(!denied.contains("hello") && denied.contains("CommandExecError"), "\(host): \(denied)")
            }
            let other = try await machine.run("nslookup two.example 198.51.100.1", in: sandbox)
            #expect(other.contains("NXDOMAIN"), "\(other)")
        }
    }

    @Test func `a policy is changed while the sandbox runs, and an open connection dies with its name`() async throws {
        try await Machine.run { machine async throws in
            let sandbox = try await machine.create("agent-2", policy: deny)
            // A connection that stays open: what is written to the pipe goes out, and its echo into the file.
            _ = try await machine.run(
                "busybox mkfifo /tmp/in; sleep 100 > /tmp/in & nc one.example 7 < /tmp/in > /tmp/out &", in: sandbox)
            func says(_ word: String) async throws -> Bool {
                _ = try await machine.run("echo \(word) > /tmp/in", in: sandbox)
                return try await eventually { try await machine.run("cat /tmp/out", in: sandbox).contains(word) }
            }
            #expect(try await says("before"))

            try await machine.node.patch("agent-2", [Rule(action: .allow, text: "two.example")])
            #expect(try await machine.run(echo("two.example"), in: sandbox).contains("hello"))
            #expect(try await says("meanwhile"), "another rule's change leaves it alone")
            try await machine.node.removeRules("agent-2", [RuleSelector("one.example")])
            _ = try await machine.run("echo after > /tmp/in", in: sandbox)
            #expect(try await !machine.run(echo("one.example"), in: sandbox).contains("hello"))
            #expect(try await !machine.run("cat /tmp/out", in: sandbox).contains("after"))
            #expect(try await machine.run(echo("two.example"), in: sandbox).contains("hello"), "control")
        }
    }

    @Test func `without a policy the outside is reachable, but no other sandbox and no service of the host`()
        async throws
    {
        try await Machine.run { machine async throws in
            let sandbox = try await machine.create("agent-3", policy: .allowAll)
            let other = try await machine.create("agent-4", policy: .allowAll)
            #expect(try await machine.run(echo("198.51.100.2"), in: sandbox).contains("hello"))
            #expect(try await machine.run(echo("two.example"), in: sandbox).contains("hello"))
            for (host, port) in [(other.address.description, 44772), ("198.51.100.254", 22), ("169.254.1.1", 22)] {
                let refused = try await machine.run("nc -w 1 \(host) \(port) < /dev/null && echo reached", in: sandbox)
                #expect(!refused.contains("reached"), "\(host)")
            }
        }
    }

    @Test func `root in a sandbox cannot undo its guard`() async throws {
        try await Machine.run { machine async throws in
            let sandbox = try await machine.create("agent-5", policy: deny)
            let attempts = [
                "busybox ip link set eth0 down", "busybox ip route add 198.51.100.2 dev eth0", "unshare -n true",
                "unshare -U true",
                "busybox ping -c 1 -W 1 198.51.100.2", "mount -t proc x /tmp",
                "busybox sysctl -w net.ipv4.ip_forward=1",
            ]
            for attempt in attempts {
                let result = try await machine.run(attempt, in: sandbox)
                #expect(result.contains("CommandExecError"), "\(attempt): \(result)")
            }
            // The file is the sandbox's own. Whatever it names, the guard answers.
            _ = try await machine.run("echo nameserver 198.51.100.2 > /etc/resolv.conf", in: sandbox)
            #expect(try await machine.run(echo("one.example"), in: sandbox).contains("hello"), "control: still alive")
            #expect(try await !machine.run(echo("two.example"), in: sandbox).contains("hello"))
        }
    }
}
