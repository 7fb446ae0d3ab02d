import CMnl
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A netlink socket. It stays in the network namespace of the thread that opened it, whichever thread uses it later.
/// Requests are serialised.
final class NetlinkSocket: Sendable {
    enum Bus: Int32 {
        case route = 0
        case socketDiagnostics = 4
        case netfilter = 12
    }

    private struct Handle: @unchecked Sendable {
        let socket: OpaquePointer
        var sequence: UInt32 = 0
        /// Whether an exchange was not completed. The rest of its answers is still queued, and until it is read the
        /// kernel may drop further ones.
        var hasRest = false
    }

    private let handle: Mutex<Handle>

    private static let socketLevel: Int32 = 270  // SOL_NETLINK
    private static let sendBufferForce: Int32 = 32  // SO_SNDBUFFORCE
    private static let receiveBufferForce: Int32 = 33  // SO_RCVBUFFORCE
    private static let sendBufferBytes: Int32 = 64 << 20

    /// How often an interrupted dump is repeated.
    private static let dumpAttempts = 5

    /// - Parameter receiveBufferBytes: for tests of lost answers; the system's minimum if less.
    init(_ bus: Bus, receiveBufferBytes: Int32? = nil) throws(NetfilterError) {
        guard let socket = mnl_socket_open2(bus.rawValue, Int32(SOCK_CLOEXEC.rawValue)) else {
            throw .last("opening a netlink socket")
        }
        guard mnl_socket_bind(socket, 0, 0) == 0 else {
            let failure = NetfilterError.last("binding a netlink socket")
            mnl_socket_close(socket)
            throw failure
        }
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, size)
        mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, size)
        // A transaction is one datagram; forcing past the system's limits needs NET_ADMIN, without which nothing here works.
        var bytes = Self.sendBufferBytes
        let descriptor = mnl_socket_get_fd(socket)
        setsockopt(descriptor, SOL_SOCKET, Self.sendBufferForce, &bytes, size)
        bytes = receiveBufferBytes ?? bytes
        setsockopt(descriptor, SOL_SOCKET, Self.receiveBufferForce, &bytes, size)
        handle = Mutex(Handle(socket: socket))
    }

    deinit { handle.withLock { _ = mnl_socket_close($0.socket) } }

    /// Sends requests in one datagram and waits for the acknowledgement of each that asks for one (NLM_F_ACK).
    /// - Throws: the first error. Earlier requests may have been performed, unless they are a transaction.
    func perform(_ action: String, _ messages: [NetlinkMessage]) throws(NetfilterError) {
        try exchange { handle throws(NetfilterError) in
            let last = try Self.send(messages, &handle, action)
            try Self.confirm(handle.socket, until: last, action)
        }
    }

    /// Sends an encoded batch whose messages have numbers from `reserve`, and waits for the answer to `last`.
    func performBatch(
        _ action: String, build: (_ firstSequence: UInt32) -> (bytes: [UInt8], last: UInt32)
    ) throws(NetfilterError) {
        try exchange { handle throws(NetfilterError) in
            let (bytes, last) = build(handle.sequence &+ 1)
            handle.sequence = last
            guard mnl_socket_sendto(handle.socket, bytes, bytes.count) >= 0 else { throw .last(action) }
            try Self.confirm(handle.socket, until: last, action)
        }
    }

    /// Sends one dump request and reads all replies. If some were lost, or the listed objects changed meanwhile, it
    /// starts again; after several attempts the last result is used as it is.
    /// - Parameter read: converts a reply; nil to ignore it.
    func dump<Read>(
        _ action: String, _ message: NetlinkMessage, _ read: (NetlinkReply) -> Read?
    ) throws(NetfilterError) -> [Read] {
        var attempt = 1
        while true {
            do throws(NetfilterError) {
                let (found, isWhole) = try dumpOnce(action, message, read)
                if isWhole || attempt == Self.dumpAttempts { return found }
            } catch {
                guard error.code == ENOBUFS, attempt < Self.dumpAttempts else { throw error }
            }
            attempt += 1
        }
    }

    private func dumpOnce<Read>(
        _ action: String, _ message: NetlinkMessage, _ read: (NetlinkReply) -> Read?
    ) throws(NetfilterError) -> (found: [Read], isWhole: Bool) {
        var found: [Read] = [], isWhole = true
        try exchange { handle throws(NetfilterError) in
            let last = try Self.send([message], &handle, action)
            while true {
                for reply in try Self.receive(handle.socket, action, wait: true) where reply.sequence == last {
                    if reply.flags & NetlinkFlag.interrupted != 0 { isWhole = false }
                    if try Self.isEnd(reply, action) { return }
                    if let one = read(reply) { found.append(one) }
                }
            }
        }
        return (found, isWhole)
    }

    /// What the kernel has sent by itself, without waiting for more. What it dropped because the socket was full is not
    /// reported.
    /// - Parameter limit: datagrams to read.
    func takeUnasked(limit: Int) -> [NetlinkReply] {
        handle.withLock { handle in
            var taken: [NetlinkReply] = []
            for _ in 0..<limit {
                do throws(NetfilterError) {
                    let replies = try Self.receive(handle.socket, "reading from netlink", wait: false)
                    if replies.isEmpty { break }
                    taken += replies
                } catch {
                    guard error.code == ENOBUFS else { break }
                }
            }
            return taken
        }
    }

    /// Performs one request with its answers at a time. If an earlier one was not completed, its remaining answers are
    /// discarded first, so that they are not taken for answers to this one.
    private func exchange(_ body: (inout Handle) throws(NetfilterError) -> Void) throws(NetfilterError) {
        try handle.withLock { handle throws(NetfilterError) in
            if handle.hasRest { Self.drain(handle.socket) }
            handle.hasRest = true
            try body(&handle)
            handle.hasRest = false
        }
    }

    /// Reads until the queue is empty. ENOBUFS only means that something was dropped.
    private static func drain(_ socket: OpaquePointer) {
        var byte: UInt8 = 0
        while recv(mnl_socket_get_fd(socket), &byte, 1, Int32(MSG_DONTWAIT)) >= 0 || errno == ENOBUFS || errno == EINTR
        {
        }
    }

    private static func send(
        _ messages: [NetlinkMessage], _ handle: inout Handle, _ action: String
    ) throws(NetfilterError) -> UInt32 {
        var bytes: [UInt8] = []
        for var message in messages {
            handle.sequence &+= 1
            message.sequence = handle.sequence
            bytes += message.bytes
        }
        guard mnl_socket_sendto(handle.socket, bytes, bytes.count) >= 0 else { throw .last(action) }
        return handle.sequence
    }

    /// The kernel answers synchronously: when sendto returns, all answers are queued, the one to `last` after the
    /// others.
    private static func confirm(_ socket: OpaquePointer, until last: UInt32, _ action: String) throws(NetfilterError) {
        var failure: NetfilterError?
        var isConfirmed = false
        while !isConfirmed {
            let replies: [NetlinkReply]
            do throws(NetfilterError) {
                replies = try receive(socket, action, wait: false)
            } catch {
                throw failure ?? .unconfirmed(action: action)
            }
            if replies.isEmpty { break }
            for reply in replies {
                do throws(NetfilterError) {
                    _ = try isEnd(reply, action)
                } catch {
                    failure = failure ?? error
                }
                if reply.sequence == last { isConfirmed = true }
            }
        }
        if let failure { throw failure }
        guard isConfirmed else { throw .unconfirmed(action: action) }
    }

    private static func receive(
        _ socket: OpaquePointer, _ action: String, wait: Bool
    ) throws(NetfilterError) -> [NetlinkReply] {
        // Dumps need a large buffer; other answers are only a code and a sentence.
        let capacity = wait ? 1 << 17 : 1 << 13
        while true {
            var count = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, filled in
                count = recv(mnl_socket_get_fd(socket), buffer.baseAddress, capacity, wait ? 0 : Int32(MSG_DONTWAIT))
                filled = max(count, 0)
            }
            if count >= 0 { return NetlinkReply.parse(bytes[...]) }
            if errno == EAGAIN { return [] }
            guard errno == EINTR else { throw .last(action) }
        }
    }

    /// NLMSG_ERROR with code 0 and NLMSG_DONE end an exchange; another code is the refusal.
    private static func isEnd(_ reply: NetlinkReply, _ action: String) throws(NetfilterError) -> Bool {
        let errorType: UInt16 = 2, doneType: UInt16 = 3
        guard reply.type == errorType || reply.type == doneType, reply.payload.count >= 4 else {
            return reply.type == doneType
        }
        let code = reply.payload.number(at: 0, as: Int32.self)
        guard code < 0 else { return true }
        // NLMSGERR_ATTR_MSG (1) follows the code and, with NETLINK_CAP_ACK, the request's header only.
        let words = reply.type == errorType ? reply.attributes(after: 4 + NetlinkMessage.headerLength)[1] : nil
        throw .refused(
            action: action, code: -code, explanation: words.map { String(decoding: $0.dropLast(), as: UTF8.self) })
    }
}
