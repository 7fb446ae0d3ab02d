import CLinux
import Netfilter
import SafeText
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Mounts buckets, each for one sandbox: nobody gets at one that others' keys have opened, and it goes with its sandbox.
/// The program stays in the background and ends by itself when nothing shows its mount any more.
struct BucketMounts: Hashable, Sendable {
    /// The folder of the mounts, for this server only and made if it is missing. Root alone gets into it: what a program
    /// mounts is open to every user, since the sandbox's are not the machine's.
    let root: String
    /// Where files with keys are while a program starts: in memory, so that none outlives the machine.
    let keysFolder: String
    /// Where the programs are looked for.
    var folders = StorageConfiguration().programFolders

    /// Bytes that one of the programs may have.
    private static let addressSpace = 2 << 30
    private static let milliseconds = 30_000

    /// - Throws: if the program is not installed, or has not an option.
    func check(_ claim: BucketClaim) throws(VolumeProblem) {
        _ = try find(claim.version.program)
        if claim.version == .rclone { _ = try BucketCommand.flags(claim.options) }
    }

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
        do throws(SystemCallError) { try makeFolders(target) } catch { throw failed("making \(target): \(error)") }
        let file = keysFile(target), log = target + ".log"
        defer { for path in [file, log] { unlink(path) } }
        let command: BucketCommand
        do throws(VolumeProblem) {
            command = try BucketCommand(
                claim, keys, prefix: volume.subPath, owner: owner, target: target, path: file)
        } catch { throw .volume(error) }
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
        // A program that has mounted it and then says nothing would keep this thread for ever.
        let race = AlarmRace()
        let alarm = Task {
            try await Task.sleep(for: .milliseconds(Self.milliseconds))
            if race.isFirst() { _ = linux_unmount_forced(target) }
        }
        defer { alarm.cancel() }
        do throws(SystemCallError) {
            // Some look at the bucket only after they have said that all is well, and end if they may not have it.
            let folder = try FileDescriptor(opening: target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            // This one not before it is asked for what is in there.
            if claim.version == .rclone { _ = try FolderStream(of: folder.number).read() }
            let files = try FileDescriptor(opening: target, LINUX_O_PATH | O_DIRECTORY | O_NOFOLLOW)
            if race.isFirst() { return files }
        } catch { throw failed("\(error)") }
        throw failed("it took longer than \(Self.milliseconds / 1000) s")
    }

    /// What was mounted for a sandbox, and nothing else. Does nothing where nothing is.
    func unmount(_ volumes: [SandboxVolume], sandbox: String) {
        for volume in volumes { unmount(target(volume, sandbox: sandbox)) }
    }

    /// The same for who does not know its volumes any more.
    func unmount(sandbox: String) {
        for target in targets(of: sandbox) { unmount(target) }
    }

    private func unmount(_ target: String) {
        _ = linux_unmount_detached(target)
        for path in [keysFile(target), target + ".log"] { unlink(path) }
        rmdir(target)
    }

    private func targets(of sandbox: String) -> [String] {
        (File.names(in: root) ?? []).filter { $0.hasPrefix(sandbox + "-") && !$0.hasSuffix(".log") }
            .map { root + "/" + $0 }
    }

    /// Ends what waits for these buckets' programs: requests on their way fail, those to come, too. For a program that does not
    /// answer, while somebody waits for it in the kernel, where no signal ends that.
    func cutOff(_ volumes: [SandboxVolume], sandbox: String) {
        for volume in volumes { _ = linux_unmount_forced(target(volume, sandbox: sandbox)) }
    }

    func cutOff(sandbox: String) {
        for target in targets(of: sandbox) { _ = linux_unmount_forced(target) }
    }

    /// What a server that was killed has left, of sandboxes that are not there any more, and all keys.
    /// - Parameter sandboxes: the names of those that are there.
    func recover(sandboxes: [String]) {
        for name in File.names(in: keysFolder) ?? [] where name.hasPrefix(Self.keysPrefix) {
            unlink(keysFolder + "/" + name)
        }
        for name in File.names(in: root) ?? [] where !sandboxes.contains(where: { name.hasPrefix($0 + "-") }) {
            let target = root + "/" + name
            while linux_is_mount_point(target) == 1, linux_unmount_detached(target) == 0 {}
            if rmdir(target) != 0 { unlink(target) }
        }
    }

    private static let keysPrefix = "bucket-keys-"
    private func keysFile(_ target: String) -> String {
        "\(keysFolder)/\(Self.keysPrefix)\(target.splitAtLastSlash.name)"
    }

    private func makeFolders(_ target: String) throws(SystemCallError) {
        var made = ""
        for step in target.split(separator: "/") {
            made += "/" + step
            let isOwn = made == root || made == target
            guard mkdir(made, isOwn ? 0o700 : 0o755) == 0 || errno == EEXIST else { throw .last }
        }
        // It may have been there, with other rights.
        let folder = try FileDescriptor(opening: root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        guard fchown(folder.number, 0, 0) == 0, fchmod(folder.number, 0o700) == 0 else { throw .last }
    }

    /// - Returns: nil if it took too long.
    private func run(_ program: String, _ arguments: [String], log: String) throws -> Int32? {
        let errors = try FileDescriptor(opening: log, O_WRONLY | O_APPEND | O_NOFOLLOW)
        var launch = ProcessLaunch(
            [try find("prlimit"), "--as=\(Self.addressSpace)", "--core=0", "--", program] + arguments,
            environment: ["PATH=\(folders.joined(separator: ":"))", "HOME=/", "LC_ALL=C.UTF-8", "GOMEMLIMIT=256MiB"])
        (launch.output, launch.error, launch.hasOwnGroup) = (errors.number, errors.number, true)
        // What is in a bucket decides how much they want; where memory runs out, the server and sandboxes stay.
        (launch.outOfMemoryScore, launch.openFiles) = (1000, 1024)
        launch.joined = ControlGroup.storage()
        defer { for group in launch.joined { close(group) } }
        let pid = try launch.start()
        return ProcessExit.of(pid, within: Self.milliseconds) { kill(-pid, SIGKILL) }?.code
    }

    private static func scrubbed(_ text: String, _ keys: BucketKeys) -> String {
        var text = text
        for secret in [keys.secret, keys.id] where !secret.isEmpty {
            text = text.split(separator: secret, omittingEmptySubsequences: false).joined(separator: "…")
        }
        return ForeignText.escaped(text, limit: 300)
    }
}

/// Between a mount and the alarm that would cut it off: a task that is cancelled may have awoken already.
private final class AlarmRace: Sendable {
    private let isDecided = Atomic(false)

    /// - Returns: true to the first caller only.
    func isFirst() -> Bool { !isDecided.exchange(true, ordering: .acquiringAndReleasing) }
}
