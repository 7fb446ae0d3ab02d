import Glibc

/// A datagram that has come, and whence.
public struct Datagram {
    public let bytes: [UInt8]
    /// A sockaddr of its family.
    public let peer: [UInt8]

    /// Waits for the next one, unless the flags say otherwise.
    /// - Returns: nil if there is none: the socket has been shut down, or it would have to be waited for.
    public init?(from socket: CInt, upTo size: Int = 4096, flags: CInt = 0) {
        var buffer = [UInt8](repeating: 0, count: size)
        var peer = [UInt8](repeating: 0, count: 28)
        var length = socklen_t(peer.count)
        let count = peer.withUnsafeMutableBytes {
            recvfrom(
                socket, &buffer, buffer.count, flags, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        guard count > 0 || count == 0 && flags != 0 else { return nil }
        bytes = Array(buffer[..<count])
        self.peer = Array(peer.prefix(Int(length)))
    }

    /// Answers whoever has sent it.
    public func answer(_ bytes: [UInt8], on socket: CInt) {
        _ = peer.withUnsafeBytes {
            sendto(
                socket, bytes, bytes.count, 0, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                socklen_t($0.count))
        }
    }
}
