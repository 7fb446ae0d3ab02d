import Glibc
import Synchronization
import TestSupport

@testable import HTTPClient

/// A server that says what a test has it say, byte for byte, one thread for each connection.
final class ScriptedServer: Sendable {
    /// One connection of it.
    struct Connection: Sendable {
        let descriptor: CInt
        let number: Int

        /// Head and, where its length is told, body of the next request; nil where the client is gone.
        func read() -> String? {
            var bytes: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                if let end = bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound {
                    let text = String(decoding: bytes, as: UTF8.self)
                    let field = text.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }
                    let length = field.flatMap { Int($0.dropFirst(16)) } ?? 0
                    if bytes.count - end >= length { return text }
                }
                let count = recv(descriptor, &chunk, chunk.count, 0)
                guard count > 0 else { return nil }
                bytes += chunk[..<count]
            }
        }

        /// - Returns: false where the client is gone.
        @discardableResult
        func write(_ text: String) -> Bool { write(Array(text.utf8)) }

        func write(_ bytes: [UInt8]) -> Bool {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }

        /// Waits until the client closes.
        func awaitEnd() {
            var byte: UInt8 = 0
            while recv(descriptor, &byte, 1, 0) > 0 {}
        }

        func answer(_ body: String = "", status: Int = 200) {
            write("HTTP/1.1 \(status) Said\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
    }

    let port: UInt16
    let path: String?
    private let listener: CInt
    private let counts = Mutex((begun: 0, ended: 0))

    var connections: Int { counts.withLock { $0.begun } }
    var ended: Int { counts.withLock { $0.ended } }

    /// On loopback, or at a path. A connection is closed when `serve` returns.
    init(path: String? = nil, _ serve: @escaping @Sendable (Connection) -> Void) {
        self.path = path
        if let path {
            port = 0
            listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
            let status = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            precondition(status == 0 && listen(listener, 64) == 0)
        } else {
            listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let listener = listener
            let status = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, length) | listen(listener, 64) | getsockname(listener, $0, &length)
                }
            }
            precondition(status == 0)
            port = UInt16(bigEndian: address.sin_port)
        }
        BackgroundThread.start { [self] in
            while true {
                let descriptor = accept(listener, nil, nil)
                guard descriptor >= 0 else { break }
                let number = counts.withLock { counts in
                    counts.begun += 1
                    return counts.begun
                }
                BackgroundThread.start { [self] in
                    serve(Connection(descriptor: descriptor, number: number))
                    close(descriptor)
                    counts.withLock { $0.ended += 1 }
                }
            }
            close(listener)
        }
    }

    func stop() { shutdown(listener, CInt(SHUT_RDWR)) }

    var peer: HTTPPeer {
        var peer = path.map { HTTPPeer(unixSocket: $0) } ?? HTTPPeer(HTTPEndpoint("http://127.0.0.1:\(port)")!)
        // Other tests may keep the threads of tasks busy for long.
        peer.deadlines = ClientDeadlines(connect: 120_000, total: nil)
        return peer
    }
}
