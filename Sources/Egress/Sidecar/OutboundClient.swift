import CLinux
import DNSFilter
import Glibc
import HTTPClient
import NetworkPolicy

/// Sends the sidecar's own HTTP requests: denial notices and metrics. Its sockets carry the filter's mark, so the
/// sandbox's policy does not apply to them, and they open nothing to the sandbox.
struct OutboundClient: Sendable {
    let mark: SocketMark
    let upstreams: [UpstreamAddress]
    /// `search` of /etc/resolv.conf: to complete a cluster's short names.
    let search: [String]
    /// Milliseconds to wait for each upstream.
    var timeout: Int32 = 2000

    var poster: HTTPPoster {
        HTTPPoster(
            prepare: { mark.apply(to: $0) },
            resolve: { host, port in addresses(of: host).map { $0.socketAddress(port: port) } })
    }

    func addresses(of host: String) -> [IPAddress] {
        if let address = IPAddress(host) { return [address] }
        let known = HostsFile(String(decoding: (try? WholeFile.read("/etc/hosts")) ?? [], as: UTF8.self))[host]
        guard known.isEmpty else { return known }
        for candidate in [host] + (host.hasSuffix(".") ? [] : search.map { host + "." + $0 }) {
            let text = candidate.hasSuffix(".") ? String(candidate.dropLast()) : candidate
            guard let name = try? DomainName(text) else { continue }
            let found = [1, 28].flatMap { ask(name, type: $0) }
            if !found.isEmpty { return found }
        }
        return []
    }

    private func ask(_ name: DomainName, type: UInt16) -> [IPAddress] {
        // Upstreams over TLS are not asked in clear text; if there are no others, hosts must be given as addresses.
        for upstream in upstreams where upstream.tls == nil {
            let question = StubQuestion(name: name, type: type, identifier: UInt16.random(in: 0 ... .max))
            if let found = ask(question, upstream) { return found }
        }
        return []
    }

    private func ask(_ question: StubQuestion, _ upstream: UpstreamAddress) -> [IPAddress]? {
        let address = upstream.address.socketAddress(port: upstream.port).bytes
        let family = upstream.address.isIPv4 ? AF_INET : AF_INET6
        let descriptor = socket(family, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        mark.apply(to: descriptor)
        let isConnected = address.withUnsafeBytes {
            connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count)) == 0
        }
        let bytes = question.bytes
        guard isConnected, send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return nil }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var answer = [UInt8](repeating: 0, count: 4096)
        // Allow for a few forged or late datagrams.
        for _ in 0..<4 where poll(&entry, 1, timeout) > 0 {
            let count = recv(descriptor, &answer, answer.count, 0)
            if count > 0, let found = question.addresses(in: Array(answer[..<count])) { return found }
        }
        return nil
    }
}

extension SocketMark {
    func apply(to socket: CInt) {
        for (option, value) in [(SO_MARK, mark), (SO_PRIORITY, priority)] {
            var value = value
            setsockopt(socket, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<UInt32>.size))
        }
    }
}

extension IPAddress {
    /// A sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)).
    func socketAddress(port: UInt16) -> HTTPPoster.Address {
        let family = withUnsafeBytes(of: sa_family_t(isIPv4 ? AF_INET : AF_INET6)) { Array($0) }
        let head = family + [UInt8(port >> 8), UInt8(port & 0xff)]
        let zeros: (Int) -> [UInt8] = { [UInt8](repeating: 0, count: $0) }
        return .init(bytes: isIPv4 ? head + bytes + zeros(8) : head + zeros(4) + bytes + zeros(4))
    }
}
