import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// What the supervisor tells all of its processes about each other: a page of memory that it writes and they can only read.
/// Whoever is asked for health looks here, and asks nobody.
package final class ProcessBoard: Sendable {
    package enum State: UInt32, Sendable {
        /// Nobody is to run there.
        case absent = 0
        case down, starting, ready
    }

    /// To hand to a process.
    package let descriptor: CInt
    private nonisolated(unsafe) let words: UnsafePointer<UInt32>
    private nonisolated(unsafe) let own: UnsafeMutablePointer<UInt32>?

    /// The supervisor's.
    /// - Throws: `SupervisionError`.
    package init() throws(SupervisionError) {
        var descriptor: CInt = -1
        guard let page = linux_shared_words(&descriptor) else { throw .last("sharing memory") }
        self.descriptor = descriptor
        own = page
        words = UnsafePointer(page)
    }

    /// Another process's.
    package init(descriptor: CInt) throws(SupervisionError) {
        guard let page = linux_shared_words_of(descriptor) else { throw .last("looking at the supervisor's memory") }
        self.descriptor = descriptor
        own = nil
        words = page
    }

    package func state(of process: Int) -> State { State(rawValue: linux_load_word(words, process * 2)) ?? .down }

    /// How often it had to be started again.
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

/// What the system refused to a supervisor or one of its processes.
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
