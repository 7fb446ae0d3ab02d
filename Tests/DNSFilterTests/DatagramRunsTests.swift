import NetworkPolicy
import Testing

@testable import DNSFilter

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct DatagramRunsTests {
    private func runs(_ datagrams: [(recipient: String, length: Int)]) -> [[UInt16]] {
        var runs = DatagramRuns<String>(capacity: datagrams.count)
        for (slot, datagram) in datagrams.enumerated() {
            runs.add(UInt16(slot), to: datagram.recipient, length: datagram.length)
        }
        runs.arrange()
        return (0..<runs.count).map { Array(runs.slots(of: $0)) }
    }

    @Test func `what is equally long and for one recipient leaves together, in its order`() {
        #expect(runs([]).isEmpty)
        #expect(runs([("a", 40), ("b", 40), ("a", 41), ("a", 40), ("b", 40)]) == [[0, 3], [1, 4], [2]])
    }

    @Test func `a run holds what the kernel takes in one packet`() {
        #expect(runs(Array(repeating: ("a", 40), count: 70)).map(\.count) == [64, 6])
        #expect(runs(Array(repeating: ("a", 1232), count: 60)).map(\.count) == [53, 7])
    }

    @Test func `each datagram is in one run, and a run has one recipient and one length`() {
        var random = SeededGenerator()
        for _ in 0..<200 {
            let datagrams = (0..<Int.random(in: 0...64, using: &random)).map { _ in
                (
                    recipient: String(Int.random(in: 0...20, using: &random)),
                    length: Int.random(in: 40...42, using: &random)
                )
            }
            let runs = runs(datagrams)
            #expect(runs.joined().sorted() == datagrams.indices.map { UInt16($0) })
            for run in runs {
                #expect(run == run.sorted())
                #expect(Set(run.map { datagrams[Int($0)].recipient }).count == 1)
                #expect(Set(run.map { datagrams[Int($0)].length }).count == 1)
            }
        }
    }

    /// `SO_NO_CHECK`: without checksums the kernel refuses to cut a packet up.
    @Test(arguments: [false, true])
    func `every answer arrives by itself, also where the kernel does not carry several together`(isRefused: Bool) throws
    {
        let (server, port) = try Loopback.socket(SOCK_DGRAM, blocking: false)
        defer { close(server) }
        if isRefused {
            var flag: CInt = 1
            setsockopt(server, SOL_SOCKET, SO_NO_CHECK, &flag, socklen_t(MemoryLayout<CInt>.size))
        }
        let clients = try (0..<2).map { _ in try Loopback.connect(SOCK_DGRAM, port: port) }
        defer { clients.forEach { close($0) } }
        let batch = try #require(ReplyBatch())
        for client in clients {
            send(client, "?", 1, 0)
            var peer = [UInt8](repeating: 0, count: 16)
            var length = socklen_t(peer.count), byte: UInt8 = 0
            let count = peer.withUnsafeMutableBytes {
                recvfrom(server, &byte, 1, 0, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
            }
            try #require(count == 1)
            for number in UInt8(0)..<70 {
                let answer = [number] + [UInt8](repeating: 7, count: number < 60 ? 50 : 500)
                batch.add(answer, to: peer.withUnsafeBytes { DatagramPeer($0) }, by: server)
            }
        }
        batch.flush()
        #expect(batch.isEmpty)
        for client in clients {
            var seen: [UInt8: Int] = [:]
            for _ in 0..<70 {
                var buffer = [UInt8](repeating: 0, count: 2048)
                let count = recv(client, &buffer, buffer.count, 0)
                seen[buffer[0]] = count
            }
            #expect(seen.count == 70)
            #expect(seen.allSatisfy { $0.value == ($0.key < 60 ? 51 : 501) })
        }
    }

    private func transmission(_ place: Int32) throws -> Transmission {
        Transmission(
            key: CacheKey(name: try DomainName("n\(place).example"), type: 1), upstream: 0, identifier: UInt16(place),
            spelling: 0, overTCP: false, place: place, attempt: 0)
    }

    @Test(arguments: [false, true])
    func `every query goes upstream by its own socket`(isRefused: Bool) throws {
        let (upstream, port) = try Loopback.socket(SOCK_DGRAM, blocking: false)
        let sockets = try (0..<2).map { _ in try Loopback.connect(SOCK_DGRAM, port: port) }
        defer { ([upstream] + sockets).forEach { close($0) } }
        if isRefused {
            var flag: CInt = 1
            setsockopt(sockets[0], SOL_SOCKET, SO_NO_CHECK, &flag, socklen_t(MemoryLayout<CInt>.size))
        }
        let batch = try #require(QueryBatch())
        let sent = try (Int32(0)..<64).map(transmission)
        for (number, transmission) in sent.enumerated() {
            batch.add(transmission, transmission.bytes, by: sockets[number % 2])
        }
        #expect(batch.isFull)
        #expect(batch.flush().isEmpty && batch.isEmpty)
        var heard: Set<[UInt8]> = []
        for _ in sent {
            var buffer = [UInt8](repeating: 0, count: 2048)
            let count = recv(upstream, &buffer, buffer.count, 0)
            try #require(count > 0)
            heard.insert(Array(buffer[..<count]))
        }
        #expect(heard == Set(sent.map(\.bytes)))
    }

    @Test func `what cannot leave at all is told, and the rest leaves`() throws {
        let (upstream, port) = try Loopback.socket(SOCK_DGRAM, blocking: false)
        let connected = try Loopback.connect(SOCK_DGRAM, port: port)
        // It has nobody to send to.
        let (unconnected, _) = try Loopback.socket(SOCK_DGRAM, blocking: false)
        defer { [upstream, connected, unconnected].forEach { close($0) } }
        let batch = try #require(QueryBatch())
        for number in Int32(0)..<6 {
            let transmission = try transmission(number)
            batch.add(transmission, transmission.bytes, by: number < 4 ? unconnected : connected)
        }
        #expect(batch.flush().map(\.place) == [0, 1, 2, 3])
        for _ in 4..<6 {
            var byte: UInt8 = 0
            #expect(recv(upstream, &byte, 1, 0) == 1)
        }
    }
}
