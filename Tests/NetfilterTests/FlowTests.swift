import Addresses
import Netfilter
import NetworkPolicy
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// A TCP connection between two namespaces: the client's and the server's descriptors.
private func connect(_ a: NetworkNamespace, to address: String, in b: NetworkNamespace) throws -> (
    client: CInt, server: CInt, listener: CInt
) {
    let bytes = IPAddress(address)!.bytes
    let raw: [UInt8] =
        withUnsafeBytes(of: sa_family_t(AF_INET)) { Array($0) } + [0x1f, 0x90] + bytes + [UInt8](repeating: 0, count: 8)
    let listener = try b.run {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        _ = raw.withUnsafeBytes { bind(listener, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 16) }
        listen(listener, 1)
        return listener
    }
    let client = try a.run { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
    var limit = timeval(tv_sec: 2, tv_usec: 0)
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    let status = raw.withUnsafeBytes {
        Glibc.connect(client, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 16)
    }
    #expect(status == 0)
    return (client, accept(listener, nil, nil), listener)
}

@Suite(.serialized) struct FlowTests {
    private func trackConnections(in namespace: NetworkNamespace) throws -> NetfilterSocket {
        let socket = try namespace.run { try NetfilterSocket() }
        var transaction = Transaction()
        transaction.addTable("t")
        transaction.addSet("open", table: "t", key: .ipv4)
        transaction.addElements([SetElement(IPAddress("198.51.100.2")!)], set: "open", table: "t")
        transaction.addChain("out", table: "t", base: BaseChain(.filter, .output, priority: 0, dropsByDefault: false))
        transaction.addRule("out", table: "t", .connection([.established]) + [.verdict(.accept)])
        transaction.addRule("out", table: "t", .destination(in: "open", isIPv4: true) + [.verdict(.accept)])
        transaction.addRule("out", table: "t", .transport(IPProtocol.tcp) + [.reject(.tcpReset)])
        try socket.commit(transaction)
        return socket
    }

    @Test func `a forgotten flow is judged anew and reset`() throws {
        try withPair { a, b in
            let tables = try trackConnections(in: a)
            let conntrack = try a.run { try Conntrack() }
            let (client, server, listener) = try connect(a, to: "198.51.100.2", in: b)
            defer { [client, server, listener].forEach { close($0) } }
            var byte: UInt8 = 7
            #expect(write(client, &byte, 1) == 1 && read(server, &byte, 1) == 1)

            var revoke = Transaction()
            revoke.removeElements([SetElement(IPAddress("198.51.100.2")!)], set: "open", table: "t")
            try tables.commit(revoke)
            #expect(
                write(client, &byte, 1) == 1 && read(server, &byte, 1) == 1,
                "established flows pass without the element")

            let other = try conntrack.delete { $0.destination == IPAddress("198.51.100.3") }
            #expect(other == 0)
            let flows = try conntrack.flows().filter { $0.transport == IPProtocol.tcp }
            #expect(flows.map(\.destinationPort) == [8080])
            let count = try conntrack.count()
            #expect(count >= 1)
            let forgotten = try conntrack.delete {
                $0.destination == IPAddress("198.51.100.2") && $0.destinationPort == 8080
            }
            #expect(forgotten == 1)
            _ = write(client, &byte, 1)
            #expect(read(client, &byte, 1) <= 0, "the flow is dead")
        }
    }

    @Test func `a destroyed socket fails at once and others live`() throws {
        try withPair { a, b in
            let destroyer = try a.run { try SocketDestroyer() }
            let (client, server, listener) = try connect(a, to: "198.51.100.2", in: b)
            defer { [client, server, listener].forEach { close($0) } }
            let none = try destroyer.destroy { $0.remote == IPAddress("198.51.100.9") }
            #expect(none == 0)
            var byte: UInt8 = 7
            #expect(write(client, &byte, 1) == 1)
            let ended = try destroyer.destroy { $0.remote == IPAddress("198.51.100.2") && $0.remotePort == 8080 }
            #expect(ended == 1)
            #expect(read(client, &byte, 1) == -1 && errno == ECONNABORTED)
        }
    }

    @Test func `this kernel has what the guard needs`() {
        #expect(KernelFeatures.probe(namespaceName: "spt-\(UInt32.random(in: 0 ... .max))").isEmpty)
    }

    @Test func `mapped addresses read as IPv4`() {
        #expect(IPAddress("::ffff:198.51.100.1")!.unmapped == IPAddress("198.51.100.1"))
        #expect(IPAddress("::fffe:198.51.100.1")!.unmapped == IPAddress("::fffe:198.51.100.1"))
    }
}
