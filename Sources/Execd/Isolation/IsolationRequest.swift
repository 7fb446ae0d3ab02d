import HTTPServer
import Spelling

/// The body of `POST /v1/isolated/session` (docs/wire.md#isolated-sessions), with what it leaves out filled in.
struct IsolationRequest: Hashable, Sendable {
    enum Profile: String, Codable, Sendable { case strict, balanced }
    enum UserMode: String, Codable, Sendable { case setpriv, userns }
    enum Mode: String, Codable, Sendable { case overlay, rw, ro }

    struct Overlay: Codable, Hashable, Sendable {
        var path: String
        var mode: Mode
        /// nil where it means nothing.
        var persist: Bool?
    }

    struct Bind: Codable, Hashable, Sendable {
        var source: String
        var dest: String
        var readonly: Bool
    }

    struct Passthrough: Codable, Hashable, Sendable {
        enum Mode: String, Codable, Sendable { case allow, deny }
        var mode: Mode
        var keys: [String]
    }

    var profile: Profile
    var overlays: [Overlay]
    /// Whether the first of `overlays` was given as `workspace`.
    var hasWorkspace: Bool
    var extraWritable: [String]
    var binds: [Bind]
    var sharesNetwork: Bool
    var passthrough: Passthrough
    var user, group: UInt32
    var userMode: UserMode
    var idleTimeout: Int64

    static let maxOverlays = 16
    /// The most paths of each list that is not the contract's to limit.
    private static let maxPaths = 64
    /// Ten years.
    private static let maxIdleTimeout: Int64 = 315_360_000

    // As clients write it.

    private struct Given: Decodable {
        struct Workspace: Decodable {
            var path: String
            var mode: String?
        }
        struct Overlay: Decodable {
            var path: String
            var mode: String?
            var persist: Bool?
        }
        struct Bind: Decodable {
            var source: String
            var dest: String?
            var readonly: Bool?
        }
        struct Passthrough: Decodable {
            var mode: String?
            var keys: [String]?
        }
        var profile: String?
        var workspace: Workspace?
        var overlays: [Overlay]?
        var extra_writable: [String]?
        var binds: [Bind]?
        var share_net: Bool?
        var env_passthrough: Passthrough?
        var uid, gid: UInt32?
        var uid_mode: String?
        var idle_timeout_seconds: Int64?
    }

    static func decode(_ body: [UInt8]) throws(RequestBodyError) -> IsolationRequest {
        let given = try RequestBody.decode(Given.self, from: body)
        return try IsolationRequest(given)
    }

    private init(_ given: Given) throws(RequestBodyError) {
        profile = try Self.choice("profile", given.profile, .strict)
        userMode = try Self.choice("uid_mode", given.uid_mode, .setpriv)
        var overlays: [Overlay] = []
        if let workspace = given.workspace { overlays.append(try Self.overlay(workspace.path, workspace.mode, nil)) }
        for overlay in given.overlays ?? [] {
            overlays.append(try Self.overlay(overlay.path, overlay.mode, overlay.persist))
        }
        self.overlays = overlays
        hasWorkspace = given.workspace != nil
        extraWritable = given.extra_writable ?? []
        binds = (given.binds ?? []).map {
            Bind(
                source: $0.source, dest: $0.dest.flatMap { $0.isEmpty ? nil : $0 } ?? $0.source,
                readonly: $0.readonly ?? false)
        }
        sharesNetwork = given.share_net ?? true
        passthrough = Passthrough(
            mode: try Self.choice("env_passthrough.mode", given.env_passthrough?.mode, .deny),
            keys: given.env_passthrough?.keys ?? [])
        user = given.uid ?? 0
        group = given.gid ?? given.uid ?? 0
        idleTimeout = given.idle_timeout_seconds ?? 0
        try validate()
    }

    private static func choice<Choice: RawRepresentable & NamedChoices>(
        _ field: String, _ text: String?, _ standard: Choice
    ) throws(RequestBodyError) -> Choice where Choice.RawValue == String {
        guard let text, !text.isEmpty else { return standard }
        guard let choice = Choice(rawValue: text) else {
            throw RequestBodyError("\(field) must be \(Choice.choices), not \(text.prefix(40))")
        }
        return choice
    }

    private static func overlay(_ path: String, _ mode: String?, _ persist: Bool?) throws(RequestBodyError) -> Overlay {
        let mode: Mode = try choice("mode of \(path.prefix(200))", mode, .overlay)
        guard mode == .overlay || persist != false else {
            throw RequestBodyError("persist: false is for the mode overlay; \(path.prefix(200)) has \(mode.rawValue)")
        }
        return Overlay(path: path, mode: mode, persist: mode == .overlay ? persist ?? true : nil)
    }

