import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// A pair of sockets: `far` is the standard input of a process; commands and answers pass through `near`. Both close
/// with the last reference.
final class ControlChannel: Sendable {
    let near: CInt
    let far: CInt

    init() throws(SpawnError) {
        var ends: [CInt] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw SpawnError(program: "socketpair", code: errno) }
        (near, far) = (ends[0], ends[1])
    }

    deinit {
        close(near)
        close(far)
    }

    /// Sends everything, waiting while the process does not read.
    /// - Returns: false if the channel was ended meanwhile.
    @discardableResult
    func send(_ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(near, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Shuts it down for both sides, even if others hold descriptors, and wakes a waiting sender.
    func end() { shutdown(near, Int32(SHUT_RDWR)) }
}
