import CLinux
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A copy of an OCI runtime's program in memory, which nobody can change.
///
/// A container that gets at the file of the program that started it must not be able to write to it. So crun and runc begin by
/// making such a copy, or a read-only mount, and run themselves again from there: a fifth of crun's time. Started from a
/// copy that is sealed already, they go on at once.
final class SealedProgram: Sendable {
    private let file: FileDescriptor

    private static let known = Mutex<[String: (stamp: ChangeStamp, copy: SealedProgram?)]>([:])
    /// More than crun has. What is larger, such as runc, is not worth the memory.
    private static let maxBytes = 2 << 20

    /// The copy of the file as it is now; nil where that has to be run itself: a script, something large, and anything on a machine
    /// that runs nothing from memory (vm.memfd_noexec, fapolicyd).
    static func of(_ path: String) -> SealedProgram? {
        guard let stamp = ChangeStamp(path) else { return nil }
        return known.withLock { known in
            if let found = known[path], found.stamp == stamp { return found.copy }
            let copy = SealedProgram(path)
            known[path] = (stamp, copy)
            return copy
        }
    }

    private init?(_ path: String) {
        guard let bytes = try? File.read(path, limit: Self.maxBytes), bytes.starts(with: "\u{7f}ELF".utf8) else {
            return nil
        }
        let made = bytes.withUnsafeBytes { linux_memory_file("oci-runtime", $0.baseAddress, $0.count) }
        guard let file = try? FileDescriptor(made) else { return nil }
        self.file = file
        var status = stat()
        guard fstat(self.file.number, &status) == 0, status.st_mode & S_IXUSR != 0 else { return nil }
        // Found out here: a start that fails at its last step cannot be tried again, since its volumes have been attached.
        var trial = ProcessLaunch([path, "--version"], environment: [])
        trial.program = self.path
        guard let pid = try? trial.start() else { return nil }
        let end = ProcessExit.of(pid, within: 5000) { kill(pid, SIGKILL) }
        if let end, end.code != 0 { return nil }
    }

    /// The path by which a child of this process runs it; as long as this is kept.
    var path: String { "/proc/\(getpid())/fd/\(file.number)" }
}
