import Glibc

@testable import Egress

/// A client of the policy socket that reads as slowly as a test wants.
final class PolicySocket {
    private let descriptor: CInt
    private(set) var received = ""

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var bytes = withUnsafeBytes(of: sa_family_t(AF_UNIX)) { Array($0) } + Array(path.utf8) + [0]
        let status = bytes.withUnsafeMutableBytes {
            connect(
                descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        guard status == 0 else { throw EgressError.kernel("cannot connect: \(errno)") }
        var time = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    func send(_ method: String, _ path: String, token: String, headers: [String] = [], body: String = "") {
        let head = ["\(method) \(path) HTTP/1.1", "Host: egress", "\(PolicyToken.header): \(token)"] + headers
        let text = (head + ["Content-Length: \(body.utf8.count)", "", body]).joined(separator: "\r\n")
        let bytes = Array(text.utf8)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// Reads until the text has come; false after half a minute without a byte, or at the end.
    func waits(for text: String) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while !received.contains(text) {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return false }
            received += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return true
    }

    /// One request and its answer's status and body.
    static func call(
        _ path: String, _ method: String, _ target: String, token: String, body: String = ""
    ) throws -> (status: Int, body: String) {
        let socket = try PolicySocket(path)
        socket.send(method, target, token: token, headers: ["Connection: close"], body: body)
        _ = socket.waits(for: "\0 until the end")
        let parts = socket.received.split(separator: "\r\n\r\n", maxSplits: 1)
        let status = socket.received.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return (status, parts.count > 1 ? String(parts[1]) : "")
    }
}
