import Addresses

/// What to write in the place of a target that is none. Most are written as people know them from elsewhere: as a URL, or with an
/// address where its network is meant.
enum TargetAdvice {
    private static let schemes: [String: Int] = ["http": 80, "https": 443, "ws": 80, "wss": 443]

    /// Why a text that has a `/`, or reads as an address, is no address block.
    static func block(_ text: String) -> String {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else {
            if parts.count == 2, TrafficScope.Transport(rawValue: String(parts[1])) != nil {
                return "a protocol comes first: write \(parts[1])://\(parts[0])"
            }
            return DomainName.isWritten(parts[0])
                ? "a target has no path: write \(parts[0])" : "it is not an address block such as 10.0.0.0/8"
        }
        guard let (address, network) = CIDRBlock.around(text) else {
            return
                "the prefix length must be a number from 0 to \(address.bitWidth), as in \(address)/\(address.bitWidth)"
        }
        return
            "\(address) is one address in \(network): write \(network) for the network, or \(address) for the address"
    }

    /// What a URL means; nil for a text that is none.
    static func url(scheme: Substring, rest: Substring) -> String? {
        guard let port = schemes[scheme.lowercased()] else { return nil }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let host = authority.split(separator: ":", maxSplits: 1).first ?? ""
        guard DomainName.isWritten(host) || IPAddress(host) != nil else {
            return
                "a URL is not a target: write a name or an address, and a port if only that is meant, as in example.com:\(port)"
        }
        let written = authority.utf8.contains(UInt8(ascii: ":")) ? String(authority) : "\(host):\(port)"
        return "a URL is not a target: write \(host), or \(written) for that port alone"
    }
}

extension DomainName {
    fileprivate static func isWritten(_ text: Substring) -> Bool { (try? DomainName(String(text))) != nil }
}
