import Spelling

#if canImport(Glibc)
    import Glibc
#endif

/// The sandbox's program, as the reference's bootstrap.sh chooses it.
enum Workload {
    /// The variable before the arguments; a shell for `-c text`, and for nothing at all.
    /// - Parameter isProgram: whether a path can be run.
    /// - Returns: nil where a shell is needed and the image has none.
    static func arguments(
        _ arguments: [String], _ environment: [ExactName: String],
        isProgram: (String) -> Bool = { access($0, X_OK) == 0 }
    ) -> [String]? {
        let text = environment[Setting.shellCommand.name] ?? ""
        guard !text.isEmpty || arguments.isEmpty || arguments[0] == "-c" else { return arguments }
        guard let shell = shell(environment, isProgram) else { return nil }
        return text.isEmpty ? [shell] + arguments : [shell, "-c", text]
    }

    /// `BOOTSTRAP_SHELL`, or bash, or sh; nil where there is none.
    static func shell(
        _ environment: [ExactName: String], _ isProgram: (String) -> Bool = { access($0, X_OK) == 0 }
    ) -> String? {
        let chosen = environment[Setting.shell.name] ?? ""
        let names = (chosen.isEmpty ? [] : [chosen]) + ["bash", "sh"]
        let folders = (environment["PATH"] ?? ProcessSpec.defaultPath).split(separator: ":").filter {
            $0.hasPrefix("/")
        }
        for name in names {
            let paths = name.contains("/") ? [name] : folders.map { "\($0)/\(name)" }
            if let path = paths.first(where: isProgram) { return path }
        }
        return nil
    }
}
