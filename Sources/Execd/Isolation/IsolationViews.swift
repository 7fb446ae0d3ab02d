import System

#if canImport(Glibc)
    import Glibc
#endif

/// What clients read of isolated sessions (docs/wire.md#isolated-sessions).
enum IsolationTime {
    static func text(_ milliseconds: Int64) -> String {
        InternetTime.text(milliseconds: milliseconds)
    }
}

struct CreatedSession: Encodable {
    var session_id: String
    var created_at: String

    init(_ session: IsolatedSession) {
        session_id = session.id
        created_at = IsolationTime.text(session.createdAt)
    }
}

struct SessionList: Encodable {
    var sessions: [SessionSummary]
}

struct SessionSummary: Encodable {
    var session_id: String
    var status: IsolatedSession.Status
    var created_at: String
    var last_run_at: String
    var idle_remaining_seconds: Int64?

    init(_ session: IsolatedSession) {
        session_id = session.id
        status = session.status
        created_at = IsolationTime.text(session.createdAt)
        last_run_at = IsolationTime.text(session.lastRun)
        idle_remaining_seconds = session.idleRemaining
    }
}

/// A session with what was asked for, filled in: a client makes a handle of it.
struct SessionState: Encodable {
    struct Workspace: Encodable {
        var path: String
        var mode: IsolationRequest.Mode
    }

    var session_id: String
    var status: IsolatedSession.Status
    var created_at: String
    var last_run_at: String
    var idle_remaining_seconds: Int64?
    var profile: IsolationRequest.Profile
    /// Only where it is the one folder.
    var workspace: Workspace?
    var overlays: [IsolationRequest.Overlay]
    var extra_writable: [String]
    var binds: [IsolationRequest.Bind]
    var share_net: Bool
    var env_passthrough: IsolationRequest.Passthrough
    var uid, gid: UInt32
    var uid_mode: IsolationRequest.UserMode
    var idle_timeout_seconds: Int64

    init(_ session: IsolatedSession) {
        let summary = SessionSummary(session), request = session.request
        session_id = summary.session_id
        status = summary.status
        created_at = summary.created_at
        last_run_at = summary.last_run_at
        idle_remaining_seconds = summary.idle_remaining_seconds
        profile = request.profile
        workspace =
            request.overlays.count == 1
            ? Workspace(path: request.overlays[0].path, mode: request.overlays[0].mode) : nil
        overlays = request.overlays
        extra_writable = request.extraWritable
        binds = request.binds
        share_net = request.sharesNetwork
        env_passthrough = request.passthrough
        (uid, gid) = (request.user, request.group)
        uid_mode = request.userMode
        idle_timeout_seconds = request.idleTimeout
    }
}

struct StartedRun: Encodable {
    var session_id, run_id, started_at: String
}

struct RunStatus: Encodable {
    var session_id, run_id: String
    var running: Bool
    var exit_code: Int32?
    var error: String?
    var started_at: String
    var finished_at: String?

    init(_ run: BackgroundRun, of session: IsolatedSession) {
        session_id = session.id
        run_id = run.id
        running = run.isRunning
        exit_code = run.code
        error = run.failure
        started_at = IsolationTime.text(run.startedAt)
        finished_at = run.finishedAt.map(IsolationTime.text)
    }
}

/// What works here.
struct IsolationCapabilities: Encodable {
    struct Layer: Encodable {
        var state: String
        var message: String?
    }
    struct Hardening: Encodable {
        var init_mode: String
        var signal_shield: Bool
        var cap_drop, seccomp, landlock, ebpf: Layer
    }

    var available: Bool
    var isolator: String
    var version: String
    var message: String?
    var setpriv_available: Bool
    var userns_available: Bool
    var commit_supported: Bool
    var diff_supported: Bool
    var hardening: Hardening

    init(_ support: IsolationSupport, _ host: SessionHost?) {
        available = support.isAvailable
        // Built by execd itself: what is in the image may be anybody's, and would have rights that nothing of it may have.
        isolator = "execd"
        version = Release.version
        message = support.message
        setpriv_available = support.setpriv == nil
        userns_available = support.userns == nil
        (commit_supported, diff_supported) = (support.overlay == nil, support.overlay == nil)
        let isFirst = getppid() == 1
        let layer =
            host?.isGuarded == true
            ? Layer(state: "active")
            : Layer(state: "disabled", message: "commands have the rights that execd was started with")
        let none = Layer(state: "unsupported", message: "execd does not use it")
        hardening = Hardening(
            init_mode: isFirst ? "pid1" : "none", signal_shield: isFirst, cap_drop: layer, seccomp: layer,
            landlock: none,
            ebpf: none)
    }
}
