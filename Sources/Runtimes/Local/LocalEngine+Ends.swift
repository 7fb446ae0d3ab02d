import Logging
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Ending the processes of a sandbox. One that waits for storage which does not answer ends by no signal, so nobody may have to
/// wait for it.
extension LocalEngine {
    /// Milliseconds that a thread waits. An end takes some; what takes longer is looked at without a thread.
    private static let prompt = 300
    private static let lookInterval = Duration.milliseconds(50)

    /// Kills a sandbox's processes and waits for their end.
    /// - Throws: if they do not end in time. They have been killed: another call goes on where this one stopped.
    func endProcesses(of id: String, in folder: SandboxFolder) async throws(RuntimeError) {
        let late = await deletions.run { [self] () -> (any LateEnd)? in
            let group = folder.group
            if group.isFrozen { _ = group.setFrozen(false) }
            let ending: any LateEnd
            if let first = process(in: folder), let running = RunningProcess(first) {
                running.kill()
                ending = running
            } else {
                // The kernel names no group of a process that is on its way out, as the first one is while it waits for the others.
                group.kill()
                ending = group
            }
            return ending.hasEnded(within: Self.prompt) ? nil : ending
        }
        guard let late else { return forgetEnd(of: id) }
        let now = ContinuousClock.now
        let began = state.withLock { state in
            if state.ends[id] == nil { state.ends[id] = now }
            return state.ends[id]!
        }
        logger.warning(
            "the processes of a deleted sandbox do not end yet: storage of one of its volumes may not answer",
            metadata: ["sandbox": "\(id)"])
        if await hasEnded(late, by: now + patience.end) { return forgetEnd(of: id) }
        if ContinuousClock.now - began >= patience.bucket, let record = SandboxRecord.read(from: folder.path) {
            await deletions.run { [volumes] in volumes.cutOffBuckets(of: record, folder) }
            if await hasEnded(late, by: .now + patience.end) { return forgetEnd(of: id) }
        }
        throw .system(
            action: "ending sandbox \(id)",
            reason: "\(late.name) does not end: storage of one of its volumes may not answer")
    }

    private func hasEnded(_ process: any LateEnd, by deadline: ContinuousClock.Instant) async -> Bool {
        while !process.hasEnded(within: 0) {
            guard ContinuousClock.now < deadline, !Task.isCancelled else { return false }
            try? await Task.sleep(for: Self.lookInterval)
        }
        return true
    }

    private func forgetEnd(of id: String) { state.withLock { $0.ends[id] = nil } }
}

/// How long the end of processes is waited for.
struct EndPatience: Hashable, Sendable {
    /// By one deletion, before it is tried again.
    var end = Duration.seconds(10)
    /// Since the first one, before a bucket's program is cut off. What is written may be on its way to the bucket.
    var bucket = Duration.seconds(60)
}

/// What has been killed, and may take its time.
private protocol LateEnd: Sendable {
    var name: String { get }
    func hasEnded(within milliseconds: Int) -> Bool
}

extension ControlGroup: LateEnd {
    fileprivate var name: String { "a process of the control group \(path)" }

    fileprivate func hasEnded(within milliseconds: Int) -> Bool {
        for _ in 0..<milliseconds / 5 {
            if isEmpty { return true }
            usleep(5000)
        }
        return isEmpty
    }
}

/// A process by its descriptor, which nobody else comes to have.
private final class RunningProcess: LateEnd {
    var name: String { "process \(pid)" }
    let pid: pid_t
    private let descriptor: FileDescriptor

    /// nil if it has ended.
    init?(_ process: SandboxProcess) {
        guard let descriptor = process.open() else { return nil }
        pid = process.pid
        self.descriptor = descriptor
    }

    func kill() { SandboxProcess.kill(descriptor.number) }
    func hasEnded(within milliseconds: Int) -> Bool {
        FileDescriptor.isReadable(descriptor.number, within: milliseconds)
    }
}
