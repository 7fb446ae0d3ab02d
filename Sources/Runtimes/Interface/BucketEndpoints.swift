/// Where buckets may be, of all that requests name: the server itself connects there, past every sandbox's policy.
package struct BucketEndpoints: Hashable, Sendable {
    private var hosts: Set<Place> = []

    private struct Place: Hashable, Sendable {
        /// In lower case; of `*.example.com` the part from the dot on.
        var host: String
        var isSuffix = false
        /// nil for the usual ones.
        var port: UInt16?
    }

    /// None.
    package init() {}

    /// - Parameter entries: `host`, `host:port`, `*.domain` or `*.domain:port`. Without a port: 80 and 443.
    /// - Returns: nil if one of them is none of these.
    package init?(_ entries: [String]) {
        for entry in entries {
            let isSuffix = entry.hasPrefix("*.")
            guard var place = Self.place(isSuffix ? String(entry.dropFirst(2)) : entry) else { return nil }
            if isSuffix {
                place.host = "." + place.host
                place.isSuffix = true
            }
            hosts.insert(place)
        }
    }

    /// - Parameter endpoint: as `BucketClaim.endpoint`.
    package func allow(_ endpoint: String) -> Bool { entry(for: endpoint) != nil }

    /// The entry that allows an endpoint, in one spelling whatever the endpoint's; of several the shortest, nil if there is none.
    func entry(for endpoint: String) -> String? {
        let text = ["http://", "https://"].first { endpoint.hasPrefix($0) }.map { endpoint.dropFirst($0.utf8.count) }
        guard var asked = Self.place(String(text ?? endpoint[...])) else { return nil }
        if asked.port == 80 || asked.port == 443 { asked.port = nil }
        let found = hosts.filter { known in
            let port = known.port == 80 || known.port == 443 ? nil : known.port
            guard port == asked.port else { return false }
            return known.isSuffix
                ? asked.host.utf8.count > known.host.utf8.count && asked.host.hasSuffix(known.host)
                : asked.host == known.host
        }
        guard let host = found.map(\.host).min(by: { ($0.utf8.count, $0) < ($1.utf8.count, $1) }) else { return nil }
        return host + (asked.port.map { ":\($0)" } ?? "")
    }

    private static func place(_ text: String) -> Place? {
        var (host, port) = (text[...], UInt16?.none)
        if let colon = text.lastIndex(of: ":"), !text.hasSuffix("]"),
            text.hasPrefix("[") || text.firstIndex(of: ":") == colon
        {
            let digits = text[text.index(after: colon)...]
            guard digits.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }), let number = UInt16(digits),
                number > 0
            else { return nil }
            (host, port) = (text[..<colon], number)
        }
        guard !host.isEmpty, host.utf8.first != UInt8(ascii: "."), host.utf8.last != UInt8(ascii: "."),
            !host.contains("*"), !host.contains("/")
        else { return nil }
        return Place(host: host.lowercased(), port: port)
    }
}
