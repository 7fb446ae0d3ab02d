import Glibc
import Synchronization

/// An HTTP server on loopback that keeps what it is sent and answers with the statuses it is given, the last one for ever;
/// with none it never answers.
public final class HookServer: Sendable {
    public let port: UInt16
    private let listener: CInt
    /// What it says to the request of a number; nil: nothing, and the connection stays open.
    private let answer: (@Sendable (_ request: String, _ number: Int) -> (status: Int, body: String)?)?
    private let state = Mutex<[String]>([])

    /// In the namespace of the thread that calls.
    /// - Parameter address: four bytes; loopback otherwise.
    public convenience init(statuses: [Int], address: UInt32 = 0x7f00_0001, port wanted: UInt16 = 0) throws {
        let answer: @Sendable (String, Int) -> (status: Int, body: String)? = { _, number in
            (status: statuses[min(number, statuses.count - 1)], body: "")
        }
        try self.init(address: address, port: wanted, saying: statuses.isEmpty ? nil : answer)
    }

    public convenience init(
        answering answer: @escaping @Sendable (_ request: String) -> (status: Int, body: String)?
    ) throws {
        let said: @Sendable (String, Int) -> (status: Int, body: String)? = { request, _ in answer(request) }
        try self.init(address: 0x7f00_0001, port: 0, saying: said)
    }

    private init(
        address: UInt32, port wanted: UInt16,
        saying answer: (@Sendable (_ request: String, _ number: Int) -> (status: Int, body: String)?)?
    ) throws {
        self.answer = answer
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        var socketAddress = sockaddr_in()
        socketAddress.sin_family = sa_family_t(AF_INET)
        socketAddress.sin_port = wanted.bigEndian
        socketAddress.sin_addr.s_addr = address.bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &socketAddress) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard listener >= 0, bound else { throw HookServerError() }
        self.listener = listener
        port = UInt16(bigEndian: socketAddress.sin_port)
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<HookServer>.fromOpaque(argument!).takeUnretainedValue().serve()
                Unmanaged<HookServer>.fromOpaque(argument!).release()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        pthread_detach(thread)
    }

    /// Heads and bodies, in the order in which they came.
    public var requests: [String] { state.withLock { $0 } }

    private func serve() {
        var held: [CInt] = []
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { break }
            guard let answer else {
                held.append(connection)
                continue
            }
            let request = Self.read(connection)
            if !request.isEmpty {
                let number = state.withLock { requests in
                    requests.append(request)
                    return requests.count - 1
                }
                guard let (status, body) = answer(request, number) else {
                    held.append(connection)
                    continue
                }
                let head = "HTTP/1.1 \(status) Said\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
                let text = Array((head + body).utf8)
                _ = send(connection, text, text.count, Int32(MSG_NOSIGNAL))
            }
            close(connection)
        }
        for connection in held { close(connection) }
    }

    /// Until the body is whole, as long as its length says.
    private static func read(_ connection: CInt) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.utf8.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound {
                let fields = text[..<end].lowercased().split(separator: "\r\n")
                let length = fields.first { $0.hasPrefix("content-length: ") }.map { Int($0.dropFirst(16)) }
                if let length = length ?? 0, text[end...].utf8.count >= length { return text }
            }
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return "" }
            bytes += chunk[..<count]
        }
    }

    /// Ends it and its thread.
    public func stop() { shutdown(listener, CInt(SHUT_RDWR)) }

    deinit { close(listener) }
}

public struct HookServerError: Error {}
