import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The first process of a container, held by a descriptor so that its number cannot become another's unnoticed.
final class ContainerProcess: Sendable {
    let number: pid_t
    private let container: String
    /// Readable once it has ended (pidfd_open(2)).
    let descriptor: CInt

    /// - Parameters:
    ///   - number: as the engine tells it. An engine on another machine tells numbers of that machine.
    ///   - container: the engine's id of the container.
    init(_ number: pid_t, of container: String) throws(RuntimeError) {
        guard number > 1 else { throw .system(action: "entering a container", reason: "it has no process") }
        descriptor = linux_pidfd_open(number)
        self.number = number
        self.container = container
        guard descriptor >= 0 else { throw Self.foreign }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// - Throws: if this machine's process of that number is in another container, or in none.
    func check() throws(RuntimeError) {
        guard Self.isOf(container, groups: File.text("/proc/\(number)/cgroup") ?? ""), !hasEnded else {
            throw Self.foreign
        }
    }

    /// - Throws: unless it is in the network that this process is in: what listens here is then the container's neighbour.
    func checkSharesNetwork() throws(RuntimeError) {
        var (own, its) = (stat(), stat())
        guard stat("/proc/self/ns/net", &own) == 0, stat("/proc/\(number)/ns/net", &its) == 0, !hasEnded,
            (own.st_dev, own.st_ino) == (its.st_dev, its.st_ino)
        else {
            throw .system(
                action: "sharing the machine's network with a container",
                reason:
                    "the engine's network is not this server's (docker.network_mode = \"host\"): start both as root, and "
                    + "neither in a network namespace or container of its own")
        }
    }

    /// - Parameter groups: as /proc/PID/cgroup has them (cgroups(7)). Engines name a container's group by its id, or
    ///   `docker-ID.scope`.
    static func isOf(_ container: String, groups: String) -> Bool {
        guard container.utf8.count == 64 else { return false }
        return groups.split(separator: "\n").contains { line in
            line.split(separator: "/").contains { step in
                step == container || step == "docker-\(container).scope"
            }
        }
    }

    var hasEnded: Bool {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, 0) != 0
    }

    private static let foreign = RuntimeError.system(
        action: "entering a container",
        reason:
            "the engine's process is not on this machine, or has ended: the guard of this machine needs an engine here")
}
