import Glibc
import Netfilter
import Synchronization
import TestSupport

/// A server of the outside on every address: to a ClientHello it answers with what begins a ServerHello, to a request
/// with a page, and then it sends back whatever comes.
final class NamedServer: Sendable {
    static let ports: [UInt16] = [443, 80, 8443]
    /// A ServerHello of which the checker sees enough; a real one is in TLSToolTests.
    static let serverHello = TestHello.record([2, 0, 0, 70, 3, 3] + [UInt8](repeating: 5, count: 68))
    static let retry = TestHello.record(
        [2, 0, 0, 70, 3, 3] + [
            0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
            0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
        ] + [UInt8](repeating: 0, count: 36))
    static let page = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

    private let listeners: [CInt]
    private let greeting: [UInt8]
    private let state = Mutex<[[UInt8]]>([])

    /// What each connection has sent.
    var received: [[UInt8]] { state.withLock { $0 } }
    var met: Int { state.withLock { $0.count } }

    init(in namespace: NetworkNamespace, greeting: [UInt8] = serverHello) throws {
        self.greeting = greeting
        listeners = try namespace.run {
            Self.ports.map { port in
                let address = SocketAddressBytes("::", port)
                let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
                precondition(address.with { bind(descriptor, $0, $1) } == 0 && listen(descriptor, 64) == 0)
                return descriptor
            }
        }
        for listener in listeners {
            BackgroundThread.start { [weak self] in
                while true {
                    let connection = accept(listener, nil, nil)
                    guard connection >= 0 else { break }
                    guard let self else {
                        close(connection)
                        break
                    }
                    let number = state.withLock { state in
                        state.append([])
                        return state.count - 1
                    }
                    BackgroundThread.start { self.serve(connection, number) }
                }
                close(listener)
            }
        }
    }

    deinit { for listener in listeners { shutdown(listener, Int32(SHUT_RDWR)) } }

    private func serve(_ connection: CInt, _ number: Int) {
        defer { close(connection) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var isFirst = true
        while true {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return }
            state.withLock { if $0[number].count < 1 << 20 { $0[number] += buffer[..<count] } }
            if isFirst {
                isFirst = false
                if buffer[0] == 22 {
                    guard send(connection, greeting) else { return }
                    continue
                }
                guard send(connection, Array(Self.page.utf8)) else { return }
            }
            guard send(connection, Array(buffer[..<count])) else { return }
        }
    }

    private func send(_ connection: CInt, _ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Array(rest).withUnsafeBytes {
                Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

/// A connection of the sandbox.
final class NamedClient {
    let descriptor: CInt
    /// 0 where it was accepted.
    let status: Int32

    init(_ address: String, _ port: UInt16, from namespace: NetworkNamespace) throws {
        (descriptor, status) = try Probe.open(Int32(SOCK_STREAM.rawValue), to: address, port: port, from: namespace)
    }

    deinit { close(descriptor) }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }

    /// So many bytes, fewer where the connection ends before or time is up.
    func read(_ count: Int) -> [UInt8] {
        var found: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while found.count < count {
            let part = recv(descriptor, &buffer, min(buffer.count, count - found.count), 0)
            guard part > 0 else { break }
            found += buffer[..<part]
        }
        return found
    }

    /// Everything until the other side ends.
    func readAll() -> String { String(decoding: read(1 << 24), as: UTF8.self) }

    /// Whether the connection is over: an end or an error, not silence.
    var isOver: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 || (count < 0 && errno != EAGAIN)
    }

    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }
}
