import CLinux
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Short messages, each with a descriptor or without, between processes of this machine (SOCK_SEQPACKET, SCM_RIGHTS).
package struct MessageSocket: Sendable {
    /// Bytes of a message; a longer one is refused at both ends.
    package static let maxBytes = 512

    package let descriptor: CInt

    package init(descriptor: CInt) { self.descriptor = descriptor }

    package struct Message: Sendable {
        package var bytes: [UInt8]
        /// Belongs to who receives it.
        package var descriptor: CInt?
    }

    /// Two ends, both close-on-exec.
    package static func pair() throws(SupervisionError) -> (MessageSocket, MessageSocket) {
        var ends: [CInt] = [-1, -1]
        let kind = CInt(SOCK_SEQPACKET.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw .last("making a pair of sockets") }
        return (MessageSocket(descriptor: ends[0]), MessageSocket(descriptor: ends[1]))
    }

    /// Connects to a listener of `ListeningSocket.messages`.
    package static func connect(path: String) throws(SupervisionError) -> MessageSocket {
        var address = try ListeningSocket.address(path)
        let descriptor = socket(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .last("making a socket") }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, length) }
        }
        guard status == 0 else {
            let error = SupervisionError.last("connecting to \(path)")
            Glibc.close(descriptor)
            throw error
        }
        return MessageSocket(descriptor: descriptor)
    }

    /// Makes room for messages that nobody receives yet; without the rights for that, as much as there may be.
    package func reserve(messages count: Int) {
        // What the kernel counts for a short message is below a page.
        var bytes = CInt(clamping: count.multipliedReportingOverflow(by: 4096).partialValue)
        let length = socklen_t(MemoryLayout<CInt>.size)
        if setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, length) == 0 { return }
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, length)
    }

    /// Never waits: fails with EAGAIN where the other end does not keep up.
    package func send(_ bytes: [UInt8], descriptor: CInt? = nil) throws(SupervisionError) {
        let code = bytes.withUnsafeBytes {
            linux_send_message(self.descriptor, $0.baseAddress, $0.count, descriptor ?? -1)
        }
        guard code == 0 else { throw SupervisionError("sending a message", code: -code) }
    }

    /// Waits for one; nil at the end. A thread's own.
    package func receive() throws(SupervisionError) -> Message? {
        var bytes = [UInt8](repeating: 0, count: Self.maxBytes)
        var received: CInt = -1
        let count = bytes.withUnsafeMutableBytes {
            linux_receive_message(descriptor, $0.baseAddress, $0.count, &received)
        }
        guard count >= 0 else { throw SupervisionError("receiving a message", code: CInt(-count)) }
        guard count > 0 else {
            if received >= 0 { Glibc.close(received) }
            return nil
        }
        return Message(bytes: Array(bytes[..<count]), descriptor: received >= 0 ? received : nil)
    }

    /// The user of the process at the other end.
    package var peerUser: UInt32? { UInt32(exactly: linux_peer_uid(descriptor)) }

    /// Wakes who waits in `receive`, here and at the other end.
    package func shutdown() { _ = Glibc.shutdown(descriptor, CInt(SHUT_RDWR)) }

    package func close() { Glibc.close(descriptor) }
}

/// A socket that several threads send on while one receives. Once it is closed nobody uses its number, which is another's then.
package final class SharedMessageSocket: Sendable {
    private let socket: Mutex<MessageSocket?>

    package init(_ socket: MessageSocket) { self.socket = Mutex(socket) }

    /// - Throws: `SupervisionError`, also when it is closed.
    package func send(_ bytes: [UInt8], descriptor: CInt? = nil) throws(SupervisionError) {
        try socket.withLock { socket throws(SupervisionError) in
            guard let socket else { throw SupervisionError("sending a message", code: EPIPE) }
            try socket.send(bytes, descriptor: descriptor)
        }
    }

    /// Ends the `receive` of the thread that receives.
    package func shutdown() { socket.withLock { $0?.shutdown() } }

    /// For the thread that receives, when it has stopped.
    package func close() {
        socket.withLock { socket in
            socket?.close()
            socket = nil
        }
    }
}
