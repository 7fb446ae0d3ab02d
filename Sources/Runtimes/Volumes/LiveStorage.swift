import Synchronization

/// What of the configuration of volumes may change while a server runs.
final class LiveStorage: Sendable {
    private let state: Mutex<(hosts: HostFolders, defaultBytes: Int64)>

    init(hosts: HostFolders, defaultBytes: Int64) { state = Mutex((hosts, defaultBytes)) }

    var hosts: HostFolders { state.withLock { $0.hosts } }
    /// Of a named volume whose request names no size.
    var defaultBytes: Int64 { state.withLock { $0.defaultBytes } }

    func change(allowed: [HostPath], defaultBytes: Int64) {
        state.withLock { $0 = (HostFolders(allowed: allowed, withheldAsIs: $0.hosts.withheld), defaultBytes) }
    }
}
