import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A sandbox's first process, seen from the host.
struct SandboxProcess: Sendable {
    let pid: pid_t

    /// The process in a sandbox's pid file, if it still belongs to the sandbox. Pids are reused, so its control group
    /// decides.
    init?(pidFile: String, group: ControlGroup) {
        guard let number = File.text(pidFile).flatMap({ pid_t($0.filter(\.isNumber)) }) else { return nil }
        self.init(number, in: group)
    }

    /// nil unless it is in the group.
    init?(_ number: pid_t, in group: ControlGroup) {
        guard let lines = File.text("/proc/\(number)/cgroup")?.split(separator: "\n") else { return nil }
        guard lines.contains(where: group.holds) else { return nil }
        pid = number
    }

    /// The ids of its users on this machine; nil where they are those inside.
    var users: IdentifierRange? {
        let map = File.text("/proc/\(pid)/uid_map")
        let numbers = map?.split(whereSeparator: \.isWhitespace).compactMap { UInt32($0) } ?? []
        return numbers.count == 3 && numbers[0] == 0 ? IdentifierRange(first: numbers[1]) : nil
    }

    /// Its descriptor, which is readable once it has ended (pidfd_open(2)); nil if it is gone.
    func open() -> FileDescriptor? { try? FileDescriptor(linux_pidfd_open(pid)) }

    /// Whether it has ended within `milliseconds`.
    func hasEnded(within milliseconds: Int) -> Bool {
        guard let descriptor = open() else { return true }
        return FileDescriptor.isReadable(descriptor.number, within: milliseconds)
    }

    /// Kills it, and with it everything in its pid namespace.
    func kill() { if let descriptor = open() { Self.kill(descriptor.number) } }

    static func kill(_ descriptor: CInt) { _ = linux_pidfd_send_signal(descriptor, SIGKILL) }
}
