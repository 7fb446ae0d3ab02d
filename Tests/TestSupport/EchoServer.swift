import Glibc
import Netfilter
import NetworkPolicy

/// Answers TCP and UDP on one port of every address of a namespace with what it was sent.
public final class EchoServer: Sendable {
    public static let port: UInt16 = 7
    private let stream: CInt
    /// One for each address, so that an answer comes from where the question went.
    private let datagrams: [CInt]

    public init(in namespace: NetworkNamespace) throws {
        (stream, datagrams) = try namespace.run {
            let address = SocketAddressBytes("::", Self.port)
            let stream = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
            precondition(address.with { bind(stream, $0, $1) } == 0 && listen(stream, 64) == 0)
            let datagrams = (TestNetwork.publicAddresses + [TestNetwork.gateway]).compactMap { text -> CInt? in
                let address = SocketAddressBytes(text, Self.port)
                let datagram = socket(address.family, Int32(SOCK_DGRAM.rawValue), 0)
                guard address.with({ bind(datagram, $0, $1) }) == 0 else {
                    close(datagram)
                    return nil
                }
                return datagram
            }
            return (stream, datagrams)
        }
        let stream = stream
        BackgroundThread.start {
            while true {
                let connection = accept(stream, nil, nil)
                guard connection >= 0 else { break }
                BackgroundThread.start { Self.echo(connection) }
            }
            close(stream)
        }
        for datagram in datagrams { BackgroundThread.start { Self.echo(datagrams: datagram) } }
    }

    private static func echo(datagrams: CInt) {
        while let datagram = Datagram(from: datagrams, upTo: 2048) { datagram.answer(datagram.bytes, on: datagrams) }
        close(datagrams)
    }

    private static func echo(_ connection: CInt) {
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0, send(connection, buffer, count, Int32(MSG_NOSIGNAL)) == count else { break }
        }
        close(connection)
    }

    deinit {
        shutdown(stream, Int32(SHUT_RDWR))
        for datagram in datagrams { shutdown(datagram, Int32(SHUT_RDWR)) }
    }
}

public enum BackgroundThread {
    private final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    public static func start(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(Box(body)).toOpaque()
        let status = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, context)
        precondition(status == 0)
        pthread_detach(thread)
    }
}
