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
        guard let number = File.text(pidFile).flatMap({ pid_t($0.filter(\.isNumber)) }),
            let groups = File.text("/proc/\(number)/cgroup")
        else { return nil }
        let lines = groups.split(separator: "\n")
        guard lines.contains(where: group.holds) else { return nil }
        pid = number
    }

    /// The ids of its users on this machine; nil where they are those inside.
    var users: IdentifierRange? {
        let map = File.text("/proc/\(pid)/uid_map")
        let numbers = map?.split(whereSeparator: \.isWhitespace).compactMap { UInt32($0) } ?? []
        return numbers.count == 3 && numbers[0] == 0 ? IdentifierRange(first: numbers[1]) : nil
    }

    /// Whether it has ended within `milliseconds`.
    func hasEnded(within milliseconds: Int32) -> Bool {
        let descriptor = linux_pidfd_open(pid)
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, milliseconds) > 0
    }

    /// Kills it, and with it everything in its pid namespace.
    func kill() {
        let descriptor = linux_pidfd_open(pid)
        guard descriptor >= 0 else { return }
        _ = linux_pidfd_send_signal(descriptor, SIGKILL)
        close(descriptor)
    }
}
