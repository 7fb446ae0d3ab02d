import Addresses
import NIOCore
import NetworkPolicy
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The host names and addresses of this server.
///
/// A page can point its own host name at this machine (DNS rebinding). Its requests then have that name in `Host`, and
/// the browser treats them as same-origin. So names in `Host` must be the server's, and addresses this machine's.
final class HostNames: Sendable {
    /// In settings: any name is accepted.
    static let any = "*"

    private let names: Set<String>
    private let machine = Mutex<(addresses: Set<IPAddress>, readAt: ContinuousClock.Instant)?>(nil)
    /// How long addresses are cached. They change, and reading them takes a while if there are many sandboxes.
    private static let freshness = Duration.seconds(1)

    /// - Parameter names: without ports; the machine's own name and `localhost` are added.
    init(_ names: [String]) {
        let own = [Self.hostName(), "localhost"].compactMap { $0 }
        self.names = Set((names + own).compactMap { Self.name(of: $0) })
    }

    /// - Parameter host: a `Host` field.
    func contains(_ host: String) -> Bool {
        guard let name = Self.name(of: host) else { return false }
        if names.contains(name) || names.contains(Self.any) { return true }
        guard let address = IPAddress(name) else { return false }
        return isOwn(address)
    }

    /// In lower case, without port, brackets and final dot.
    /// - Returns: nil if something other than a port follows the name (RFC 3986, section 3.2.3: digits, or none).
    static func name(of host: String) -> String? {
        var name = host.lowercased()[...], rest: Substring = ""
        if name.first == "[" {
            guard let end = name.firstIndex(of: "]") else { return nil }
            rest = name[end...].dropFirst()
            name = name[..<end].dropFirst()
        } else if let colon = name.firstIndex(of: ":"), !name[colon...].dropFirst().contains(":") {
            rest = name[colon...]
            name = name[..<colon]
        }
        guard rest.isEmpty || rest.first == ":" && rest.dropFirst().allSatisfy(\.isASCIIDigit) else { return nil }
        return String(name.last == "." ? name.dropLast() : name)
    }

    private func isOwn(_ address: IPAddress) -> Bool {
        machine.withLock { machine in
            let now = ContinuousClock.now
            if machine == nil || now - machine!.readAt > Self.freshness {
                let devices = (try? System.enumerateDevices()) ?? []
                let addresses = devices.compactMap { $0.address?.ipAddress }.compactMap {
                    // A link-local address is followed by its link.
                    IPAddress(String($0.prefix { $0 != "%" }))
                }
                machine = (Set(addresses), now)
            }
            return machine!.addresses.contains(address)
        }
    }

    private static func hostName() -> String? {
        var name = [UInt8](repeating: 0, count: 256)
        let status = name.withUnsafeMutableBytes { bytes in
            gethostname(bytes.bindMemory(to: CChar.self).baseAddress!, bytes.count - 1)
        }
        guard status == 0 else { return nil }
        let text = String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
        return text.isEmpty ? nil : text
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
