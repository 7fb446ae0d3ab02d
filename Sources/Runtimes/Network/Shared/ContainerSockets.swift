import Addresses
import CLinux
import Netfilter
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Which sockets that listen in this machine's own network are a container's.
///
/// Root of every container is the same user there, so that a socket's user says nothing of whose it is: one of the container's
/// processes has to hold it. Those are the members of its control group, which only who may write the machine's groups can join.
struct ContainerSockets: Hashable, Sendable {
    /// The engine's id of the container.
    private let container: String
    /// The file with the numbers of its processes.
    private let members: String

    /// How many processes and descriptors are looked at before a socket is taken for another's: a program with a million of them holds
    /// up nobody but itself.
    private static let maxDescriptors = 200_000

    /// nil where its processes cannot be told.
    /// - Parameter first: its first process, as the engine says.
    init?(_ container: String, first: pid_t) {
        guard let process = try? ContainerProcess(first, of: container), (try? process.check()) != nil,
            let groups = File.text("/proc/\(first)/cgroup"),
            let file = Self.files(container, groups: groups).first(where: { access($0, R_OK) == 0 }),
            // The number may have been another's in between.
            !process.hasEnded
        else { return nil }
        (self.container, members) = (container, file)
    }

    /// Where the members of a container's group may be listed, by what /proc/PID/cgroup says of one (cgroups(7)).
    static func files(_ container: String, groups: String) -> [String] {
        groups.split(separator: "\n").flatMap { line -> [String] in
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, ContainerProcess.isOf(container, groups: String(line)) else { return [] }
            let kind = parts[1].hasPrefix("name=") ? parts[1].dropFirst(5) : parts[1]
            // Version 2 is all there is, or has a folder beside those of version 1.
            let roots = kind.isEmpty ? ["", "/unified"] : ["/\(kind)"]
            return roots.map { "\(ControlGroup.root)\($0)\(parts[2])/cgroup.procs" }
        }
    }

    /// Whether what a connection to a port of loopback reaches is the container's: at 127.0.0.1, or at ::1 where nothing listens
    /// there.
    func serve(_ port: UInt16) -> Bool {
        guard let listening = try? ListeningSockets() else { return false }
        for address in ["127.0.0.1", "::1"] {
            guard let found = try? listening.listeners(atPort: port, reachedAt: IPAddress(address)) else {
                return false
            }
            if !found.isEmpty { return find(found) { close($0) } }
        }
        return false
    }

    /// Whether the container has accepted a connection of this machine to itself, or nobody has yet.
    func serve(connection: CInt) -> Bool {
        guard let accepted = try? ListeningSockets().accepted(connection) else { return false }
        return accepted.inode == 0 || find([accepted]) { close($0) }
    }

    /// A descriptor of the socket that a connection to 127.0.0.1 reaches; nil where there is none, or it is another's.
    func copy(atPort port: UInt16) -> CInt? {
        let found = try? ListeningSockets().listeners(atPort: port, reachedAt: IPAddress("127.0.0.1"))
        guard let found, found.count == 1 else { return nil }
        var copy: CInt?
        _ = find(found) { copy = $0 }
        return copy
    }

    /// Looks through what the container's processes hold, once for all: there may be as many sockets as descriptors.
    /// - Parameter take: gets a descriptor of each that is found, which is its to close.
    /// - Returns: whether all are found.
    private func find(_ sockets: Set<ListeningSockets.Listener>, _ take: (CInt) -> Void) -> Bool {
        var missing: [UInt32: UInt64] = [:]
        for socket in sockets { missing[socket.inode] = socket.cookie }
        guard missing.count == sockets.count else { return false }
        var looked = 0
        for number in (File.text(members) ?? "").split(separator: "\n").compactMap({ pid_t($0) }) {
            looked += 1
            guard looked <= Self.maxDescriptors else { return false }
            guard let process = try? ContainerProcess(number, of: container),
                let descriptors = try? FolderStream("/proc/\(number)/fd")
            else { continue }
            for name in descriptors {
                looked += 1
                guard looked <= Self.maxDescriptors else { return false }
                guard let text = name.text, let descriptor = CInt(text),
                    let inode = Self.inode("/proc/\(number)/fd/\(text)"), let cookie = missing[inode]
                else { continue }
                // What it was seen to hold counts only if it still is who it was.
                let socket = linux_pidfd_getfd(process.descriptor, descriptor)
                guard socket >= 0 else { continue }
                guard Self.cookie(of: socket) == cookie, (try? process.check()) != nil else {
                    close(socket)
                    continue
                }
                take(socket)
                missing[inode] = nil
                if missing.isEmpty { return true }
            }
        }
        return false
    }

    /// That of the socket that a link of /proc/PID/fd leads to; nil for anything else.
    private static func inode(_ link: String) -> UInt32? {
        let head = "socket:["
        // Longer ones are cut off, and are no socket's.
        var text = [CChar](repeating: 0, count: head.utf8.count + 12)
        let length = readlink(link, &text, text.count)
        let bytes = text.prefix(max(0, length)).map { UInt8(bitPattern: $0) }
        guard bytes.count > head.utf8.count, bytes.starts(with: head.utf8), bytes.last == UInt8(ascii: "]") else {
            return nil
        }
        return UInt32(String(decoding: bytes[head.utf8.count..<bytes.count - 1], as: UTF8.self))
    }

    private static func cookie(of socket: CInt) -> UInt64? {
        var cookie: UInt64 = 0
        var length = socklen_t(MemoryLayout<UInt64>.size)
        return getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : nil
    }
}
