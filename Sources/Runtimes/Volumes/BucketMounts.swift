import CLinux
import Netfilter
import SafeText
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Mounts buckets, each for one sandbox: nobody gets at one that others' keys have opened, and it goes with its sandbox.
/// The program stays in the background and ends by itself when nothing shows its mount any more.
struct BucketMounts: Hashable, Sendable {
    /// The folder of the mounts, made if it is missing.
    let root: String
    /// Where the programs are looked for.
    var folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

    private static let milliseconds: Int32 = 30_000

    /// - Throws: if the program is not installed.
    func check(_ claim: BucketClaim) throws(VolumeProblem) { _ = try find(claim.version == .one ? "ossfs" : "ossfs2") }

    private func find(_ program: String) throws(VolumeProblem) -> String {
        guard
            let found = folders.map({ "\($0)/\(program)" }).first(where: { (path: String) in access(path, X_OK) == 0 })
        else {
            throw VolumeProblem(
                .bucketMountFailed, "this server cannot mount buckets: the program \(program) is not installed")
        }
        return found
    }

    /// In the name of the sandbox and of the volume, neither of which leads anywhere.
    private func target(_ volume: SandboxVolume, sandbox: String) -> String { "\(root)/\(sandbox)-\(volume.name)" }

    /// - Returns: a descriptor (O_PATH) of the bucket's files.
    func mount(
        _ claim: BucketClaim, _ volume: SandboxVolume, _ keys: BucketKeys, sandbox: String, owner: UInt32
    ) throws(RuntimeError) -> FileDescriptor {
        let target = target(volume, sandbox: sandbox)
        func failed(_ reason: String) -> RuntimeError {
            .volume(
                VolumeProblem(.bucketMountFailed, "the bucket of volume \(volume.name) could not be mounted: \(reason)")
            )
        }
        var made = ""
        for step in (root + "/" + target.splitAtLastSlash.name).split(separator: "/") {
            made += "/" + step
            guard mkdir(made, 0o711) == 0 || errno == EEXIST else {
                throw failed("making \(made): \(String(cString: strerror(errno)))")
            }
        }
        let file = target + ".keys", log = target + ".log"
        defer { for path in [file, log] { unlink(path) } }
        let command = BucketCommand(
            claim, keys, prefix: volume.subPath, owner: owner, target: target, path: file)
        do throws(SystemCallError) {
            try File.write(Array(command.file.utf8), to: file, mode: 0o600)
            try File.write([], to: log, mode: 0o600)
        } catch { throw failed("\(error)") }
        let code: Int32?
        do {
            code = try run(find(command.program), command.arguments, log: log)
        } catch { throw failed("\(error)") }
        guard code == 0, linux_is_mount_point(target) == 1 else {
            let said = Self.scrubbed(File.text(log, limit: 4096) ?? "", keys)
            throw failed(
                code == nil ? "it took longer than \(Self.milliseconds / 1000) s" : "\(command.program) said: \(said)")
        }
        do throws(SystemCallError) {
            return try FileDescriptor(opening: target, LINUX_O_PATH | O_DIRECTORY | O_NOFOLLOW)
        } catch { throw failed("\(error)") }
    }

    /// What was mounted for a sandbox, and nothing else. Does nothing where nothing is.
    func unmount(_ volumes: [SandboxVolume], sandbox: String) {
        for volume in volumes {
            let target = target(volume, sandbox: sandbox)
            _ = linux_unmount_detached(target)
            for path in [".keys", ".log"] { unlink(target + path) }
            rmdir(target)
        }
    }

    /// - Returns: nil if it took too long.
    private func run(_ program: String, _ arguments: [String], log: String) throws -> Int32? {
        let errors = try FileDescriptor(opening: log, O_WRONLY | O_APPEND | O_NOFOLLOW)
        var launch = ProcessLaunch(
            [program] + arguments, environment: ["PATH=\(folders.joined(separator: ":"))", "HOME=/", "LC_ALL=C.UTF-8"])
        (launch.output, launch.error, launch.hasOwnGroup) = (errors.number, errors.number, true)
        let pid = try launch.start()
        let watch = linux_pidfd_open(pid)
        defer { if watch >= 0 { close(watch) } }
        var waiting = pollfd(fd: watch, events: Int16(POLLIN), revents: 0)
        let isInTime = watch >= 0 && poll(&waiting, 1, Self.milliseconds) > 0
        if !isInTime { kill(-pid, SIGKILL) }
        let code = ProcessExit(waitingFor: pid).code
        return isInTime ? code : nil
    }

    private static func scrubbed(_ text: String, _ keys: BucketKeys) -> String {
        var text = text
        for secret in [keys.secret, keys.id] where !secret.isEmpty {
            text = text.split(separator: secret, omittingEmptySubsequences: false).joined(separator: "…")
        }
        return ForeignText.escaped(text, limit: 300)
    }
}
