import Addresses
import CLinux
import Netfilter
import NetworkPolicy
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Waits until the host reaches a sandbox's execd, or determines why it does not.
struct StartWait: Sendable {
    enum Outcome: Hashable, Sendable {
        case reached, ended
        case failed(String)
    }

    let address: IPv4Address
    /// nil for this machine's own.
    let namespace: NetworkNamespace?
    static let execdPort: UInt16 = 44772
    var port = Self.execdPort
    /// How long execd may take to listen.
    var milliseconds = 20_000
    /// After this time, check from inside whether execd listens.
    var unreachedMilliseconds = 3000

    func untilReached(_ process: SandboxProcess) -> Outcome {
        let pidfd = linux_pidfd_open(process.pid)
        guard pidfd >= 0 else { return .ended }
        defer { close(pidfd) }
        let end = ContinuousClock.now + .milliseconds(milliseconds)
        var listens = false
        while ContinuousClock.now < end {
            switch Self.dial(address, port, within: unreachedMilliseconds, watching: pidfd) {
            case .reached: return .reached
            case .ended: return .ended
            case .failed: break
            }
            // It may have begun to listen just now, so only the second time counts.
            if listens { return .failed(unreachable) }
            listens = listensInside()
        }
        return .failed("execd did not listen on port \(port) within \(milliseconds / 1000) s; its process runs")
    }

    private var unreachable: String {
        "execd listens in the sandbox, but this machine does not reach it at \(address):\(port): look for a rule of the "
            + "machine's own that is in the way (nft list ruleset, iptables-save)"
    }

    private func listensInside() -> Bool {
        guard let namespace else { return false }
        let port = port
        return
            (try? namespace.run { Self.dial(IPv4Address("127.0.0.1")!, port, within: 1000, watching: -1) == .reached })
            ?? false
    }

    /// Retries until something accepts connections, the process of `pidfd` ends, or the time is up.
    static func dial(
        _ address: IPv4Address, _ port: UInt16, within milliseconds: Int, watching pidfd: CInt
    ) -> Outcome {
        let target = RawSocketAddress(.v4(address), port: port)
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let clock = ContinuousClock(), end = clock.now + .milliseconds(milliseconds)
        while clock.now < end {
            let descriptor = socket(AF_INET, kind, 0)
            guard descriptor >= 0 else { return .failed("no socket: \(String(cString: strerror(errno)))") }
            defer { close(descriptor) }
            if target.connect(descriptor) == 0 { return .reached }
            if errno == EINPROGRESS {
                // A dropped packet gets no answer, so try again after a second.
                var waiting = [
                    pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0),
                    pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0),
                ]
                poll(&waiting, 2, Int32(min(milliseconds, 1000)))
                if waiting[1].revents != 0 { return .ended }
                var code: CInt = ETIMEDOUT
                var length = socklen_t(MemoryLayout<CInt>.size)
                if waiting[0].revents != 0 { getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) }
                if code == 0 { return .reached }
            }
            // A start takes milliseconds, so poll every millisecond.
            var process = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
            if poll(&process, 1, 1) > 0 { return .ended }
        }
        return .failed("nothing accepted connections in time")
    }
}
