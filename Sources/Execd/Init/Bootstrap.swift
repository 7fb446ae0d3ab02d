import CLinux
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What is done before the sandbox's program and the API start, in the order of the reference's bootstrap.sh: the authority of
/// an intercepting proxy is trusted, the file of shared variables is made, a script is sourced, and a hook is run.
struct Bootstrap {
    let step: StartStep
    /// This program, for the shell that sources the script.
    let executable: String
    /// Where the start's progress is written; nil for nowhere.
    let statusFile: String?

    static let usualEnvironmentFile = "/opt/opensandbox/.env"

    /// - Returns: the environment of the program and of the API.
    func run(_ environment: [ExactName: String]) throws(StartFailure) -> [ExactName: String] {
        var environment = environment
        if environment["PATH"] == nil { environment["PATH"] = ProcessSpec.defaultPath }
        if CertificateTrust.isWanted(environment) {
            environment.merge(try CertificateTrust(step: step).establish(environment)) { _, new in new }
        }
        let file = environment[Setting.environmentFile.name] ?? ""
        environment[Setting.environmentFile.name] = file.isEmpty ? Self.usualEnvironmentFile : file
        Self.prepare(environment[Setting.environmentFile.name]!)
        if let script = environment[Setting.preScript.name], !script.isEmpty {
            environment = try source(script, environment)
        }
        try refuseCloneThree(environment)
        try runHook(&environment)
        return environment
    }

    /// Makes the file that clients append variables to. A sandbox goes without it where it cannot be made.
    static func prepare(_ path: String) {
        do throws(FileError) {
            if path.hasPrefix("/") { _ = try FolderChanges.create(FilePath.folder(of: path)) }
        } catch { return complain("\(error): variables that clients set are lost") }
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0o644)
        guard file >= 0 else {
            return complain(
                "cannot make \(path): \(String(cString: strerror(errno))): variables that clients set are lost")
        }
        close(file)
    }

    /// Sources a script as bootstrap.sh does, and takes what it exports.
    private func source(_ script: String, _ environment: [ExactName: String]) throws(StartFailure) -> [ExactName:
        String]
    {
        guard let shell = Workload.shell(environment) else {
            throw StartFailure(code: 127, reason: "\(Setting.preScript.rawValue) needs a shell, and the image has none")
        }
        let exports = linux_scratch_file("execd-variables")
        guard exports >= 0 else {
            throw StartFailure(
                code: 125, reason: "cannot make a file in memory: \(String(cString: strerror(-exports)))")
        }
        defer { close(exports) }
        let spec = ProcessSpec(
            arguments: [shell, "-e", "-c", #". "$1"; exec "$0" --variables-to 3"#, executable, script],
            environment: environment, rank: .entrypoint)
        if case .ended(let end) = try step.run(spec, passed: [exports]), end.code != 0 {
            throw StartFailure(code: end.code, reason: "\(script) ended with \(end.code)")
        }
        lseek(exports, 0, SEEK_SET)
        guard let bytes = try? File.read(exports, limit: VariableList.maxBytes) else {
            throw StartFailure(code: 1, reason: "\(script) exports more than \(VariableList.maxBytes) bytes")
        }
        var exported = VariableList.parse(bytes)
        // The shell's own.
        for name in ["_", "SHLVL", "PWD", "OLDPWD"] as [ExactName] { exported[name] = environment[name] }
        return exported
    }

    /// Old container engines refuse a call that they do not know with a code that C libraries take for an error.
    private func refuseCloneThree(_ environment: [ExactName: String]) throws(StartFailure) {
        guard let text = environment[Setting.cloneCompatibility.name], text == "reexec" || Truth(text) == .yes else {
            return
        }
        let failure = linux_refuse_clone3()
        guard failure == 0 else {
            throw StartFailure(
                code: 125,
                reason:
                    "\(Setting.cloneCompatibility.rawValue): cannot install a filter: \(String(cString: strerror(-failure)))"
            )
        }
    }

    /// The hook that has to succeed before the program starts.
    private func runHook(_ environment: inout [ExactName: String]) throws(StartFailure) {
        let hooks: LifecycleHooks?
        do throws(RequestBodyError) { hooks = try LifecycleHooks.configured(environment) } catch {
            throw StartFailure(code: 125, reason: error.description)
        }
        guard let hook = hooks?.preStart else { return note("done 0") }
        let limit = hook.timeoutSeconds ?? LifecycleHooks.usualSeconds
        note("running \(limit)")
        var given = environment
        for name in Setting.keptFromEntrypoint { given[name] = nil }
        let code: Int32
        switch try step.run(ProcessSpec(arguments: hook.command, environment: given, rank: .entrypoint), within: limit)
        {
        case .ended(let end): code = end.code
        case .late: code = 124
        }
        note("done \(code)")
        guard code == 0 else {
            let end = code == 124 ? "did not end within \(limit) s" : "ended with \(code)"
            throw StartFailure(code: code, reason: "the hook preStart, \(hook.command[0]), \(end)")
        }
    }

    private func note(_ line: String) {
        guard let statusFile else { return }
        let file = open(statusFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { return Self.complain("cannot write \(statusFile): \(String(cString: strerror(errno)))") }
        defer { close(file) }
        try? File.write(Array("\(line)\n".utf8), to: file)
    }

    static func complain(_ text: String) {
        let line = "execd: \(text)\n"
        write(STDERR_FILENO, line, line.utf8.count)
    }
}

/// Variables as the kernel keeps them: `NAME=value`, each with a zero behind it.
enum VariableList {
    static let maxBytes = 4 << 20

    static func bytes(_ environment: [ExactName: String]) -> [UInt8] {
        environment.flatMap { Array("\($0.key)=\($0.value)\0".utf8) }
    }

    static func parse(_ bytes: [UInt8]) -> [ExactName: String] {
        var found: [ExactName: String] = [:]
        for entry in bytes.split(separator: 0) {
            guard let sign = entry.firstIndex(of: UInt8(ascii: "=")), sign > entry.startIndex else { continue }
            found[ExactName(String(decoding: entry[..<sign], as: UTF8.self))] = String(
                decoding: entry[(sign + 1)...], as: UTF8.self)
        }
        return found
    }
}
