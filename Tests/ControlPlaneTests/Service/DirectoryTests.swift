import HTTPServer
import Ingress
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import SecureAccess
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A directory on a socket of its own, which can go away and come back.
private final class ServedDirectory: Sendable {
    let path = "/tmp/spt-directory-\(UInt32.random(in: 0 ... .max)).sock"
    private let server = Mutex<HTTPServer?>(nil)

    func start(_ routes: RouteTable) async throws {
        let service = DirectoryService(routes: routes, secret: "secret", logger: quiet)
        let server = HTTPServer(
            group: MultiThreadedEventLoopGroup.singleton, logger: quiet, application: service.http)
        try await server.start(on: .unix(path: path, mode: 0o600))
        self.server.withLock { $0 = server }
    }

    func stop() async {
        let server = server.withLock { server in
            defer { server = nil }
            return server
        }
        await server?.shutdown(grace: .zero)
    }

    func follower(secret: String = "secret") -> RemoteDirectory {
        RemoteDirectory(address: DirectoryAddress(.unix(path: path)), secret: secret, logger: quiet)
    }
}

extension RouteTable {
    fileprivate static func sample() -> RouteTable {
        RouteTable(policySocket: "/run/policy.sock", credentialKey: Array("key".utf8))
    }
}

@Suite struct DirectoryTests {
    /// What each says of a port; the follower is given time.
    private func agree(
        _ one: some EndpointDirectory, _ other: some EndpointDirectory, _ ids: [String]
    ) async throws {
        func answers(_ directory: some EndpointDirectory) -> [EndpointLookup] {
            ids.flatMap { id in
                [1, RouteTable.policyPort, RouteTable.execdPort].map { directory.lookup(sandbox: id, port: $0) }
            }
        }
        #expect(try await eventually { answers(one) == answers(other) })
    }

    @Test func `a gateway in another process hears every change, and keeps the last state while the server is away`()
        async throws
    {
        let routes = RouteTable.sample(), served = ServedDirectory()
        var one = Sandbox.sample("one")
        one.secureAccess = true
        routes.set("one", one)
        let remote = served.follower()
        let following = Task { await remote.follow() }
        defer { following.cancel() }
        // Before there was a state, nothing is known of anything.
        #expect(remote.lookup(sandbox: "one", port: 1) == .unavailable && !remote.isReady)
        try await served.start(routes)
        try await agree(routes, remote, ["one", "two"])
        #expect(remote.isReady && remote.lookup(sandbox: "two", port: 1) == .unknown)
        for revocations in 1...50 {
            one.revocations = UInt64(revocations)
            routes.set("one", one)
        }
        routes.set("two", .sample("two"))
        try await agree(routes, remote, ["one", "two"])
        one.status.state = .paused
        routes.set("one", one)
        try await agree(routes, remote, ["one", "two"])
        await served.stop()
        #expect(remote.lookup(sandbox: "two", port: 1) == routes.lookup(sandbox: "two", port: 1))
        routes.set("two", nil)
        #expect(remote.lookup(sandbox: "two", port: 1) != .unknown)
        // The server comes back, on the same stream and then as another process with another one.
        try await served.start(routes)
        try await agree(routes, remote, ["one", "two"])
        await served.stop()
        let restarted = RouteTable.sample()
        restarted.set("three", .sample("three"))
        try await served.start(restarted)
        try await agree(restarted, remote, ["one", "two", "three"])
        await served.stop()
    }

    @Test func `the directory tells nothing without its secret`() async throws {
        let routes = RouteTable.sample(), served = ServedDirectory()
        routes.set("one", .sample("one"))
        try await served.start(routes)
        let address = try SocketAddress(unixDomainSocketPath: served.path)
        for line in ["", "Authorization: Bearer wrong\r\n", "Authorization: secret\r\n"] {
            let answer = try await RawClient(address).exchange(
                "GET /v1/directory HTTP/1.1\r\nHost: h\r\n\(line)Connection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 401 ") && !answer.contains("one"))
        }
        let stranger = served.follower(secret: "wrong")
        let following = Task { await stranger.follow() }
        try await Task.sleep(for: .milliseconds(200))
        #expect(stranger.lookup(sandbox: "one", port: 1) == .unavailable)
        following.cancel()
        await served.stop()
    }

    @Test func `a revocation, a deletion and a new life end what was open, in both processes`() async throws {
        let routes = RouteTable.sample(), served = ServedDirectory(), remote = served.follower()
        let heard = Mutex<[[EndedAccess]]>([[], []])
        routes.whenAccessEnds { access in heard.withLock { $0[0].append(access) } }
        remote.whenAccessEnds { access in heard.withLock { $0[1].append(access) } }
        try await served.start(routes)
        let following = Task { await remote.follow() }
        defer { following.cancel() }
        var sandbox = Sandbox.sample("s")
        routes.set("s", sandbox)
        try await agree(routes, remote, ["s"])
        sandbox.expiresAt = .now()
        routes.set("s", sandbox)
        sandbox.revocations = 1
        routes.set("s", sandbox)
        let first = sandbox
        sandbox.createdAt = sandbox.createdAt.adding(seconds: 1)
        routes.set("s", sandbox)
        sandbox.status.state = .stopping
        routes.set("s", sandbox)
        routes.set("s", nil)
        let expected = [
            EndedAccess(incarnation: first.incarnation, epoch: first.accessEpoch),
            EndedAccess(incarnation: first.incarnation), EndedAccess(incarnation: sandbox.incarnation),
        ]
        #expect(try await eventually { heard.withLock { $0 == [expected, expected] } })
        await served.stop()
    }
}
