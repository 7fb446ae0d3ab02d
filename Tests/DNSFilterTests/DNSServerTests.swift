import NetworkPolicy
import Synchronization
import Testing

@testable import DNSFilter

#if canImport(Glibc)
    import Glibc
#endif

/// Sockets on loopback for tests.
private enum Loopback {
    static func socket(_ kind: __socket_type, blocking: Bool) throws -> (descriptor: CInt, port: UInt16) {
        let flags = blocking ? 0 : Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = Glibc.socket(AF_INET, Int32(kind.rawValue) | flags, 0)
        let any = UpstreamAddress(address: IPAddress("127.0.0.1")!, port: 0)
        let bytes = Sockets.address(any)
        let status = bytes.withUnsafeBytes {
            bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 16)
        }
        try #require(status == 0)
        if kind == SOCK_STREAM { listen(descriptor, 8) }
        var name = [UInt8](repeating: 0, count: 16)
        var length = socklen_t(16)
        _ = name.withUnsafeMutableBytes {
            getsockname(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        return (descriptor, UInt16(name[2]) << 8 | UInt16(name[3]))
    }

    struct ConnectionRefused: Error {}

    static func connect(_ kind: __socket_type, port: UInt16) throws -> CInt {
        let descriptor = Glibc.socket(AF_INET, Int32(kind.rawValue), 0)
        let bytes = Sockets.address(UpstreamAddress(address: IPAddress("127.0.0.1")!, port: port))
        let status = bytes.withUnsafeBytes {
            Glibc.connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 16)
        }
        guard status == 0 else { throw ConnectionRefused() }
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }
}

/// An upstream in a thread of the test: answers what its closure says, over UDP and TCP, and remembers the queries.
private final class Upstream: Sendable {
    let port: UInt16
    private let udp: CInt
    private let tcp: CInt
    private let seen = Mutex<[[UInt8]]>([])

    var queries: [[UInt8]] { seen.withLock { $0 } }

    init(_ respond: @escaping @Sendable (_ query: [UInt8], _ overTCP: Bool) -> [UInt8]?) throws {
        // The same port for both, as a name server has: take UDP's and try TCP on it.
        (udp, port) = try Loopback.socket(SOCK_DGRAM, blocking: true)
        tcp = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let bytes = Sockets.address(UpstreamAddress(address: IPAddress("127.0.0.1")!, port: port))
        _ = bytes.withUnsafeBytes { bind(tcp, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 16) }
        listen(tcp, 8)
        thread { [udp] in self.serveDatagrams(udp, respond) }
        thread { [tcp] in self.serveStreams(tcp, respond) }
    }

    func close() {
        shutdown(udp, Int32(SHUT_RDWR))
        shutdown(tcp, Int32(SHUT_RDWR))
    }

    private func serveDatagrams(_ socket: CInt, _ respond: ([UInt8], Bool) -> [UInt8]?) {
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            var peer = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(socket, &buffer, 2048, 0, $0, &length)
                }
            }
            guard count > 0 else { return }
            let query = Array(buffer[..<count])
            seen.withLock { $0.append(query) }
            guard let answer = respond(query, false) else { continue }
            withUnsafePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = sendto(socket, answer, answer.count, 0, $0, length)
                }
            }
        }
    }

    private func serveStreams(_ listener: CInt, _ respond: ([UInt8], Bool) -> [UInt8]?) {
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { return }
            var buffer = [UInt8](repeating: 0, count: 2048)
            let count = recv(connection, &buffer, 2048, 0)
            if count > 2 {
                let query = Array(buffer[2..<count])
                seen.withLock { $0.append(query) }
                if let answer = respond(query, true).map(StreamBuffer.framed) {
                    send(connection, answer, answer.count, 0)
                }
            }
            Glibc.close(connection)
        }
    }

    private func thread(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Box(body))
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            {
                Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().body(); return nil
            }, box.toOpaque())
        pthread_detach(thread)
    }

    private final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// A sandbox's policy that remembers what it was asked, in order.
private final class Recorder: DNSPolicy {
    enum Step: Hashable { case learned([String]), answered(Int, Int), denied, typeRefused, failed }
    private let evaluator: PolicyEvaluator
    private let steps = Mutex<[Step]>([])
    private let takes: Bool

    init(allow names: [String], takes: Bool = true) throws {
        evaluator = PolicyEvaluator(
            Policy(defaultAction: .deny, rules: try names.map { try Rule(action: .allow, text: $0) }))
        self.takes = takes
    }

