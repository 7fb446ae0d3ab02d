import System

#if canImport(Glibc)
    import Glibc
#endif

/// A client's socket, for a file whose bytes reach it without being copied by this program (sendfile(2)).
///
/// It is used on threads that may wait for a disk, as the event loop's must not: a cold disk, or a file system that hangs, holds up
/// nobody else. The loop writes to the same socket, so this is used between two writes of the response, each of which has
/// returned: nothing of the loop's waits then, and all bytes keep their order.
package final class DirectOutput: Sendable {
    /// How far a turn has come.
    package struct Turn: Sendable {
        /// The offset in the file behind what has been sent.
        package var end: Int
        package var stop: Stop
    }

    package enum Stop: Sendable {
        /// All has been sent, or others are to have the thread for a while.
        case turnOver
        /// The client has to read before more can be sent: write the next bytes by the response's writer, which waits.
        case clientBusy
        /// The file is shorter than the range.
        case fileEnded
        /// The kernel does not send such a file by itself: write its bytes by the response's writer.
        case unsupported
    }

    /// How long one turn may take, in nanoseconds, where the disk does not make it longer.
    private static let longestTurn: UInt64 = 5_000_000
    /// Bytes of one call.
    private static let piece = 2 << 20
    /// How long a client that reads is waited for on the thread itself, in milliseconds: much longer than it takes to read what the
    /// socket holds, so that a file goes to a client nearby without changes of threads.
    private static let patience: CInt = 2

    /// A number of its own: the connection may end meanwhile.
    private let socket: FileDescriptor
    private let sent: @Sendable (Int) -> Void

    /// - Parameter sent: told how many bytes have gone.
    init(_ socket: CInt, sent: @escaping @Sendable (Int) -> Void) throws {
        self.socket = try FileDescriptor(fcntl(socket, F_DUPFD_CLOEXEC, 3))
        self.sent = sent
    }

    /// Sends bytes of a file until a turn is over.
    /// - Parameters: a descriptor that is not moved by it, and the offsets of what is to be sent.
    /// - Throws: `HTTPBodyError.clientGone`, or the `SystemCallError` of the file.
    package func send(_ file: CInt, _ range: Range<Int>) throws -> Turn {
        var position = off_t(range.lowerBound)
        let deadline = SystemClock.monotonicNanoseconds() + Self.longestTurn
        func turn(_ stop: Stop) -> Turn { Turn(end: Int(position), stop: stop) }
        while Int(position) < range.upperBound, SystemClock.monotonicNanoseconds() < deadline {
            let count = sendfile(socket.number, file, &position, min(range.upperBound - Int(position), Self.piece))
            guard count <= 0 else {
                sent(count)
                continue
            }
            guard count < 0 else { return turn(.fileEnded) }
            switch errno {
            case EINTR: continue
            case EAGAIN: guard hasRoomSoon else { return turn(.clientBusy) }
            case EINVAL, ENOSYS, EOPNOTSUPP, EPERM: return turn(.unsupported)
            case EPIPE, ECONNRESET, ECONNABORTED, ENOTCONN, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH:
                throw HTTPBodyError.clientGone
            case let code: throw SystemCallError(code: code)
            }
        }
        return turn(.turnOver)
    }

    private var hasRoomSoon: Bool {
        var waiting = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
        return poll(&waiting, 1, Self.patience) > 0
    }
}
