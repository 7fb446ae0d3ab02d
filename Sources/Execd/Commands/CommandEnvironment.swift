import FoundationEssentials
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What every command gets: execd's variables, then those of the file that `EXECD_ENVS` names; a shell; a control group.
struct CommandEnvironment: Sendable {
    private let base: [ExactName: String]
    /// bash, or sh if there is none.
    let shell: String
    /// The control group that commands are in, beside execd's.
    let group: MemberFiles

    /// - Parameter shell: nil to look for it.
    init(_ base: [ExactName: String], shell: String? = nil, group: MemberFiles = MemberFiles()) {
        self.group = group
        var base = base
        if base["PATH"] == nil { base["PATH"] = ProcessSpec.defaultPath }
        // What opens the sandbox's Jupyter is execd's.
        for name in ["JUPYTER_TOKEN", "JUPYTER_HOST"] as [ExactName] { base[name] = nil }
        self.base = base
        self.shell = shell ?? ["/bin/bash", "/usr/bin/bash"].first { access($0, X_OK) == 0 } ?? "/bin/sh"
    }

    /// The environment for one command; reads the file each time.
    func current() -> [ExactName: String] { base.merging(fileVariables()) { _, new in new } }

    func fileVariables() -> [ExactName: String] {
        guard let path = base["EXECD_ENVS"], let text = File.text(path) else { return [:] }
        return EnvironmentFile.parse(text)
    }
}
