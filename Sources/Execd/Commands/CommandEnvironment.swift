import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What every command gets: execd's variables, those that a gated start was told, then those of the file that `EXECD_ENVS`
/// names; a shell; a control group.
struct CommandEnvironment: Sendable {
    private let base: [ExactName: String]
    /// bash, or sh if there is none.
    let shell: String
    /// The control group that commands are in, beside execd's.
    let group: MemberFiles
    private let gate: GatedStart

    /// - Parameter shell: nil to look for it.
    init(
        _ base: [ExactName: String], shell: String? = nil, group: MemberFiles = MemberFiles(), gate: GatedStart = .open
    ) {
        self.group = group
        self.gate = gate
        var base = base
        if base["PATH"] == nil { base["PATH"] = ProcessSpec.defaultPath }
        // What opens this API and the sandbox's Jupyter is execd's.
        for name in Setting.keptFromCommands { base[name] = nil }
        self.base = base
        self.shell = shell ?? Self.anyShell
    }

    static var anyShell: String {
        ["/bin/bash", "/usr/bin/bash"].first { access($0, X_OK) == 0 } ?? "/bin/sh"
    }

    /// The environment for one command; reads the file each time.
    /// - Parameter requested: variables of the request, which go over all others but the sandbox's identity.
    func current(with requested: [ExactName: String]? = nil) -> [ExactName: String] {
        let told = gate.told?.variables ?? [:]
        var variables = base.merging(told) { _, new in new }
        let identity = variables[ExecdVariables.identity]
        variables.merge(fileVariables()) { _, new in new }
        variables.merge(requested ?? [:]) { _, new in new }
        if let identity { variables[ExecdVariables.identity] = identity }
        return variables
    }

    /// The variables that clients have set for all commands. A file that cannot be read has none.
    func fileVariables() -> [ExactName: String] {
        guard let path = base[Setting.environmentFile.name], let text = File.text(path, limit: Self.maxFile) else {
            return [:]
        }
        var variables = EnvironmentFile.parse(text, over: base)
        variables[ExecdVariables.identity] = nil
        return variables
    }

    private static let maxFile = 1 << 20
}
