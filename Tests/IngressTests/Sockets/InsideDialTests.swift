import FoundationEssentials
import Ingress
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import SecureAccess
import TestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Stands for a sandbox's inside: dials a server of the test's, by incarnation.
private final class TestDialer: InsideDialer {
    struct State {
        var servers: [String: SocketAddress] = [:]
        var asked: [String] = []
    }
    let state = NIOLockedValueBox(State())
    var asked: [String] { state.withLockedValue { $0.asked } }
    /// Called with each dial before it is made.
    let before: @Sendable (String) -> Void

    init(before: @escaping @Sendable (String) -> Void = { _ in }) { self.before = before }

    func set(_ incarnation: String, _ address: SocketAddress) {
        state.withLockedValue { $0.servers[incarnation] = address }
    }

    func dial(inside incarnation: String, port: Int, on loop: any EventLoop) -> EventLoopFuture<CInt> {
        let address = state.withLockedValue { state in
            state.asked.append("\(incarnation) \(port)")
            return state.servers[incarnation]
        }
        before(incarnation)
        guard let address else {
            return loop.makeFailedFuture(IOError(errnoCode: ECONNREFUSED, reason: "connect"))
        }
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let status = address.withSockAddr { Glibc.connect(descriptor, $0, socklen_t($1)) }
        return status == 0
            // Behind whatever has been asked of the loop before.
            ? loop.submit { descriptor }
            : loop.makeFailedFuture(IOError(errnoCode: errno, reason: "connect"))
    }
}

@Suite struct InsideDialTests {
    private func get(_ id: String) -> String {
        "GET / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: \(id)-80\r\n\r\n"
    }

    private func with<Result: Sendable>(
        _ directory: TestDirectory, _ dialer: (any InsideDialer)?,
        _ body: @Sendable (SocketAddress) async throws -> Result
    ) async throws -> Result {
        var configuration = GatewayConfiguration()
        (configuration.host, configuration.port, configuration.limits) = ("127.0.0.1", 0, .patient)
        // One event loop, so that it is known whose pool is asked.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let gateway = Gateway(
            configuration: configuration, directory: directory, group: group, dialer: dialer, logger: Logger(label: "t")
        )
        let result = try await body(try await gateway.start())
        await gateway.shutdown(grace: .zero)
        try await group.shutdownGracefully()
        return result
    }

    /// Nothing listens there.
    private static let closed = try! SocketAddress(ipAddress: "127.0.0.1", port: 1)

    @Test func `a sandbox whose address refuses is dialled inside, once for many requests`() async throws {
        let one = try await ScriptedBackend.answering("one"), two = try await ScriptedBackend.answering("two")
        let directory = TestDirectory(), dialer = TestDialer()
        directory.set("a", at: Self.closed, incarnation: "a1")
        dialer.set("a1", one.address)
        dialer.set("a2", two.address)
        try await with(directory, dialer) { address in
            let requests = get("a") + get("a") + get("a")
            let answer = try await RawClient(address).exchange(requests) {
                $0.components(separatedBy: "one").count == 4
            }
            #expect(answer.hasSuffix("one") && dialer.asked == ["a1 1"] && one.connections == 1)
            // Another sandbox has the address now: nothing of the first is used.
            directory.set("a", at: Self.closed, incarnation: "a2")
            let other = try await RawClient(address).exchange(get("a")) { $0.hasSuffix("two") }
            #expect(other.hasSuffix("two") && dialer.asked == ["a1 1", "a2 1"])
        }
        await one.close()
        await two.close()
    }

    @Test func `where the inside refuses, too, nothing is there`() async throws {
        let directory = TestDirectory(), dialer = TestDialer()
        directory.set("a", at: Self.closed, incarnation: "a1")
        try await with(directory, dialer) { address in
            let answer = try await RawClient(address).exchange(get("a")) { $0.hasSuffix("}") }
            #expect(answer.hasPrefix("HTTP/1.1 502 ") && answer.contains("BACKEND_CONNECTION_FAILED"))
            #expect(!answer.contains("0.0.0.0") && dialer.asked == ["a1 1"])
        }
    }

    @Test func `without a way inside the answer says where to listen`() async throws {
        let directory = TestDirectory()
        directory.set("a", at: Self.closed)
        try await with(directory, nil) { address in
            let answer = try await RawClient(address).exchange(get("a")) { $0.hasSuffix("}") }
            #expect(answer.hasPrefix("HTTP/1.1 502 ") && answer.contains("listen on 0.0.0.0"))
        }
    }

    @Test func `an access that ends while its connection is made is not served`() async throws {
        let backend = try await ScriptedBackend.answering("late")
        let directory = TestDirectory()
        let dialer = TestDialer { _ in directory.end(EndedAccess(incarnation: "a1")) }
        directory.set("a", at: Self.closed, incarnation: "a1")
        dialer.set("a1", backend.address)
        try await with(directory, dialer) { address in
            let answer = try await RawClient(address).exchange(get("a")) { $0.hasSuffix("}") }
            #expect(!answer.contains("late") && answer.hasPrefix("HTTP/1.1 502 "))
        }
        await backend.close()
    }
}
