import Addresses
import CLinux
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Leases the machine's ports to sandboxes.
///
/// Each is also held by a socket that does not listen. Otherwise another program could take it, and its clients would reach
/// the sandbox in its place.
final class HostPorts: Sendable {
    private struct State {
        var pool: PortPool
        var holders: [UInt16: CInt] = [:]
    }

    let configuration: PortConfiguration
    private let state: Mutex<State>

    init(_ configuration: PortConfiguration) {
        self.configuration = configuration
        state = Mutex(State(pool: PortPool(configuration.range)))
    }

    deinit { state.withLock { for holder in $0.holders.values { close(holder) } } }

    /// A port of the machine for each of these; all, or none.
    func lease(_ ports: [UInt16]) throws(RuntimeError) -> [PublishedPort] {
        let leased: [PublishedPort] = state.withLock { state in
            var leased: [PublishedPort] = []
            for port in ports {
                var holder: CInt?
                let at = state.pool.lease { candidate in
                    holder = Self.hold(candidate)
                    return holder != nil
                }
                guard let at, let holder else { break }
                state.holders[at] = holder
                leased.append(PublishedPort(port: port, at: at))
            }
            if leased.count < ports.count { Self.release(leased, of: &state) }
            return leased.count < ports.count ? [] : leased
        }
        guard leased.count == ports.count else {
            let range = configuration.range
            throw .noPortLeft(range: "\(range.lowerBound) to \(range.upperBound)")
        }
        return leased
    }

    /// Gives up the sockets, for an engine that binds the ports itself. They stay leased.
    func letGo(_ ports: [PublishedPort]) {
        state.withLock { state in
            for port in ports { if let holder = state.holders.removeValue(forKey: port.at) { close(holder) } }
        }
    }

    /// Takes over the ports of a sandbox of an earlier server.
    /// - Parameter holds: false where an engine has bound them.
    /// - Returns: those that another program has meanwhile; what connects to them reaches the sandbox all the same.
    func occupy(_ ports: [PublishedPort], holds: Bool = true) -> [PublishedPort] {
        state.withLock { state in
            ports.filter { port in
                state.pool.occupy(port.at)
                guard holds else { return false }
                state.holders[port.at] = Self.hold(port.at)
                return state.holders[port.at] == nil
            }
        }
    }

    func release(_ ports: [PublishedPort]) { state.withLock { Self.release(ports, of: &$0) } }

    private static func release(_ ports: [PublishedPort], of state: inout State) {
        for port in ports {
            if let holder = state.holders.removeValue(forKey: port.at) { close(holder) }
            state.pool.release(port.at)
        }
    }

    /// A socket of both families that is bound to the port; nil if another has it.
    private static func hold(_ port: UInt16) -> CInt? {
        for address in [IPAddress.v6(IPv6Address(high: 0, low: 0)), .v4(IPv4Address(rawValue: 0))] {
            let holder = socket(
                address.isIPv4 ? AF_INET : AF_INET6, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            // A machine without IPv6.
            guard holder >= 0 else { continue }
            var both: CInt = 0
            setsockopt(holder, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &both, socklen_t(MemoryLayout<CInt>.size))
            if RawSocketAddress(address, port: port).bind(holder) == 0 { return holder }
            let isAbsent = errno == EADDRNOTAVAIL
            close(holder)
            guard isAbsent else { return nil }
        }
        return nil
    }
}
