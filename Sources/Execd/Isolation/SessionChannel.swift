import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A socket that keeps the bounds of messages, each a short text and at most one descriptor. Closed with the last reference.
final class SessionChannel: Sendable {
    let descriptor: CInt

    /// - Parameter descriptor: belongs to the channel from now on.
    init(descriptor: CInt) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    private static let maxMessage = 4096

    static func pair() throws(SystemCallError) -> (near: SessionChannel, far: SessionChannel) {
        var ends: [CInt] = [-1, -1]
        let kind = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw .last }
        return (SessionChannel(descriptor: ends[0]), SessionChannel(descriptor: ends[1]))
    }

    /// Does not wait: EAGAIN where the other side has not read for long.
    func send(_ text: String, passing passed: CInt = -1) throws(SystemCallError) {
        let bytes = Array(text.utf8.prefix(Self.maxMessage))
        let status = linux_send_message(descriptor, bytes, bytes.count, passed)
        guard status == 0 else { throw SystemCallError(code: -status) }
    }

    /// Waits for a message; "" when the other side has gone. The caller closes the descriptor, if one came (else -1).
    func receive() throws(SystemCallError) -> (text: String, passed: CInt) {
        var bytes = [UInt8](repeating: 0, count: Self.maxMessage)
        var passed: CInt = -1
        let count = linux_receive_message(descriptor, &bytes, bytes.count, &passed)
        guard count >= 0 else { throw SystemCallError(code: CInt(-count)) }
        return (String(decoding: bytes.prefix(count), as: UTF8.self), passed)
    }

    /// How long `receive` waits, before it throws EAGAIN.
    func limitWaiting(seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
}
