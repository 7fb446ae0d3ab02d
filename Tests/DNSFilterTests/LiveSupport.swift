import Addresses
import NetworkPolicy
import Synchronization
import System
import Testing

@testable import DNSFilter

#if canImport(Glibc)
    import Glibc
#endif

/// Sockets on loopback for tests.
enum Loopback {
    static func socket(_ kind: __socket_type, blocking: Bool, port: UInt16 = 0, host: String = "127.0.0.1") throws -> (
        descriptor: CInt, port: UInt16
    ) {
        let flags = blocking ? 0 : Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = Glibc.socket(AF_INET, Int32(kind.rawValue) | flags, 0)
        try #require(RawSocketAddress(IPAddress(host)!, port: port).bind(descriptor) == 0)
        if kind == SOCK_STREAM { listen(descriptor, 8) }
        var name = [UInt8](repeating: 0, count: 16)
        var length = socklen_t(16)
        _ = name.withUnsafeMutableBytes {
            getsockname(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        return (descriptor, UInt16(name[2]) << 8 | UInt16(name[3]))
    }

    struct ConnectionRefused: Error {}

    /// An address of loopback that no other test has: a port there is free until its test takes it.
    static func host() -> String {
        "127.\(Int.random(in: 1...254)).\(Int.random(in: 0...255)).\(Int.random(in: 1...254))"
    }

    static func connect(_ kind: __socket_type, port: UInt16, host: String = "127.0.0.1") throws -> CInt {
        let descriptor = Glibc.socket(AF_INET, Int32(kind.rawValue), 0)
        guard RawSocketAddress(IPAddress(host)!, port: port).connect(descriptor) == 0 else { throw ConnectionRefused() }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }
}

/// An upstream in a thread of the test: answers what its closure says, over UDP and TCP, and remembers the queries.
final class Upstream: Sendable {
    let port: UInt16
    private let udp: CInt
    private let tcp: CInt
    private let seen = Mutex<[[UInt8]]>([])

    private let streams = Mutex(0)

    private let listener = Mutex<(@Sendable (UInt16) -> Void)?>(nil)

    /// Hears from which port each datagram came, before it is answered.
    func whenAsked(_ body: @escaping @Sendable (UInt16) -> Void) { listener.withLock { $0 = body } }

    var queries: [[UInt8]] { seen.withLock { $0 } }
    /// TCP connections that were made to it.
    var connections: Int { streams.withLock { $0 } }
    var address: UpstreamAddress { UpstreamAddress(address: IPAddress("127.0.0.1")!, port: port) }

    convenience init(
        host: String = "127.0.0.1", port: UInt16 = 0,
        _ respond: @escaping @Sendable (_ query: [UInt8], _ overTCP: Bool) -> [UInt8]?
    ) throws {
        try self.init(host: host, port: port, many: { query, overTCP in respond(query, overTCP).map { [$0] } ?? [] })
    }

    /// Several answers to one query, or none.
    init(
        host: String = "127.0.0.1", port wanted: UInt16 = 0,
        many respond: @escaping @Sendable (_ query: [UInt8], _ overTCP: Bool) -> [[UInt8]]
    ) throws {
        // The same port for both, as a name server has: take UDP's and try TCP on it until nobody else has it.
        var found: (udp: CInt, tcp: CInt, port: UInt16)?
        for _ in 0..<50 where found == nil {
            let (udp, port) = try Loopback.socket(SOCK_DGRAM, blocking: true, port: wanted, host: host)
            let tcp = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            if RawSocketAddress(IPAddress(host)!, port: port).bind(tcp) == 0 {
                found = (udp, tcp, port)
            } else {
                Glibc.close(udp)
                Glibc.close(tcp)
            }
        }
        (udp, tcp, port) = try #require(found)
        listen(tcp, 8)
        thread { [udp] in self.serveDatagrams(udp, respond) }
        thread { [tcp] in self.serveStreams(tcp, respond) }
    }

    func close() {
        shutdown(udp, Int32(SHUT_RDWR))
        shutdown(tcp, Int32(SHUT_RDWR))
    }

    private func serveDatagrams(_ socket: CInt, _ respond: ([UInt8], Bool) -> [[UInt8]]) {
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
            let from = withUnsafeBytes(of: &peer) { UInt16($0[2]) << 8 | UInt16($0[3]) }
            listener.withLock { $0 }?(from)
            for answer in respond(query, false) {
                withUnsafePointer(to: &peer) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        _ = sendto(socket, answer, answer.count, 0, $0, length)
                    }
                }
            }
        }
    }

    private func serveStreams(_ listener: CInt, _ respond: ([UInt8], Bool) -> [[UInt8]]) {
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { return }
            streams.withLock { $0 += 1 }
            var buffer = [UInt8](repeating: 0, count: 2048)
            var received = StreamBuffer()
            while true {
                let count = recv(connection, &buffer, 2048, 0)
                guard count > 0 else { break }
                buffer[..<count].withUnsafeBytes { received.append($0) }
                while let query = received.next() {
                    seen.withLock { $0.append(query) }
                    for answer in respond(query, true).map(StreamBuffer.framed) {
                        send(connection, answer, answer.count, Int32(MSG_NOSIGNAL))
                    }
                }
            }
            Glibc.close(connection)
        }
    }

    private func thread(_ body: @escaping @Sendable () -> Void) { TestThread.start(body) }
}

