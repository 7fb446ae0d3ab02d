import CLinux
import JSON
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A session that has been built, and how the server reaches it.
struct OpenSession: Sendable {
    /// For `SessionProcess.Order`. The session ends when it is closed.
    let orders: SessionChannel
    /// Its first process; the session's owner closes it.
    let pidfd: CInt
    let root: SessionRoot
    let dialogue: ControlChannel
    let process: RunningProcess
}

/// Asks for sessions, wherever they are built.
final class SessionHost: Sendable {
    /// For what sessions change.
    let folder: String
    private let starter: SessionChannel
    /// Whether everything else in the sandbox has given up what builds sessions.
    let isGuarded: Bool

    /// How long one step of the building of a session may take, in seconds.
    private static let patience = 10

    /// - Parameter starter: where sessions are asked for.
    init(folder: String, starter: SessionChannel, isGuarded: Bool) {
        (self.folder, self.starter, self.isGuarded) = (folder, starter, isGuarded)
    }

    /// Removes what sessions of an earlier server have left, in the background, since it may be much. They end with that server, and
    /// no other session gets a folder of their names.
    func removeStale() {
        mkdir(FilePath.folder(of: folder), 0o755)
        mkdir(folder, 0o700)
        chmod(folder, 0o700)
        // Listed now: what there is later are folders of sessions of this server.
        let stale = (File.names(in: folder) ?? []).filter(SessionPlan.isFolderName)
        guard !stale.isEmpty else { return }
        FileWork.later { [folder] in
            for name in stale { try? FolderChanges.removeTree(folder + "/" + name) }
        }
    }

    /// Builds a session; may take as long as the kernel does.
    func open(_ plan: SessionPlan, deliver: @escaping ProcessLoop.Delivery) throws(SessionFailure) -> OpenSession {
        let path = folder + "/" + plan.folder
        guard mkdir(path, 0o700) == 0 else { throw SessionFailure("making \(path)", code: errno) }
        do throws(SessionFailure) { return try build(plan, deliver) } catch {
            try? remove(plan.folder)
            throw error
        }
    }

    /// Nothing of what a session has changed is left.
    func remove(_ name: String) throws(FileError) { try FolderChanges.removeTree(folder + "/" + name) }

    private func build(
        _ plan: SessionPlan, _ deliver: @escaping ProcessLoop.Delivery
    ) throws(SessionFailure) -> OpenSession {
        let orders = try Self.asking { () throws(SystemCallError) in try request() }
        let pidfd = try Self.answer(orders, "process")
        let dialogue: ControlChannel
        var wires: ProcessWires
        do throws(SpawnError) {
            dialogue = try ControlChannel()
            wires = try ProcessWires(.control(dialogue), for: "session", owner: plan.hasOwnUsers ? nil : plan.user)
        } catch {
            close(pidfd)
            throw SessionFailure("making pipes", code: error.code)
        }
        do throws(SessionFailure) {
            defer { wires.closeFar() }
            try Self.asking { () throws(SystemCallError) in try send(plan, dialogue, wires, orders) }
            let root = SessionRoot(descriptor: try Self.answer(orders, "root"))
            let own = fcntl(pidfd, F_DUPFD_CLOEXEC, 3)
            guard own >= 0 else { throw SessionFailure("keeping the session's process", code: errno) }
            do throws(SessionFailure) {
                try Self.asking { () throws(SystemCallError) in try orders.send(SessionProcess.Order.go.rawValue) }
                _ = try Self.answer(orders, "started")
            } catch {
                close(own)
                throw error
            }
            // Its descriptors are the loop's from here on.
            let process = ProcessLoop.shared.watch(own, wires, deliver: deliver)
            return OpenSession(orders: orders, pidfd: pidfd, root: root, dialogue: dialogue, process: process)
        } catch {
            wires.closeNear()
            _ = linux_pidfd_send_signal(pidfd, SIGKILL)
            close(pidfd)
            throw error
        }
    }

    /// The other end goes with this call: where no process has it, the next answer says so.
    private func request() throws(SystemCallError) -> SessionChannel {
        let (near, far) = try SessionChannel.pair()
        near.limitWaiting(seconds: Self.patience)
        try starter.send("session", passing: far.descriptor)
        return near
    }

    private func send(
        _ plan: SessionPlan, _ dialogue: ControlChannel, _ wires: ProcessWires, _ orders: SessionChannel
    ) throws(SystemCallError) {
        // Strings and numbers always encode.
        let text = try! JSONText.of(plan)
        let file = linux_memory_file("session", text, text.count)
        guard file >= 0 else { throw SystemCallError(code: -file) }
        defer { close(file) }
        try orders.send("plan", passing: file)
        try orders.send("input", passing: dialogue.far)
        try orders.send("output", passing: wires.far.output)
        try orders.send("errors", passing: wires.far.errors)
    }

    private static func asking<Result>(
        _ body: () throws(SystemCallError) -> Result
    ) throws(SessionFailure) -> Result {
        do throws(SystemCallError) { return try body() } catch {
            throw SessionFailure("asking for a session", code: error.code, kind: .unsupported)
        }
    }

    /// The descriptor that comes with an answer; -1 for none.
    private static func answer(_ orders: SessionChannel, _ expected: String) throws(SessionFailure) -> CInt {
        let answer = try asking { () throws(SystemCallError) in try orders.receive() }
        if answer.text == expected { return answer.passed }
        if answer.passed >= 0 { close(answer.passed) }
        if let failure = SessionFailure(message: answer.text) { throw failure }
        throw SessionFailure(.unsupported, "the process of the session could not be started (step: \(expected))")
    }
}
