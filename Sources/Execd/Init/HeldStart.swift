import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// How init says whether the program of a sandbox that was made ahead of its use has been started: one byte through a pipe, which
/// outlives an API that is started again.
struct HeldStart {
    let reading: CInt
    private let writing: CInt

    /// nil if there can be no pipe; errno says why.
    static func pipe() -> HeldStart? {
        var ends: [CInt] = [-1, -1]
        guard linux_pipe(&ends) == 0 else { return nil }
        return HeldStart(reading: ends[0], writing: ends[1])
    }

    func tell(isRunning: Bool) {
        var byte: UInt8 = isRunning ? 1 : 0
        _ = write(writing, &byte, 1)
    }

    /// Waits until init has said it. Blocks.
    /// - Returns: whether the program runs; nil if nothing was said in time.
    static func outcome(_ reading: CInt, within milliseconds: CInt) -> Bool? {
        var waiting = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        var byte: UInt8 = 0
        guard poll(&waiting, 1, milliseconds) > 0, read(reading, &byte, 1) == 1 else { return nil }
        return byte == 1
    }
}
