import Glibc
import Netfilter
import TestSupport

/// The sockets of one client, made before the clock runs: what a process needs for a question and a connection.
struct FirstConnection {
    private let question, connection: CInt

    init(in namespace: NetworkNamespace) throws {
        (question, connection) = try namespace.run {
            let pair = (
                socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0), socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            )
            Probe.limit(pair.0)
            Probe.limit(pair.1)
            return pair
        }
    }

    /// From the question to the end of the handshake.
    func milliseconds(to name: String, asking resolver: String) -> Double {
        defer {
            close(question)
            close(connection)
        }
        let query = DNSMessages.query(name, type: DNSMessages.a)
        var answer = [UInt8](repeating: 0, count: 4096)
        let start = ContinuousClock.now
        precondition(SocketAddressBytes(resolver, 53).with { connect(question, $0, $1) } == 0)
        precondition(send(question, query, query.count, 0) == query.count)
        let count = recv(question, &answer, answer.count, 0)
        precondition(count > 0, "\(name) is answered")
        let (_, addresses) = DNSMessages.addresses(Array(answer[..<count]))
        precondition(addresses.count == 1, "\(name) has an address")
        let target = SocketAddressBytes(addresses[0], EchoServer.port)
        precondition(target.with { connect(connection, $0, $1) } == 0, "\(name) is open")
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        return Double(seconds) * 1e3 + Double(attoseconds) / 1e15
    }
}
