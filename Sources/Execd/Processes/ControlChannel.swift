import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// A pair of sockets: `far` is the standard input of a process, and `near` the loop's, by which it writes to the process and reads
/// what that answers (`RunningProcess.write`, `OutputStream.control`). Both close with the last reference.
final class ControlChannel: Sendable {
    let near: CInt
    let far: CInt

    init() throws(SpawnError) {
        var ends: [CInt] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw SpawnError(program: "socketpair", code: errno) }
        (near, far) = (ends[0], ends[1])
        // Only ours: the process may wait for its input.
        _ = fcntl(near, F_SETFL, O_NONBLOCK)
    }

    deinit {
        close(near)
        close(far)
    }

    /// Shuts it down for both sides, even if others hold descriptors.
    func end() { shutdown(near, Int32(SHUT_RDWR)) }

    /// Drops what the process has not read.
    func discardUnread() {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        while recv(far, &bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {}
    }
}

/// Cuts what comes on a control channel into lines. Whoever has the other end may write anything there: the work grows with the
/// bytes alone.
struct ControlLines: Hashable, Sendable {
    private let maxLine: Int
    private var rest: [UInt8] = []
    /// How much of `rest` has no line break.
    private var searched = 0
    /// There was a longer line: who says that is not the program that was started. Nothing is taken any more.
    private(set) var isBroken = false

    /// - Parameter maxLine: bytes.
    init(maxLine: Int) { self.maxLine = maxLine }

    mutating func append(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        guard !isBroken else { return [] }
        rest += bytes
        var lines: [ArraySlice<UInt8>] = []
        var start = 0
        while let end = rest[max(start, searched)...].firstIndex(of: UInt8(ascii: "\n")) {
            lines.append(rest[start..<end])
            start = end + 1
        }
        rest.removeFirst(start)
        searched = rest.count
        isBroken = rest.count > maxLine
        return lines
    }
}