    var history: [Step] { steps.withLock { $0 } }
    func verdict(_ name: DomainName, type: UInt16) -> Verdict { evaluator.evaluate(name) }
    func permits(_ address: IPAddress, for name: DomainName) -> Bool {
        AnswerFilter().permits(address, for: name, policy: evaluator)
    }
    func learn(_ addresses: [LearnedAddress], for name: DomainName) -> Bool {
        steps.withLock { $0.append(.learned(addresses.map(\.address.description))) }
        return takes
    }
    func record(_ event: DNSEvent) {
        steps.withLock { steps in
            switch event.outcome {
            case .answered(let addresses, let removed): steps.append(.answered(addresses, removed))
            case .denied: steps.append(.denied)
            case .typeRefused: steps.append(.typeRefused)
            case .failed: steps.append(.failed)
            }
        }
    }
}

@Suite struct DNSServerTests {
    private func withServer(
        upstreams: [Upstream], policy: Recorder, timeout: UInt64 = 200,
        _ body: (_ udp: UInt16, _ tcp: UInt16, DNSServer, DNSClient) throws -> Void
    ) throws {
        var configuration = DNSConfiguration(
            upstreams: upstreams.map { UpstreamAddress(address: IPAddress("127.0.0.1")!, port: $0.port) })
        configuration.timeout = timeout
        let server = try DNSServer(configuration: configuration)
        try server.start()
        let (udp, udpPort) = try Loopback.socket(SOCK_DGRAM, blocking: false)
        let (tcp, tcpPort) = try Loopback.socket(SOCK_STREAM, blocking: false)
        let client = server.attach(DNSSockets(udp: [udp], tcp: [tcp]), policy: policy)
        defer {
            server.stop()
            upstreams.forEach { $0.close() }
        }
        try body(udpPort, tcpPort, server, client)
    }

