/// Finds the certificate for a host name (RFC 6125, section 6.4; RFC 9525). A wildcard stands for exactly one label on
/// the left. Names are compared ignoring case.
struct ServerNames: Hashable, Sendable {
    private var exact: [String: Int] = [:]
    /// By the part after `*.`.
    private var wildcards: [String: Int] = [:]

    /// - Parameter certificates: the DNS names of each; if two have a name, the first is used.
    init(_ certificates: [[String]]) {
        for (index, names) in certificates.enumerated() {
            for name in names.map(Self.canonical) {
                if name.hasPrefix("*.") {
                    let parent = String(name.dropFirst(2))
                    // A wildcard for a whole top-level domain is not valid (section 7.2).
                    guard parent.contains("."), !parent.contains("*") else { continue }
                    if wildcards[parent] == nil { wildcards[parent] = index }
                } else if !name.isEmpty, !name.contains("*"), exact[name] == nil {
                    exact[name] = index
                }
            }
        }
    }

    /// - Parameter name: as the client sent it (SNI, RFC 6066, section 3).
    /// - Returns: the index of the certificate; nil if there is none for the name.
    func index(for name: String) -> Int? {
        let name = Self.canonical(name)
        if let index = exact[name] { return index }
        guard let dot = name.firstIndex(of: "."), dot != name.startIndex else { return nil }
        return wildcards[String(name[name.index(after: dot)...])]
    }

    private static func canonical(_ name: String) -> String {
        let lower = name.lowercased()
        return lower.hasSuffix(".") ? String(lower.dropLast()) : lower
    }
}
