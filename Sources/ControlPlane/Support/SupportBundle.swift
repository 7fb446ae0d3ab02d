import CLinux
import JSON
import Observability
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What somebody who is asked for help wants to see of a server, in one archive without secrets (docs/debugging.md). It is made by
/// reading alone, whether the server runs or not: nothing of sandboxes is in it but how many there are of each state.
package struct SupportBundle {
    private let facts: SupportFacts
    private let settings: Settings
    private let tree: JSONValue
    private let problem: String?
    private let environment: [String: String]
    private let redaction: Redaction
    /// Bytes of a log that are read, from its end.
    private static let logBytes: Int64 = 2 << 20

    /// A configuration that a server would refuse is no obstacle: what is wrong with it is in the archive.
    /// - Parameters:
    ///   - path: as `Settings.load` takes it.
    ///   - stateDirectory: in the configuration's place.
    /// - Throws: for anybody but root, who could not read the secrets that are looked for, and for a file that is not there.
    package init(path: String?, environment: [String: String], stateDirectory: String?) throws(ConfigurationError) {
        guard geteuid() == 0 else {
            throw ConfigurationError(
                "run support-bundle as root: who cannot read the server's secrets cannot keep them out of an archive")
        }
        var settings = Settings(), tree = JSONValue.object(JSONObject()), problem: String?, broken: String?
        if let path, access(path, R_OK) != 0 {
            throw ConfigurationError("the configuration \(path) cannot be read: \(String(cString: strerror(errno)))")
        }
        do throws(ConfigurationError) {
            if let found = try Settings.tree(path: path, environment: environment) {
                tree = found.tree
                do throws(ConfigurationError) { try settings.apply(tree, path: found.path) } catch {
                    problem = "\(error)"
                }
            }
        } catch {
            // What the reader says of a text may repeat a part of it.
            problem = "the configuration is no TOML, or cannot be read: `sallyport serve` says where"
            broken = File.text(
                path ?? environment["SANDBOX_CONFIG_PATH"] ?? (environment["HOME"] ?? "/root") + "/.sandbox.toml")
        }
        do throws(ConfigurationError) { try settings.apply(environment: environment) } catch {
            problem = problem ?? "\(error)"
        }
        settings.local.stateDirectory = stateDirectory ?? settings.local.stateDirectory
        var secrets = KnownSecrets(settings, tree, environment)
        if let broken { secrets.add(brokenConfiguration: broken) }
        (self.settings, self.tree, self.problem, self.environment) = (settings, tree, problem, environment)
        redaction = Redaction(secrets: secrets.all)
        facts = SupportFacts(settings: settings)
    }

    /// Writes it as a gzip file of this user's alone.
    /// - Parameter logs: of the server, beside `log.file_path`.
    /// - Throws: if the file is there already, or cannot be written.
    package func write(to path: String, logs: [String] = []) async throws(ConfigurationError) {
        var archive = TarArchive(folder: "sallyport-support", time: Int64(time(nil)))
        archive.add("configuration.json", Array(configuration.utf8))
        for (name, text) in await files(logs) { archive.add(name, Array(redaction.text(text).utf8)) }
        let output = try Self.made(path)
        do throws(SystemCallError) {
            let bytes = archive.finished
            let file = bytes.withUnsafeBytes { linux_memory_file("sallyport-support", $0.baseAddress, $0.count) }
            guard file >= 0 else { throw SystemCallError(code: -file) }
            let input = try FileDescriptor(file)
            var launch = ProcessLaunch(["gzip", "-c"], environment: [])
            launch.searchPath = "/usr/bin:/bin"
            (launch.input, launch.output) = (input.number, output.number)
            guard ProcessExit(waitingFor: try launch.start()) == .exited(0) else { throw SystemCallError(code: EIO) }
        } catch {
            unlink(path)
            throw ConfigurationError("\(path) cannot be written by gzip(1): \(error)")
        }
    }

    private static func made(_ path: String) throws(ConfigurationError) -> FileDescriptor {
        do throws(SystemCallError) {
            return try FileDescriptor(opening: path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        } catch {
            throw ConfigurationError(
                "\(path) cannot be written: \(error.code == EEXIST ? "it is there already" : "\(error)")")
        }
    }

    /// Name and text of each but the configuration, before anything is taken out.
    func files(_ more: [String] = []) async -> [(name: String, text: String)] {
        var files = [
            ("versions.txt", facts.versions), ("environment.txt", variables),
            ("state.txt", facts.state), ("kernel.txt", facts.kernel), ("ruleset.txt", facts.ruleset),
            ("status.txt", await facts.status),
        ]
        guard problem == nil else {
            // Where keys and certificates are, is not known either, and so not what of a log is secret.
            files.append(("configuration-problem.txt", (problem ?? "") + "\nNo log is here until that is corrected.\n"))
            return files
        }
        let logs = [settings.log.file?.path].compactMap { $0 } + more
        for (place, path) in logs.enumerated() {
            files.append(("log-\(place + 1).txt", "\(path)\n\n" + Self.end(of: path)))
        }
        if logs.isEmpty {
            files.append(("log.txt", "the log goes to standard error: add --log FILE, or set log.file_enabled\n"))
        }
        return files
    }

    private var configuration: String {
        String(decoding: redaction.configuration(tree).encoded, as: UTF8.self) + "\n"
    }

    /// Names alone.
    private var variables: String {
        environment.keys.filter { $0.hasPrefix("OPENSANDBOX_") || $0.hasPrefix("SANDBOX_") || $0.hasPrefix("OTEL_") }
            .sorted().map { "\($0) is set\n" }.joined()
    }

    private static func end(of path: String) -> String {
        do throws(SystemCallError) {
            let file = try FileDescriptor(opening: path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
            var status = stat()
            guard fstat(file.number, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                return "it is not a regular file\n"
            }
            let start = max(0, Int64(status.st_size) - logBytes)
            guard lseek(file.number, off_t(start), SEEK_SET) >= 0 else { throw .last }
            let bytes = try File.read(file.number, limit: Int(logBytes) * 2)
            // The first line may be a part of one, of which a secret would not be known again.
            let whole = start == 0 ? bytes[...] : bytes.drop { $0 != UInt8(ascii: "\n") }.dropFirst()
            return String(decoding: whole, as: UTF8.self)
        } catch { return "it cannot be read: \(error)\n" }
    }
}
