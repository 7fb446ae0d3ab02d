import CLinux
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Notices when sandboxes end: one thread waits on the pidfds of their first processes.
final class ExitWatcher: Sendable {
    private struct Watched {
        var watch: EndWatch
        var descriptor: CInt
    }
    private struct State {
        var watched: [UInt64: Watched] = [:]
        var next: UInt64 = 0
    }

    private let poll: EventPoll
    private let ended: AsyncStream<SandboxEnd>.Continuation
    private let state = Mutex(State())

    private init(ended: AsyncStream<SandboxEnd>.Continuation) throws(SystemCallError) {
        poll = try EventPoll()
        self.ended = ended
    }

    /// The watcher, and how sandboxes ended. Its thread lives as long as the program.
    static func start() throws(RuntimeError) -> (exits: AsyncStream<SandboxEnd>, watcher: ExitWatcher) {
        let (exits, ended) = AsyncStream<SandboxEnd>.makeStream()
        do throws(SystemCallError) {
            let watcher = try ExitWatcher(ended: ended)
            try DetachedThread.start { watcher.run() }
            return (exits, watcher)
        } catch {
            throw .system(action: "watching processes", reason: "\(error)")
        }
    }

    /// Watches a process. If it has ended already, that is reported at once.
    func watch(_ process: SandboxProcess, _ watch: EndWatch) {
        let descriptor = linux_pidfd_open(process.pid)
        guard descriptor >= 0 else { return _ = ended.yield(watch.end()) }
        let key = state.withLock { state in
            state.next += 1
            state.watched[state.next] = Watched(watch: watch, descriptor: descriptor)
            return state.next
        }
        poll.add(descriptor, token: key)
    }

    private func run() {
        var events = EventPoll.events()
        while true {
            // Before the events are looked at: in one expression with them it would be those of the wait before.
            let count = (try? poll.wait(&events)) ?? 0
            for index in 0..<count {
                let key = events[index].data
                guard let gone = state.withLock({ $0.watched.removeValue(forKey: key) }) else { continue }
                // Closing also removes it from the epoll set.
                close(gone.descriptor)
                ended.yield(gone.watch.end())
            }
        }
    }
}
