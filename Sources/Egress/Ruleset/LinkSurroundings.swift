import Addresses
import Glibc
import NetworkPolicy

/// The addresses on a sandbox's link, where the gateway comes from and neighbour discovery goes. Read inside the
/// namespace, since the guard is only given its path.
package struct LinkSurroundings: Hashable, Sendable {
    /// The sandbox's own addresses, without loopback.
    package var local: Set<IPAddress> = []
    /// Addresses and blocks that are reached directly, and the routers.
    package var neighbours: [CIDRBlock] = []

    /// Call on a thread that is in the namespace.
    package static func current() -> LinkSurroundings {
        var found = LinkSurroundings()
        var list: UnsafeMutablePointer<ifaddrs>?
        if getifaddrs(&list) == 0 {
            defer { freeifaddrs(list) }
            var next = list
            while let item = next {
                found.add(item.pointee)
                next = item.pointee.ifa_next
            }
        }
        found.neighbours += routers(ipv4Table: contents(of: "/proc/thread-self/net/route"))
        found.neighbours += routers(ipv6Table: contents(of: "/proc/thread-self/net/ipv6_route"))
        var seen: Set<CIDRBlock> = []
        found.neighbours = found.neighbours.filter { seen.insert($0).inserted }
        return found
    }

    /// Every device of this namespace, sorted.
    package static func devices() -> [String] {
        guard let list = if_nameindex() else { return [] }
        defer { if_freenameindex(list) }
        var names: [String] = []
        var next = list
        while next.pointee.if_index != 0, let name = next.pointee.if_name {
            names.append(String(cString: name))
            next += 1
        }
        return names.sorted()
    }

    private mutating func add(_ interface: ifaddrs) {
        guard interface.ifa_flags & UInt32(IFF_LOOPBACK) == 0, let address = interface.ifa_addr,
            let mask = interface.ifa_netmask
        else { return }
        switch Int32(address.pointee.sa_family) {
        case AF_INET: add(bytes: Self.bytes(of: address, 4..<8), mask: Self.bytes(of: mask, 4..<8))
        case AF_INET6: add(bytes: Self.bytes(of: address, 8..<24), mask: Self.bytes(of: mask, 8..<24))
        default: return
        }
    }

    private mutating func add(bytes: [UInt8], mask: [UInt8]) {
        let length = mask.reduce(0) { $0 + $1.nonzeroBitCount }
        guard let address = IPAddress(bytes: bytes), let block = CIDRBlock(address, prefixLength: length) else {
            return
        }
        local.insert(address)
        neighbours.append(block)
    }

    /// The address bytes of a sockaddr_in or sockaddr_in6.
    private static func bytes(of pointer: UnsafeMutablePointer<sockaddr>, _ field: Range<Int>) -> [UInt8] {
        field.map { UnsafeRawPointer(pointer).load(fromByteOffset: $0, as: UInt8.self) }
    }

    /// The gateway column of /proc/net/route: the address in the machine's byte order, hexadecimal.
    static func routers(ipv4Table text: String) -> [CIDRBlock] {
        text.split(separator: "\n").dropFirst().compactMap { line in
            let columns = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
            guard columns.count > 3, let gateway = UInt32(columns[2], radix: 16), gateway != 0 else { return nil }
            let bytes = withUnsafeBytes(of: gateway) { Array($0) }
            return IPAddress(bytes: bytes).map { CIDRBlock($0) }
        }
    }

    /// The next-hop column of /proc/net/ipv6_route: 32 hexadecimal digits.
    static func routers(ipv6Table text: String) -> [CIDRBlock] {
        text.split(separator: "\n").compactMap { line in
            let columns = line.split(separator: " ")
            guard columns.count > 9, columns[4].utf8.count == 32 else { return nil }
            var bytes: [UInt8] = []
            var digits = columns[4][...]
            while !digits.isEmpty {
                guard let byte = UInt8(digits.prefix(2), radix: 16) else { return nil }
                bytes.append(byte)
                digits = digits.dropFirst(2)
            }
            guard bytes.contains(where: { $0 != 0 }) else { return nil }
            return IPAddress(bytes: bytes).map { CIDRBlock($0) }
        }
    }

    private static func contents(of path: String) -> String {
        guard let file = fopen(path, "re") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}
