import CLinux
import FoundationEssentials
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

/// A sandbox's first process, seen from the host.
struct SandboxProcess: Sendable {
    let pid: pid_t

    /// The process that a sandbox's pid file names, if it is still that sandbox's: numbers are used again, so that the
    /// control group has the last word.
    init?(pidFile: String, group: ControlGroup) {
        guard let data = try? Data(contentsOf: URL(filePath: pidFile)),
            let number = pid_t(String(decoding: data, as: UTF8.self).filter(\.isNumber)),
            let groups = QuickFile.read("/proc/\(number)/cgroup")
        else { return nil }
        let lines = String(decoding: groups, as: UTF8.self).split(separator: "\n")
        guard lines.contains(where: { $0.hasSuffix(":" + group.path) }) else { return nil }
        pid = number
    }

    /// Whether it has ended within `milliseconds`.
    func hasEnded(within milliseconds: Int32) -> Bool {
        let descriptor = linux_pidfd_open(pid)
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, milliseconds) > 0
    }

    /// Ends it, and with it everything in its pid namespace.
    func kill() {
        let descriptor = linux_pidfd_open(pid)
        guard descriptor >= 0 else { return }
        _ = linux_pidfd_send_signal(descriptor, SIGKILL)
        close(descriptor)
    }

    /// Tries until something accepts connections there, the process ends, or the time is up.
    func accepts(_ address: IPv4Address, port: UInt16, within milliseconds: Int) -> Bool {
        let family = withUnsafeBytes(of: sa_family_t(AF_INET)) { Array($0) }
        let target = family + [UInt8(port >> 8), UInt8(port & 0xff)] + address.bytes + [UInt8](repeating: 0, count: 8)
        // Milliseconds are what a start takes: asking each one is cheaper than waiting for the next ten.
        for _ in 0..<milliseconds {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return false }
            let status = target.withUnsafeBytes {
                connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(target.count))
            }
            close(descriptor)
            if status == 0 { return true }
            if hasEnded(within: 1) { return false }
        }
        return false
    }
}
