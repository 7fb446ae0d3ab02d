import Addresses
import NetworkPolicy
import Synchronization
import System
import Testing

@testable import DNSFilter

#if canImport(Glibc)
    import Glibc
#endif

/// Upstreams that lie, fall silent or die, on loopback. 198.51.100.1 is the truth, 198.51.100.66 the lie.
@Suite struct LyingUpstreamTests {
    private static let truth: [(String, UInt16, UInt32, [UInt8])] = [("a.example", 1, 60, [198, 51, 100, 1])]
    private static let lie: [(String, UInt16, UInt32, [UInt8])] = [("a.example", 1, 60, [198, 51, 100, 66])]

    /// An upstream that says a lie of this kind before each truth.
    private func believed(_ lies: @escaping @Sendable ([UInt8]) -> [[UInt8]]) throws -> ([String], ignored: UInt64) {
        let upstream = try Upstream(many: { query, _ in lies(query) + [responseBytes(to: query, records: Self.truth)] })
        defer { upstream.close() }
        let policy = try Recorder(allow: ["a.example"])
        let filter = try LiveFilter([upstream.address], policy: policy)
        let told = try filter.addresses(of: "a.example")
        #expect(!policy.history.contains(.learned(["198.51.100.66"])), "a lie was learned")
        // The counters are published at the end of a turn of the loop.
        _ = try filter.ask("localhost")
        return (told, filter.server.statistics.ignoredResponses)
    }

    @Test func `a wrong number is not believed`() throws {
        let (told, ignored) = try believed { query in
            (1...5).map { number in
                var lie = responseBytes(to: query, records: Self.lie)
                lie[1] &+= UInt8(number)
                return lie
            }
        }
        #expect(told == ["198.51.100.1"] && ignored >= 5)
    }

    @Test func `a wrong question is not believed`() throws {
        let (told, _) = try believed { query in
            var type = responseBytes(to: query, records: Self.lie)
            type[24] = 28
            let name = responseBytes(to: queryBytes("b.example", identifier: identifier(query)), records: Self.lie)
            return [type, name]
        }
        #expect(told == ["198.51.100.1"])
    }

    @Test func `garbage is not believed and kills nothing`() throws {
        var random = SystemRandomNumberGenerator()
        let noise: [[UInt8]] = (0..<20).map { _ in
            (0..<Int.random(in: 0...600, using: &random)).map { _ in .random(in: 0...255, using: &random) }
        }
        let (told, _) = try believed { query in
            noise + noise.map { query[..<2] + [0x81, 0x80] + $0 } + [Array(query[..<12]), query]
        }
        #expect(told == ["198.51.100.1"])
    }

    @Test func `the wrong case is not believed, and a stream tells the truth`() throws {
        let upstream = try Upstream { query, overTCP in
            var answer = responseBytes(to: query, records: overTCP ? Self.truth : Self.lie)
            if !overTCP { for index in 13..<22 where answer[index] > 64 { answer[index] ^= 0x20 } }
            return answer
        }
        defer { upstream.close() }
        let policy = try Recorder(allow: ["a.example"])
        let filter = try LiveFilter([upstream.address], policy: policy) { $0.timeout = 5000 }
        #expect(try filter.addresses(of: "a.example") == ["198.51.100.1"])
        #expect(policy.history.first == .learned(["198.51.100.1"]))
    }

    @Test func `an upstream that keeps no case is asked over TCP once and by datagram from then on`() throws {
        let upstream = try Upstream { query, _ in
            var answer = responseBytes(to: query, records: Self.truth.map { (Self.name(query), $0.1, $0.2, $0.3) })
            for index in 12..<answer.count where (65...90).contains(answer[index]) { answer[index] |= 0x20 }
            return answer
        }
        defer { upstream.close() }
        let filter = try LiveFilter(
            [upstream.address], policy: try Recorder(allow: ["*.example"])
        ) { $0.timeout = 5000 }
        for name in ["lettersofaname.example", "anothernameofletters.example", "c.example"] {
            #expect(try filter.addresses(of: name) == ["198.51.100.1"])
        }
        #expect(upstream.queries.count == 4 && upstream.connections == 1)
    }

    @Test func `the wrong source port is not believed`() throws {
        let (liar, _) = try Loopback.socket(SOCK_DGRAM, blocking: true)
        defer { close(liar) }
        let filterPorts = Mutex<[UInt16]>([])
        let upstream = try Upstream { query, _ in
            // The filter's own port hears the lie, but from another one than the upstream's.
            for port in filterPorts.withLock({ $0 }) {
                let lie = responseBytes(to: query, records: Self.lie)
                _ = RawSocketAddress(IPAddress("127.0.0.1")!, port: port).withPointer {
                    sendto(liar, lie, lie.count, 0, $0, $1)
                }
            }
            usleep(20_000)
            return responseBytes(to: query, records: Self.truth)
        }
        defer { upstream.close() }
        upstream.whenAsked { port in filterPorts.withLock { $0 = [port] } }
        let policy = try Recorder(allow: ["a.example"])
        let filter = try LiveFilter([upstream.address], policy: policy)
        #expect(try filter.addresses(of: "a.example") == ["198.51.100.1"])
        #expect(filterPorts.withLock { !$0.isEmpty }, "the lie was told")
    }