    private func validate() throws(RequestBodyError) {
        guard !overlays.isEmpty else { throw RequestBodyError("workspace or overlays is required") }
        guard overlays.count <= Self.maxOverlays else {
            throw RequestBodyError("\(overlays.count) overlays are more than \(Self.maxOverlays)")
        }
        guard extraWritable.count <= Self.maxPaths, binds.count <= Self.maxPaths, passthrough.keys.count <= 1024 else {
            throw RequestBodyError("extra_writable and binds have \(Self.maxPaths) entries at most, and keys 1024")
        }
        for path in overlays.map(\.path) + extraWritable + binds.flatMap({ [$0.source, $0.dest] }) {
            try Self.check(path)
        }
        guard Set(overlays.map(\.path)).count == overlays.count else {
            throw RequestBodyError("two overlays have one path")
        }
        for overlay in overlays {
            let isOfKernel = ["/proc", "/sys", "/dev", "/run", "/opt/opensandbox"].contains {
                FilePath.isInside(overlay.path, $0)
            }
            guard !isOfKernel else { throw RequestBodyError("\(overlay.path) cannot be a session's folder") }
        }
        guard user != .max, group != .max else {
            throw RequestBodyError("uid and gid must be numbers below \(UInt32.max)")
        }
        guard (0...Self.maxIdleTimeout).contains(idleTimeout) else {
            throw RequestBodyError("idle_timeout_seconds must be a number from 0 to \(Self.maxIdleTimeout)")
        }
    }

    /// Absolute and clean: what is mounted is what is written.
    private static func check(_ path: String) throws(RequestBodyError) {
        let parts = path.utf8.split(separator: FilePath.slash, omittingEmptySubsequences: false)
        let isClean =
            parts.count > 1 && parts[0].isEmpty
            && parts.dropFirst().allSatisfy {
                !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8)
            }
        guard isClean, path.utf8.count < 4096, !path.utf8.contains(0) else {
            throw RequestBodyError(
                "\"\(path.prefix(200))\" is not a path for a session: it must be absolute, below /, without ., .. and double slashes"
            )
        }
    }

    /// The folder of relative paths and of the shell: the workspace, else the shallowest.
    var folder: String {
        if hasWorkspace { return overlays[0].path }
        return ordered[0].path
    }

    /// Shallow ones first, so that deeper ones lie over them.
    var ordered: [Overlay] {
        overlays.enumerated().sorted { one, other in
            let (depth, otherDepth) = (Self.depth(one.element.path), Self.depth(other.element.path))
            return (depth, one.offset) < (otherDepth, other.offset)
        }.map(\.element)
    }

    private static func depth(_ path: String) -> Int { path.utf8.split(separator: FilePath.slash).count }

    /// Folders that a session's files are in.
    var mounts: [String] { overlays.map(\.path) + extraWritable + binds.map(\.dest) }
}

/// For messages that name what can be chosen.
protocol NamedChoices { static var choices: String { get } }
extension IsolationRequest.Profile: NamedChoices { static var choices: String { "strict or balanced" } }
extension IsolationRequest.UserMode: NamedChoices { static var choices: String { "setpriv or userns" } }
extension IsolationRequest.Mode: NamedChoices { static var choices: String { "overlay, rw or ro" } }
extension IsolationRequest.Passthrough.Mode: NamedChoices { static var choices: String { "allow or deny" } }

/// The body of `POST /v1/isolated/session/{id}/run`.
struct IsolatedRunRequest: Decodable, Hashable, Sendable {
    var code: String
    var envs: [ExactName: String]?
    var timeout_seconds: Int64?
    var background: Bool?

    static func decode(_ body: [UInt8]) throws(RequestBodyError) -> IsolatedRunRequest {
        let request = try RequestBody.decode(IsolatedRunRequest.self, from: body)
        guard request.code.contains(where: { !$0.isWhitespace }) else { throw RequestBodyError("code is empty") }
        try CommandRequest.checkTexts(envs: request.envs, [request.code])
        for name in (request.envs ?? [:]).keys where !ShellDialogue.isIdentifier(name.text) {
            throw RequestBodyError("envs: \"\(name.text.prefix(80))\" is not a name for a shell's variable")
        }
        let (milliseconds, overflows) = (request.timeout_seconds ?? 0).multipliedReportingOverflow(by: 1000)
        guard !overflows else { throw RequestBodyError("timeout_seconds is too large") }
        try TimeLimit.check(milliseconds)
        return request
    }
}
