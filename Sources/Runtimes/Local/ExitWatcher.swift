import CLinux
import Synchronization
import Threads

#if canImport(Glibc)
    import Glibc
#endif

/// Hears when sandboxes end: one thread waits on the pidfds of their first processes.
final class ExitWatcher: Sendable {
    private struct Watched {
        var watch: EndWatch
        var descriptor: CInt
    }
    private struct State {
        var watched: [UInt64: Watched] = [:]
        var next: UInt64 = 0
    }

    private let epoll: CInt
    private let ended: AsyncStream<SandboxEnd>.Continuation
    private let state = Mutex(State())

    private init(epoll: CInt, ended: AsyncStream<SandboxEnd>.Continuation) {
        self.epoll = epoll
        self.ended = ended
    }

    /// The watcher, and how sandboxes ended. Its thread lives as long as the program.
    static func start() throws(RuntimeError) -> (exits: AsyncStream<SandboxEnd>, watcher: ExitWatcher) {
        let epoll = linux_epoll_create()
        guard epoll >= 0 else { throw .system(action: "watching processes", reason: String(cString: strerror(errno))) }
        let (exits, ended) = AsyncStream<SandboxEnd>.makeStream()
        let watcher = ExitWatcher(epoll: epoll, ended: ended)
        do {
            try DetachedThread.start { watcher.run() }
        } catch {
            throw .system(action: "watching processes", reason: "\(error)")
        }
        return (exits, watcher)
    }

    /// Watches a process. The end of one that is gone already is heard of at once.
    func watch(_ process: SandboxProcess, _ watch: EndWatch) {
        let descriptor = linux_pidfd_open(process.pid)
        guard descriptor >= 0 else { return _ = ended.yield(watch.end()) }
        let key = state.withLock { state in
            state.next += 1
            state.watched[state.next] = Watched(watch: watch, descriptor: descriptor)
            return state.next
        }
        _ = linux_epoll_add(epoll, descriptor, LINUX_EPOLLIN, key)
    }

    private func run() {
        var events = [linux_event](repeating: linux_event(), count: 32)
        while true {
            let count = linux_epoll_wait(epoll, &events, Int32(events.count), -1)
            for event in events.prefix(Int(max(0, count))) {
                guard let gone = state.withLock({ $0.watched.removeValue(forKey: event.data) }) else { continue }
                // Closing takes it out of the epoll set, too.
                close(gone.descriptor)
                ended.yield(gone.watch.end())
            }
        }
    }
}