    @Test func `a lie that is truncated leads to a stream, where the truth is`() throws {
        let upstream = try Upstream { query, overTCP in
            overTCP
                ? responseBytes(to: query, records: Self.truth)
                : responseBytes(to: query, truncated: true, records: Self.lie)
        }
        defer { upstream.close() }
        let policy = try Recorder(allow: ["a.example"])
        let filter = try LiveFilter([upstream.address], policy: policy) { $0.timeout = 5000 }
        #expect(try filter.addresses(of: "a.example") == ["198.51.100.1"])
        #expect(!policy.history.contains(.learned(["198.51.100.66"])))
    }

    @Test func `a delayed duplicate of an old answer is not believed for a new question`() throws {
        let old = Mutex<[UInt8]>([])
        let upstream = try Upstream(many: { query, _ in
            let before = old.withLock { $0 }
            old.withLock { $0 = responseBytes(to: query, records: Self.lie.map { ($0.0, $0.1, 0, $0.3) }) }
            // Never kept, so that the same name is asked for again: once with the old answer first.
            return before.isEmpty
                ? [responseBytes(to: query, records: Self.truth.map { ($0.0, $0.1, 0, $0.3) })]
                : [before, before, responseBytes(to: query, records: Self.truth)]
        })
        defer { upstream.close() }
        let filter = try LiveFilter([upstream.address], policy: try Recorder(allow: ["a.example"]))
        for _ in 0..<2 { #expect(try filter.addresses(of: "a.example") == ["198.51.100.1"]) }
        #expect(upstream.queries.count == 2)
    }

    @Test func `numbers, ports and spelling of queries are spread`() throws {
        let ports = Mutex<Set<UInt16>>([])
        let upstream = try Upstream { query, _ in
            responseBytes(to: query, records: [(Self.name(query), 1, 60, [198, 51, 100, 1])])
        }
        upstream.whenAsked { port in _ = ports.withLock { $0.insert(port) } }
        defer { upstream.close() }
        let filter = try LiveFilter([upstream.address], policy: try Recorder(allow: ["*.example"])) {
            $0.timeout = 5000
        }
        for number in 0..<64 { _ = try filter.ask("name\(number).example") }
        #expect(Set(upstream.queries.map(identifier)).count >= 60)
        #expect(Set(upstream.queries.map { Array($0[13..<17]) }).count >= 8)
        #expect(ports.withLock { $0.count } == UpstreamPorts.width)
    }

    @Test func `a dead upstream costs nothing after a few questions, and is used again when it is back`() throws {
        // Nobody listens there: the kernel refuses.
        let host = Loopback.host(), port: UInt16 = 5300
        let second = try Upstream { query, _ in
            responseBytes(to: query, records: [(Self.name(query), 1, 60, [198, 51, 100, 2])])
        }
        defer { second.close() }
        let dead = UpstreamAddress(address: IPAddress(host)!, port: port)
        let filter = try LiveFilter([dead, second.address], policy: try Recorder(allow: ["*.example"])) {
            $0.timeout = 5000
            $0.probeInterval = 20
        }
        for number in 0..<8 { #expect(try filter.addresses(of: "n\(number).example") == ["198.51.100.2"]) }
        let back = try Upstream(host: host, port: port) { query, _ in
            responseBytes(to: query, records: [(Self.name(query), 1, 60, [198, 51, 100, 1])])
        }
        defer { back.close() }
        var isBack = false
        for number in 0..<500 where !isBack {
            isBack = try filter.addresses(of: "m\(number).example") == ["198.51.100.1"]
            usleep(10_000)
        }
        #expect(isBack, "a probe has found it")
    }

    @Test func `unreachable upstreams are told from silent ones`() throws {
        let policy = try Recorder(allow: ["a.example", "b.example"])
        let dead = try LiveFilter([UpstreamAddress(address: IPAddress(Loopback.host())!)], policy: policy)
        #expect(try extendedError(dead.ask("a.example")) == 23)
        #expect(try extendedError(dead.ask("a.example")) == 13, "the failure is remembered for a moment")
        let silent = try Upstream { _, _ in nil }
        defer { silent.close() }
        let waiting = try LiveFilter([silent.address], policy: policy) { $0.timeout = 100 }
        #expect(try extendedError(waiting.ask("a.example")) == 22)
    }

    @Test func `a cached answer passes every sandbox's own policy and filter and is learned by each`() throws {
        let upstream = try Upstream { query, _ in responseBytes(to: query, records: Self.truth) }
        defer { upstream.close() }
        let first = try Recorder(allow: ["a.example"]), second = try Recorder(allow: ["a.example"])
        let stranger = try Recorder(allow: ["b.example"]), unlucky = try Recorder(allow: ["a.example"], takes: false)
        let filter = try LiveFilter([upstream.address], policy: first)
        #expect(try filter.addresses(of: "a.example") == ["198.51.100.1"])
        #expect(try LiveFilter.addresses(LiveFilter.ask(filter.attach(second), queryBytes("a.example"))).count == 1)
        #expect(second.history.first == .learned(["198.51.100.1"]))
        #expect(try LiveFilter.ask(filter.attach(stranger), queryBytes("a.example"))[3] & 0xf == 3)
        #expect(stranger.history == [.denied])
        #expect(try LiveFilter.ask(filter.attach(unlucky), queryBytes("a.example"))[3] & 0xf == 2)
        #expect(upstream.queries.count == 1)
    }

    @Test func `a name that does not exist is asked for once, and its SOA goes along`() throws {
        let upstream = try Upstream { query, _ in
            var bytes = responseBytes(to: query, code: 3)
            bytes[9] = 1
            bytes += DomainName.example.wire
            bytes += [0, 6, 0, 1, 0, 0, 1, 44, 0, 24, 1, 97, 0, 0]
            bytes += [UInt8](repeating: 0, count: 19)
            bytes += [60]
            return bytes
        }
        defer { upstream.close() }
        let filter = try LiveFilter([upstream.address], policy: try Recorder(allow: ["no.example"]))
        for _ in 0..<3 {
            let answer = try filter.ask("no.example").withUnsafeBytes { try UpstreamResponse($0) }
            #expect(answer.code == 3 && answer.authority?.type == 6)
            #expect((55...60).contains(answer.authority?.ttl ?? 0))
        }
        #expect(upstream.queries.count == 1)
    }

    @Test func `many truncated answers share few streams`() throws {
        let upstream = try Upstream { query, overTCP in
            overTCP
                ? responseBytes(to: query, records: [(Self.name(query), 1, 60, [198, 51, 100, 1])])
                : responseBytes(to: query, truncated: true)
        }
        defer { upstream.close() }
        let filter = try LiveFilter([upstream.address], policy: try Recorder(allow: ["*.example"])) {
            $0.timeout = 10_000
        }
        for number in 0..<40 { #expect(try filter.addresses(of: "n\(number).example").count == 1) }
        #expect(upstream.connections <= UpstreamStream.maxPerUpstream)
    }

    @Test func `a large answer is cut for a datagram and whole over TCP`() throws {
        let upstream = try Upstream { query, _ in
            responseBytes(to: query, records: (0..<100).map { ("a.example", 1, 60, [198, 51, 100, UInt8($0)]) })
        }
        defer { upstream.close() }
        let filter = try LiveFilter([upstream.address], policy: try Recorder(allow: ["a.example"]))
        for (query, limit) in [(queryBytes("a.example"), 512), (queryBytes("a.example", edns: true), 1232)] {
            let cut = try LiveFilter.ask(filter.udp, query)
            #expect(cut[2] & 2 != 0 && cut.count <= limit)
        }
        #expect(
            try LiveFilter.addresses(LiveFilter.ask(filter.tcp, queryBytes("a.example"), stream: true)).count == 100)
    }

    @Test func `a denial is REFUSED where the setting says so`() throws {
        let filter = try LiveFilter([], policy: try Recorder(allow: [])) { $0.refusal = .refused }
        let answer = try filter.ask("a.example")
        #expect(answer[3] & 0xf == 5)
        #expect(try extendedError(answer) == 15)
    }

    // MARK: Reading

    static func name(_ query: [UInt8]) -> String {
        let end = query[12...].firstIndex(of: 0)!
        // The root, which probes ask for, has no text.
        return (try? DomainName(wire: Array(query[12...end])))?.description ?? "root.example"
    }

    /// The code of the Extended DNS Error in an answer without records: behind the OPT record's eleven bytes.
    private func extendedError(_ answer: [UInt8]) throws -> UInt16? {
        let question = 12 + (answer[12...].firstIndex(of: 0)! - 12) + 5
        let option = question + 11
        guard answer.count >= option + 6, answer[option + 1] == 15 else { return nil }
        return UInt16(answer[option + 4]) << 8 | UInt16(answer[option + 5])
    }
}

extension DomainName {
    fileprivate static let example = try! DomainName("example")
}

private func identifier(_ query: [UInt8]) -> UInt16 { UInt16(query[0]) << 8 | UInt16(query[1]) }
