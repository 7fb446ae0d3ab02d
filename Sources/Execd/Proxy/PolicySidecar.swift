import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The sidecar that guards this sandbox, where there is one: it serves the sandbox's policy in the same network namespace, on a port
/// of its own. Clients send its token through execd's proxy.
///
/// Where there is no sidecar, or it has ended, anything in the sandbox may take its port, and a token would be that program's. So it
/// is told by its sockets: those that were there before anything of the sandbox ran.
struct PolicySidecar: Hashable, Sendable {
    static let port = 18080

    /// The inodes of its listening sockets.
    private(set) var sockets: Set<UInt64> = []

    init() {}

    /// What listens now; to be called before anything of the sandbox runs.
    static func found(port: Int = port) -> PolicySidecar {
        var found = PolicySidecar()
        if mayListen(port) { found.sockets = listening(port) }
        return found
    }

    /// Whether nobody else would be asked on its port.
    func isListening(port: Int = port) -> Bool {
        guard !sockets.isEmpty else { return false }
        let now = Self.listening(port)
        return !now.isEmpty && now.isSubset(of: sockets)
    }

    /// Whether something may listen on a port. Where nothing does, bind(2) says so at once; the kernel walks over the sockets of the
    /// whole machine for its table, which would take most of the time in which a sandbox starts.
    private static func mayListen(_ port: Int) -> Bool {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        return [true, false].contains { isIPv4 in
            let everywhere = RawSocketAddress(everywhereIPv4: isIPv4, port: UInt16(clamping: port))
            let descriptor = socket(everywhere.family, kind, 0)
            guard descriptor >= 0 else { return errno != EAFNOSUPPORT }
            defer { close(descriptor) }
            var one: CInt = 1
            // Not in the way: connections that have ended.
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<CInt>.size))
            return everywhere.bind(descriptor) != 0
        }
    }

    private static func listening(_ port: Int) -> Set<UInt64> {
        ["tcp", "tcp6"].reduce(into: []) { found, name in
            found.formUnion(inodes(in: File.text("/proc/self/net/" + name) ?? "", port: port))
        }
    }

    /// The sockets that listen on a port.
    /// - Parameter table: /proc/net/tcp (proc(5)).
    static func inodes(in table: String, port: Int) -> Set<UInt64> {
        let listens: Substring = "0A"
        return Set(
            table.split(separator: "\n").compactMap { line in
                let fields = line.split(separator: " ")
                guard fields.count > 9, fields[3] == listens,
                    fields[1].split(separator: ":").last.flatMap({ Int($0, radix: 16) }) == port
                else { return nil }
                return UInt64(fields[9])
            })
    }

    // As an argument, for the process that serves.

    var words: String { sockets.sorted().map(String.init).joined(separator: ",") }

    /// nil for what `words` does not say.
    init?(words: String) {
        let parts = words.split(separator: ",", omittingEmptySubsequences: false)
        sockets = Set(parts.compactMap { UInt64($0) })
        guard parts.allSatisfy({ UInt64($0) != nil }) else { return nil }
    }
}
