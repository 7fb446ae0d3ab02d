import Addresses
import CLinux
import DNSFilter
import Egress
import Glibc
import HTTPClient
import NetworkPolicy
import System

/// Sends the sidecar's own HTTP requests: denial notices and metrics. Its sockets carry the filter's mark, so the
/// sandbox's policy does not apply to them, and they open nothing to the sandbox.
struct OutboundClient: Sendable {
    let mark: SocketMark
    let upstreams: [UpstreamAddress]
    /// `search` of /etc/resolv.conf: to complete a cluster's short names.
    let search: [String]
    /// Milliseconds to wait for each upstream.
    var timeout: Int32 = 2000

    var client: HTTPClient {
        HTTPClient(mark: HTTPClient.SocketMark(mark: mark.mark, priority: mark.priority), resolve: addresses)
    }

    func addresses(of host: String) -> [IPAddress] {
        if let address = IPAddress(host) { return [address] }
        let known = HostsFile(File.text("/etc/hosts") ?? "")[host]
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
        let address = RawSocketAddress(upstream.address, port: upstream.port)
        let descriptor = socket(address.family, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        mark.apply(to: descriptor)
        let bytes = question.bytes
        guard address.connect(descriptor) == 0, send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
        else { return nil }
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
