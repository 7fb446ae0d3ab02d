import Addresses
import CLinux
import NetworkPolicy
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The networks that a machine already has: addresses of its interfaces, and routes other than default routes.
///
/// If sandboxes got addresses from one of these, the machine would reach a sandbox instead of the real owner.
package struct HostNetworks: Hashable, Sendable {
    package struct Network: Hashable, Sendable, CustomStringConvertible {
        package let block: CIDRBlock
        package let interface: String
        package var description: String { "\(block) (\(interface))" }
    }

    package private(set) var networks: [Network] = []

    /// The networks of this machine now.
    /// - Parameter tag: the tag of the server, whose sandboxes' links are ignored.
    package static func current(tag: String) -> HostNetworks {
        func text(_ path: String) -> String {
            File.text(path) ?? ""
        }
        var networks = HostNetworks()
        networks.networks = interfaces()
        networks.addRoutes(text("/proc/net/route"))
        networks.addRoutesV6(text("/proc/net/ipv6_route"))
        let own = SandboxLink.linkPrefix + tag.prefix(4)
        networks.networks.removeAll { $0.interface.hasPrefix(own) }
        return networks
    }

    /// The first that shares an address with `pool`.
    package func overlap(with pool: CIDRBlock) -> Network? {
        networks.first { $0.block.contains(pool.base) || pool.contains($0.block.base) }
    }

    /// Lines of /proc/net/route: `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hexadecimal,
    /// addresses in memory order.
    mutating func addRoutes(_ text: String) {
        for line in text.split(separator: "\n").dropFirst() {
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 8, words[1].utf8.count == 8, words[7].utf8.count == 8,
                let target = UInt32(words[1], radix: 16), let mask = UInt32(words[7], radix: 16)
            else { continue }
            add(.v4(IPv4Address(rawValue: UInt32(bigEndian: target))), mask.nonzeroBitCount, String(words[0]))
        }
    }

    /// Lines of /proc/net/ipv6_route: `target length source length gateway metric refs use flags interface`.
    mutating func addRoutesV6(_ text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 10, words[0].utf8.count == 32, let high = UInt64(words[0].prefix(16), radix: 16),
                let low = UInt64(words[0].suffix(16), radix: 16), let length = Int(words[1], radix: 16)
            else { continue }
            add(.v6(IPv6Address(high: high, low: low)), length, String(words[9]))
        }
    }

    /// Default routes do not matter.
    private mutating func add(_ target: IPAddress, _ length: Int, _ interface: String) {
        guard length > 0, let block = CIDRBlock(target, prefixLength: length) else { return }
        networks.append(Network(block: block, interface: interface))
    }

    private static func interfaces() -> [Network] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        return sequence(first: first, next: { $0?.pointee.ifa_next }).compactMap { entry in
            guard let entry = entry?.pointee, let address = entry.ifa_addr, let name = entry.ifa_name else {
                return nil
            }
            let bytes: [UInt8]
            switch CInt(address.pointee.sa_family) {
            case AF_INET:
                let place = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self)
                bytes = withUnsafeBytes(of: place.sin_addr) { Array($0) }
            case AF_INET6:
                let place = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self)
                bytes = withUnsafeBytes(of: place.sin6_addr) { Array($0) }
            default: return nil
            }
            return IPAddress(bytes: bytes).map { Network(block: CIDRBlock($0), interface: String(cString: name)) }
        }
    }
}
