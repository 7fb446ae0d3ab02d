import NetworkPolicy
import Synchronization
import System
import Testing

@testable import DNSFilter

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct DNSServerTests {
    private func withServer(
        upstreams: [Upstream], policy: Recorder, timeout: UInt64 = 200,
        _ body: (_ udp: UInt16, _ tcp: UInt16, DNSServer, DNSClient) throws -> Void
    ) throws {
        let filter = try LiveFilter(upstreams.map(\.address), policy: policy) { $0.timeout = timeout }
        defer { upstreams.forEach { $0.close() } }
        try body(filter.udp, filter.tcp, filter.server, filter.client)
    }

    private func ask(_ port: UInt16, _ query: [UInt8], stream: Bool = false) throws -> [UInt8] {
        try LiveFilter.ask(port, query, stream: stream)
    }

    private func addresses(_ answer: [UInt8]) throws -> [String] { try LiveFilter.addresses(answer) }

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

    @Test func `an answer waits for a change of its sandbox's policy, and nobody else's does`() throws {
        let upstream = try Upstream { query, _ in
            responseBytes(to: query, records: [("a.example", 1, 60, [198, 51, 100, 1])])
        }
        defer { upstream.close() }
        let changing = try Recorder(allow: ["a.example"]), other = try Recorder(allow: ["a.example"])
        let filter = try LiveFilter([upstream.address], policy: changing), port = try filter.attach(other)
        #expect(try LiveFilter.addresses(LiveFilter.ask(port, queryBytes("a.example"))) == ["198.51.100.1"])
        changing.isChanging.withLock { $0 = true }
        let socket = try Loopback.connect(SOCK_DGRAM, port: filter.udp)
        defer { close(socket) }
        for identifier in 1...3 {
            let query = queryBytes("a.example", identifier: UInt16(identifier))
            send(socket, query, query.count, 0)
        }
        // Held answers are tried again and again; between two tries the other sandbox has its own.
        for _ in 0..<20 {
            let asked = changing.held.withLock { $0 }
            let end = SystemClock.monotonicMilliseconds() + 10_000
            while changing.held.withLock({ $0 }) < asked + 2, SystemClock.monotonicMilliseconds() < end {
                sched_yield()
            }
            #expect(changing.held.withLock { $0 } >= asked + 2)
            #expect(try LiveFilter.addresses(LiveFilter.ask(port, queryBytes("a.example"))) == ["198.51.100.1"])
        }
        #expect(changing.history.isEmpty, "nothing was learned, nothing answered")
        changing.isChanging.withLock { $0 = false }
        var answered: Set<UInt8> = []
        var buffer = [UInt8](repeating: 0, count: 512)
        while answered.count < 3 {
            let count = recv(socket, &buffer, buffer.count, 0)
            try #require(count > 0)
            #expect(try LiveFilter.addresses(Array(buffer[..<count])) == ["198.51.100.1"])
            answered.insert(buffer[1])
        }
        #expect(answered == [1, 2, 3])
    }

    @Test func `what waited for upstreams says for how long, and what failed says why`() throws {
        let upstream = try Upstream { query, _ in
            let isGood = query[13] | 0x20 == UInt8(ascii: "g")
            return responseBytes(
                to: query, code: isGood ? 0 : 5, records: isGood ? [("g.example", 1, 60, [198, 51, 100, 1])] : [])
        }
        let policy = try Recorder(allow: ["g.example", "b.example"])
        try withServer(upstreams: [upstream], policy: policy) { (udp, _, _, _) throws in
            for name in ["g.example", "g.example", "x.example", "b.example", "b.example"] {
                _ = try ask(udp, queryBytes(name))
            }
        }
        let answered = try #require(policy.times[nil])
        #expect(answered.count == 3 && answered[0] != nil, "forwarded")
        #expect(answered[1] == nil && answered[2] == nil, "from the cache, and denied")
        #expect(policy.times[.code]?.count == 1 && policy.times[.code]?[0] != nil)
        #expect(policy.times[.upstreamError] == [nil], "that it failed a moment ago is remembered")
        let silent = try Recorder(allow: ["g.example"])
        try withServer(upstreams: [], policy: silent) { (udp, _, _, _) throws in
            _ = try ask(udp, queryBytes("g.example"))
        }
        #expect(silent.times[.noUpstreams]?.count == 1)
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
            query[13] | 0x20 == UInt8(ascii: "b")
                ? nil : responseBytes(to: query, records: [("a.example", 1, 60, [198, 51, 100, 1])])
        }
        let policy = try Recorder(allow: ["a.example", "b.example"])
        try withServer(upstreams: [silent, second], policy: policy, timeout: 1500) { (udp, _, _, _) throws in
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

    @Test func `where connections are redirected, one that came by itself is closed and takes nobody's place`() throws {
        let server = try DNSServer(configuration: DNSConfiguration(upstreams: []))
        try server.start()
        defer { server.stop() }
        let (tcp, port) = try Loopback.socket(SOCK_STREAM, blocking: false)
        _ = server.attach(DNSSockets(udp: [], tcp: [tcp], tcpIsRedirected: true), policy: try Recorder(allow: []))
        let socket = try Loopback.connect(SOCK_STREAM, port: port)
        defer { close(socket) }
        var byte: UInt8 = 0
        #expect(recv(socket, &byte, 1, 0) <= 0)
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
