import Glibc
import Netfilter
import TestSupport

/// Takes or gives as many bytes as a connection asks for behind its ClientHello.
final class StreamServer: Sendable {
    static let port: UInt16 = 443
    private static let chunk = 256 << 10
    private static let reply = [22, 3, 3, 0, 74, 2, 0, 0, 70, 3, 3] + [UInt8](repeating: 5, count: 68)

    private let listener: CInt

    init(in namespace: NetworkNamespace) throws {
        let listener = try namespace.run {
            let address = SocketAddressBytes("::", Self.port)
            let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
            precondition(address.with { bind(descriptor, $0, $1) } == 0 && listen(descriptor, 16) == 0)
            return descriptor
        }
        self.listener = listener
        BackgroundThread.start {
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { break }
                Self.serve(connection)
                close(connection)
            }
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    private static func serve(_ connection: CInt) {
        var head = read(connection, count: hello.count)
        guard head.count == hello.count, write(connection, reply) else { return }
        head = read(connection, count: 9)
        guard head.count == 9 else { return }
        let bytes = head.dropFirst().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if head[0] == 1 {
            if receive(on: connection) == bytes { _ = write(connection, [1]) }
        } else {
            send(bytes, on: connection)
        }
    }

    /// Says whom it means, and what shall pass.
    static func greet(_ descriptor: CInt, bytes: UInt64, isUpload: Bool) throws {
        precondition(write(descriptor, hello) && read(descriptor, count: reply.count) == reply)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: bytes >> (56 - 8 * UInt64($0))) }
        precondition(write(descriptor, [isUpload ? 1 : 0] + length))
    }

    /// A ClientHello that names one.example.
    private static let hello: [UInt8] = {
        let name = Array("one.example".utf8)
        let extensions = vector([0, 0] + vector(vector([0] + vector(name))))
        let body = [3, 3] + [UInt8](repeating: 7, count: 32) + [0] + vector([0x13, 0x01]) + [1, 0] + extensions
        return [22, 3, 1] + vector([1, 0] + vector(body))
    }()

    private static func vector(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xff)] + bytes
    }

    static func send(_ bytes: UInt64, on descriptor: CInt) {
        let buffer = [UInt8](repeating: 0x5a, count: chunk)
        var left = bytes
        while left > 0 {
            let count = Glibc.send(descriptor, buffer, Int(min(left, UInt64(chunk))), Int32(MSG_NOSIGNAL))
            guard count > 0 else { return }
            left -= UInt64(count)
        }
    }

    /// How many bytes came until the end.
    static func receive(on descriptor: CInt) -> UInt64 {
        var buffer = [UInt8](repeating: 0, count: chunk)
        var total: UInt64 = 0
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return total }
            total += UInt64(count)
        }
    }

    private static func write(_ descriptor: CInt, _ bytes: [UInt8]) -> Bool {
        Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }

    private static func read(_ descriptor: CInt, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let found = recv(descriptor, &bytes, count, Int32(MSG_WAITALL))
        return Array(bytes.prefix(max(found, 0)))
    }
}

enum Usage {
    /// Of every thread of this process, in the kernel, too.
    static var processorSeconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}
