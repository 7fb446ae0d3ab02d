import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// The states of all processes, for all processes: a page of memory that the supervisor writes and the others can only
/// read. Health is answered from here, without asking another process.
package final class ProcessBoard: Sendable {
    package enum State: UInt32, Sendable {
        /// No process is meant to run in this place.
        case absent = 0
        case down, starting, ready
    }

    /// To be passed to a process.
    package let descriptor: CInt
    private nonisolated(unsafe) let words: UnsafePointer<UInt32>
    private nonisolated(unsafe) let own: UnsafeMutablePointer<UInt32>?

    /// Creates the supervisor's, which can be written.
    /// - Throws: `SupervisionError`.
    package init() throws(SupervisionError) {
        var descriptor: CInt = -1
        guard let page = linux_shared_words(&descriptor) else { throw .last("sharing memory") }
        self.descriptor = descriptor
        own = page
        words = UnsafePointer(page)
    }

    /// Opens one that another process created; it can only be read.
    package init(descriptor: CInt) throws(SupervisionError) {
        guard let page = linux_shared_words_of(descriptor) else { throw .last("looking at the supervisor's memory") }
        self.descriptor = descriptor
        own = nil
        words = page
    }

    package func state(of process: Int) -> State { State(rawValue: linux_load_word(words, process * 2)) ?? .down }

    /// How often a process was started again.
    package func restarts(of process: Int) -> Int { Int(linux_load_word(words, process * 2 + 1)) }

    func set(_ process: Int, _ state: State) {
        guard let own else { return }
        linux_store_word(own, process * 2, state.rawValue)
    }

    func countRestart(of process: Int) {
        guard let own else { return }
        linux_store_word(own, process * 2 + 1, linux_load_word(words, process * 2 + 1) &+ 1)
    }
}

/// A system call that failed in the supervisor or one of its processes.
package struct SupervisionError: Error, Hashable, Sendable, CustomStringConvertible {
    package let action: String
    package let code: CInt

    package init(_ action: String, code: CInt) {
        self.action = action
        self.code = code
    }

    static func last(_ action: String) -> SupervisionError { SupervisionError(action, code: errno) }

    package var description: String { "\(action): \(String(cString: strerror(code)))" }
}
