import CLinux
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Short messages between processes of this machine, each with or without a descriptor (SOCK_SEQPACKET, SCM_RIGHTS).
package struct MessageSocket: Sendable {
    /// The most bytes of a message; both ends refuse longer ones.
    package static let maxBytes = 512

    package let descriptor: CInt

    package init(descriptor: CInt) { self.descriptor = descriptor }

    package struct Message: Sendable {
        package var bytes: [UInt8]
        /// The receiver must close it.
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

    /// Makes room for messages that were not received yet. Without the right to exceed the system's limit, as much as that
    /// allows.
    package func reserve(messages count: Int) {
        // The kernel counts less than a page for a short message.
        var bytes = CInt(clamping: count.multipliedReportingOverflow(by: 4096).partialValue)
        let length = socklen_t(MemoryLayout<CInt>.size)
        if setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, length) == 0 { return }
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, length)
    }

    /// Never waits: fails with EAGAIN if the other end does not keep up.
    package func send(_ bytes: [UInt8], descriptor: CInt? = nil) throws(SupervisionError) {
        let code = bytes.withUnsafeBytes {
            linux_send_message(self.descriptor, $0.baseAddress, $0.count, descriptor ?? -1)
        }
        guard code == 0 else { throw SupervisionError("sending a message", code: -code) }
    }

    /// Waits for a message; nil at the end. Only one thread may receive.
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

    /// Ends `receive` at both ends.
    package func shutdown() { _ = Glibc.shutdown(descriptor, CInt(SHUT_RDWR)) }

    package func close() { Glibc.close(descriptor) }
}

/// A socket on which several threads send while one receives. After `close` its number is used no more, since the kernel
/// may have given it to another file.
package final class SharedMessageSocket: Sendable {
    private let socket: Mutex<MessageSocket?>

    package init(_ socket: MessageSocket) { self.socket = Mutex(socket) }

    /// - Throws: `SupervisionError`, also after `close`.
    package func send(_ bytes: [UInt8], descriptor: CInt? = nil) throws(SupervisionError) {
        try socket.withLock { socket throws(SupervisionError) in
            guard let socket else { throw SupervisionError("sending a message", code: EPIPE) }
            try socket.send(bytes, descriptor: descriptor)
        }
    }

    /// Ends the `receive` of the thread that receives.
    package func shutdown() { socket.withLock { $0?.shutdown() } }

    /// To be called by the receiving thread when it has stopped.
    package func close() {
        socket.withLock { socket in
            socket?.close()
            socket = nil
        }
    }
}
