/// Which certificate is for which host name (RFC 6125, section 6.4; RFC 9525): a name itself, or a wildcard that stands
/// for exactly one label on the left. Names compare without case.
struct ServerNames: Hashable, Sendable {
    private var exact: [String: Int] = [:]
    /// By what stands behind `*.`.
    private var wildcards: [String: Int] = [:]

    /// - Parameter certificates: the DNS names of each one; of two that have a name, the first is taken.
    init(_ certificates: [[String]]) {
        for (index, names) in certificates.enumerated() {
            for name in names.map(Self.canonical) {
                if name.hasPrefix("*.") {
                    let parent = String(name.dropFirst(2))
                    // A wildcard for a whole top-level domain is none (section 7.2).
                    guard parent.contains("."), !parent.contains("*") else { continue }
                    if wildcards[parent] == nil { wildcards[parent] = index }
                } else if !name.isEmpty, !name.contains("*"), exact[name] == nil {
                    exact[name] = index
                }
            }
        }
    }

    /// - Parameter name: as the client sent it (SNI, RFC 6066, section 3).
    /// - Returns: the certificate's place in the list; nil where none is for the name.
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