    private func ask(_ port: UInt16, _ query: [UInt8], stream: Bool = false) throws -> [UInt8] {
        let socket = try Loopback.connect(stream ? SOCK_STREAM : SOCK_DGRAM, port: port)
        defer { close(socket) }
        let message = stream ? StreamBuffer.framed(query) : query
        send(socket, message, message.count, 0)
        var buffer = [UInt8](repeating: 0, count: 70000)
        var received: [UInt8] = []
        while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            try #require(count > 0, "no answer")
            received += buffer[..<count]
            if !stream { return received }
            if received.count >= 2, received.count >= 2 + Int(received[0]) << 8 + Int(received[1]) {
                return Array(received[2...])
            }
        }
    }

    private func addresses(_ answer: [UInt8]) throws -> [String] {
        try answer.withUnsafeBytes { try UpstreamResponse($0) }.answers.compactMap { $0.address?.description }
    }

    @Test func `an allowed name is learned and then answered, a denied one goes nowhere`() throws {
        let upstream = try Upstream { query, _ in
            responseBytes(to: query, records: [("a.example", 1, 60, [198, 51, 100, 1])])
        }
        let policy = try Recorder(allow: ["a.example"])
        try withServer(upstreams: [upstream], policy: policy) { (udp, _, _, _) throws in
            #expect(try addresses(ask(udp, queryBytes("A.Example"))) == ["198.51.100.1"])
            #expect(policy.history == [.learned(["198.51.100.1"]), .answered(1, 0)])
            let denied = try ask(udp, queryBytes("secret.evil.example", edns: true))
            #expect(denied[3] & 0xf == 3)
            #expect(String(decoding: denied, as: UTF8.self).contains("policy: denied by default"))
            #expect(policy.history.last == .denied)
        }
        #expect(upstream.queries.count == 1, "the denied name never left")
    }

    @Test func `refused addresses are neither told nor learned`() throws {
        let upstream = try Upstream { query, _ in
            responseBytes(
                to: query,
                records: [("a.example", 1, 60, [169, 254, 169, 254]), ("a.example", 1, 60, [198, 51, 100, 1])])
        }
        let policy = try Recorder(allow: ["a.example"])
        try withServer(upstreams: [upstream], policy: policy) { (udp, _, _, _) throws in
            #expect(try addresses(ask(udp, queryBytes("a.example"))) == ["198.51.100.1"])
            #expect(policy.history == [.learned(["198.51.100.1"]), .answered(1, 1)])
        }
    }

    @Test func `a sandbox is not told what the kernel did not take`() throws {
        let upstream = try Upstream { query, _ in
            responseBytes(to: query, records: [("a.example", 1, 60, [198, 51, 100, 1])])
        }
        let policy = try Recorder(allow: ["a.example"], takes: false)
        try withServer(upstreams: [upstream], policy: policy) { (udp, _, _, _) throws in
            let answer = try ask(udp, queryBytes("a.example"))
            #expect(answer[3] & 0xf == 2)
            #expect(try addresses(answer).isEmpty)
        }
    }

    @Test func `a second question is answered from the cache but learned again`() throws {
        let upstream = try Upstream { query, _ in
            responseBytes(to: query, records: [("a.example", 1, 60, [198, 51, 100, 1])])
        }
        let policy = try Recorder(allow: ["a.example"])
        try withServer(upstreams: [upstream], policy: policy) { (udp, tcp, _, _) throws in
            #expect(try addresses(ask(udp, queryBytes("a.example"))) == ["198.51.100.1"])
            #expect(try addresses(ask(tcp, queryBytes("a.example"), stream: true)) == ["198.51.100.1"])
        }
        #expect(upstream.queries.count == 1)
        #expect(policy.history.filter { $0 == .learned(["198.51.100.1"]) }.count == 2)
    }

    @Test func `a truncated answer is fetched over TCP`() throws {
        let upstream = try Upstream { query, overTCP in
            overTCP
                ? responseBytes(to: query, records: [("a.example", 1, 60, [198, 51, 100, 1])])
                : responseBytes(to: query, truncated: true)
        }
        try withServer(upstreams: [upstream], policy: Recorder(allow: ["a.example"]), timeout: 2000) {
            (udp, _, _, _) throws in
            #expect(try addresses(ask(udp, queryBytes("a.example"))) == ["198.51.100.1"])
        }
        #expect(upstream.queries.count == 2)
    }

    @Test func `a silent upstream is passed over, and silence of all is SERVFAIL`() throws {
        let silent = try Upstream { _, _ in nil }
        let second = try Upstream { query, _ in
            query.contains(UInt8(ascii: "b"))
                ? nil : responseBytes(to: query, records: [("a.example", 1, 60, [198, 51, 100, 1])])
        }
        let policy = try Recorder(allow: ["a.example", "b.example"])
        try withServer(upstreams: [silent, second], policy: policy, timeout: 50) { (udp, _, _, _) throws in
            #expect(try addresses(ask(udp, queryBytes("a.example"))) == ["198.51.100.1"])
            #expect(try ask(udp, queryBytes("b.example"))[3] & 0xf == 2)
            #expect(policy.history.last == .failed)
        }
    }

    @Test func `types that only tunnel are refused and service bindings come without records`() throws {
        let upstream = try Upstream { query, _ in responseBytes(to: query) }
        let policy = try Recorder(allow: ["a.example"])
        try withServer(upstreams: [upstream], policy: policy) { (udp, _, _, _) throws in
            for (type, code) in [(UInt16(10), UInt8(4)), (255, 4), (252, 4), (65, 0), (64, 0)] {
                let answer = try ask(udp, queryBytes("a.example", type: type))
                #expect(answer[3] & 0xf == code && answer[7] == 0, "type \(type)")
            }
        }
        #expect(upstream.queries.isEmpty)
    }

    @Test func `localhost is loopback whatever the policy`() throws {
        try withServer(upstreams: [], policy: Recorder(allow: [])) { (udp, _, _, _) throws in
            #expect(try addresses(ask(udp, queryBytes("localhost"))) == ["127.0.0.1"])
            #expect(try addresses(ask(udp, queryBytes("x.localhost", type: 28))) == ["::1"])
        }
    }

    @Test func `a detached sandbox's sockets are closed`() async throws {
        let server = try DNSServer(configuration: DNSConfiguration(upstreams: []))
        try server.start()
        defer { server.stop() }
        let (tcp, port) = try Loopback.socket(SOCK_STREAM, blocking: false)
        let client = server.attach(DNSSockets(udp: [], tcp: [tcp]), policy: try Recorder(allow: []))
        close(try Loopback.connect(SOCK_STREAM, port: port))
        await withCheckedContinuation { done in server.detach(client) { done.resume() } }
        #expect(throws: (any Error).self) { try Loopback.connect(SOCK_STREAM, port: port) }
    }
}
