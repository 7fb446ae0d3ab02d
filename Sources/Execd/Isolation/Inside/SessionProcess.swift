import CLinux
import JSON
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The first process of an isolated session. It builds what the session sees, starts the shell, gives up all rights, and then
/// passes on interrupts, reaps, and ends with the shell or with the server, and the whole session with it.
enum SessionProcess {
    /// What the server says.
    enum Order: String {
        case go
        /// INT to the run.
        case interrupt
        /// The end of all that the run has started in its process group; the shell stays.
        case kill
        /// The end of the shell, too, and another in its place.
        case restart
    }

    private static let socket: CInt = 3

    static func run(_ options: Options) -> Int32 {
        guard let folder = options.isolation else { return 2 }
        // Not even root in the session, who has more capabilities than this will have, looks into it.
        _ = linux_set_dumpable(0)
        let signals = linux_signal_descriptor([SIGCHLD, SIGTERM], 2)
        let server = SessionChannel(descriptor: socket)
        do {
            guard signals >= 0 else { throw SessionFailure("waiting for signals", code: -signals) }
            try server.send("process", passing: try check("naming the session", linux_pidfd_open(getpid())))
            let wires = try Wires(from: server)
            let plan = try plan(wires.plan)
            try SessionMounts(plan, folder: folder).build()
            try server.send(
                "root",
                passing: try check("opening the session's root", open("/", LINUX_O_PATH | O_DIRECTORY | O_CLOEXEC)))
            // Nothing of the session's code runs before the server knows its processes.
            guard try server.receive().text == Order.go.rawValue else { return 0 }
            let shell = try start(plan, wires)
            // What is left of this process's rights starts other shells, and ends whatever there is in the session.
            let kept = plan.hasOwnUsers ? 1 << 5 /* CAP_KILL */ : capabilitiesOfRoot | 1 << 8 /* CAP_SETPCAP */
            guard linux_confine(-1, -1, kept) == 0 else {
                throw SessionFailure(.failed, "the session's rights cannot be given up")
            }
            guard linux_refuse_calls(LINUX_REFUSE_FOR_SESSION) == 0 else {
                throw SessionFailure(.failed, "the session's system calls cannot be limited")
            }
            try server.send("started")
            return serve(server, signals, shell) { try start(plan, wires, isLimited: true) }
        } catch let failure as SessionFailure {
            try? server.send(failure.message)
        } catch {
            try? server.send(SessionFailure(.failed, "\(error)").message)
        }
        return 1
    }

    /// The descriptors that come with the first messages, in this order.
    private struct Wires {
        var plan, input, output, errors: CInt

        init(from server: SessionChannel) throws {
            var all: [CInt] = []
            for _ in 0..<4 {
                let descriptor = try server.receive().passed
                guard descriptor >= 0 else { throw SessionFailure(.failed, "the server has gone") }
                all.append(descriptor)
            }
            (plan, input, output, errors) = (all[0], all[1], all[2], all[3])
        }
    }

    private static func check(_ step: String, _ result: CInt) throws(SessionFailure) -> CInt {
        guard result >= 0 else { throw SessionFailure(step, code: result == -1 ? errno : -result) }
        return result
    }

    private static func plan(_ descriptor: CInt) throws -> SessionPlan {
        lseek(descriptor, 0, SEEK_SET)
        let plan: SessionPlan = try JSONValue(try File.read(descriptor)).decode()
        guard SessionPlan.isFolderName(plan.folder), !plan.shell.isEmpty else {
            throw SessionFailure(.refused, "the plan names no folder or no shell")
        }
        return plan
    }

    /// Root's rights in a session, over the files it sees and its own processes: those of a sandbox's root without what changes
    /// roots, capabilities and users' rights.
    private static let capabilitiesOfRoot: UInt64 = [0, 1, 3, 4, 5, 6, 7, 10].reduce(0) { $0 | 1 << $1 }

    /// - Parameter isLimited: whether this process has the session's limits already, and so what it starts.
    private static func start(_ plan: SessionPlan, _ wires: Wires, isLimited: Bool = false) throws -> pid_t {
        var launch = ProcessLaunch(plan.shell, environment: plan.environment)
        launch.directory = plan.directory
        (launch.input, launch.output, launch.error) = (wires.input, wires.output, wires.errors)
        launch.hasOwnGroup = true
        launch.outOfMemoryScore = Rank.command.rawValue
        var confinement = ProcessLaunch.Confinement(capabilities: 0, refusals: isLimited ? .none : .forSession)
        if plan.hasOwnUsers {
            confinement.ownUsers = .init(user: plan.user, group: plan.group)
        } else {
            (launch.user, launch.group) = (plan.user, plan.group)
            if plan.user == 0 { confinement.capabilities = capabilitiesOfRoot }
        }
        launch.confinement = confinement
        do throws(SystemCallError) { return try launch.start() } catch {
            throw SessionFailure(
                "starting \(plan.shell[0]) as \(plan.user):\(plan.group)", code: error.code,
                kind: plan.hasOwnUsers ? .unsupported : .failed)
        }
    }

    private static func serve(
        _ server: SessionChannel, _ signals: CInt, _ first: pid_t, restart: () throws -> pid_t
    ) -> Int32 {
        var shell = first
        while true {
            var waits = [
                pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
                pollfd(fd: server.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&waits, nfds_t(waits.count), -1) > 0 else { continue }
            if waits[1].revents != 0 {
                switch (try? server.receive().text).flatMap(Order.init(rawValue:)) {
                case .interrupt: kill(-shell, SIGINT)
                case .kill: endOthers(than: shell)
                case .restart:
                    kill(-shell, SIGKILL)
                    while waitpid(shell, nil, 0) < 0, errno == EINTR {}
                    guard let other = try? restart() else { return 1 }
                    shell = other
                case .go: break
                case nil: return 0
                }
            }
            if waits[0].revents != 0 {
                while true {
                    let number = linux_read_signal(signals)
                    guard number != 0 else { break }
                    if number == SIGTERM { return 0 }
                }
                while true {
                    var status: Int32 = 0
                    let pid = waitpid(-1, &status, WNOHANG)
                    guard pid > 0 else { break }
                    if pid == shell { return ProcessExit(waited: status).code }
                }
            }
        }
    }

    /// Three times, since one that is about to fork may escape a look.
    private static func endOthers(than shell: pid_t) {
        for _ in 0..<3 {
            for pid in ProcessNumbers.all() where pid != shell && pid != getpid() {
                guard let text = File.text("/proc/\(pid)/stat"), ProcessStat.group(in: text) == shell else {
                    continue
                }
                kill(pid, SIGKILL)
            }
        }
    }
}