/// A thread for what blocks.
enum TestThread {
    static func start(_ body: @escaping @Sendable () -> Void) {
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
final class Recorder: DNSPolicy {
    enum Step: Hashable { case learned([String]), answered(Int, Int), denied, typeRefused, failed }
    private let evaluator: PolicyEvaluator
    private let steps = Mutex<[Step]>([])
    private let takes: Bool

    init(allow names: [String], takes: Bool = true) throws {
        evaluator = PolicyEvaluator(
            Policy(defaultAction: .deny, rules: try names.map { try Rule(action: .allow, text: $0) }))
        self.takes = takes
    }

    private let told = Mutex<[String]>([])
    private let waited = Mutex<[DNSFailure?: [UInt64?]]>([:])

    /// Why queries failed.
    var reasons: [String] { told.withLock { $0 } }
    /// By failure, nil of what did not fail: milliseconds that upstreams took, nil where none was asked.
    var times: [DNSFailure?: [UInt64?]] { waited.withLock { $0 } }
    var history: [Step] { steps.withLock { $0 } }
    func refusal(_ name: DomainName, type: UInt16) -> Verdict? {
        let verdict = evaluator.evaluate(name)
        return verdict.isAllowed ? nil : verdict
    }
    func permits(_ address: IPAddress, for name: DomainName) -> Bool {
        AnswerFilter().permits(address, for: name, policy: evaluator)
    }
    func learn(_ addresses: [LearnedAddress], for name: DomainName) -> Learning {
        if isChanging.withLock({ $0 }) {
            held.withLock { $0 += 1 }
            return .later
        }
        steps.withLock { $0.append(.learned(addresses.map(\.address.description))) }
        return takes ? .opened : .withheld
    }

    /// Whether a change of the policy is being carried out.
    let isChanging = Mutex(false)
    /// How often it was asked meanwhile.
    let held = Mutex(0)
    func record(_ event: DNSEvent) {
        var failure: DNSFailure?
        if case .failed(let kind, let reason) = event.outcome {
            failure = kind
            told.withLock { $0.append(reason) }
        }
        waited.withLock { $0[failure, default: []].append(event.forwardTime) }
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

/// A running filter with one sandbox.
final class LiveFilter {
    let server: DNSServer
    let client: DNSClient
    let udp: UInt16
    let tcp: UInt16

    init(
        _ upstreams: [UpstreamAddress], policy: Recorder, _ change: (inout DNSConfiguration) -> Void = { _ in }
    ) throws {
        var configuration = DNSConfiguration(upstreams: upstreams)
        configuration.timeout = 400
        change(&configuration)
        server = try DNSServer(configuration: configuration)
        try server.start()
        let (datagrams, udp) = try Loopback.socket(SOCK_DGRAM, blocking: false)
        let (streams, tcp) = try Loopback.socket(SOCK_STREAM, blocking: false)
        (self.udp, self.tcp) = (udp, tcp)
        client = server.attach(DNSSockets(udp: [datagrams], tcp: [streams]), policy: policy)
    }

    deinit { server.stop() }

    /// Another sandbox at the same filter; its UDP port.
    func attach(_ policy: Recorder) throws -> UInt16 {
        let (datagrams, port) = try Loopback.socket(SOCK_DGRAM, blocking: false)
        _ = server.attach(DNSSockets(udp: [datagrams], tcp: []), policy: policy)
        return port
    }

    static func ask(_ port: UInt16, _ query: [UInt8], stream: Bool = false) throws -> [UInt8] {
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

    func ask(_ name: String, type: UInt16 = 1) throws -> [UInt8] {
        try Self.ask(udp, queryBytes(name, type: type, edns: true))
    }

    func addresses(of name: String) throws -> [String] { try Self.addresses(ask(name)) }

    static func addresses(_ answer: [UInt8]) throws -> [String] {
        try answer.withUnsafeBytes { try UpstreamResponse($0) }.answers.compactMap { $0.address?.description }
    }
}
