import NIOHTTP1
import SecureAccess

/// Where a request says which sandbox it is for.
public enum RouteMode: Hashable, Sendable {
    /// The `OpenSandbox-Ingress-To` header; without one, the first label of the host name, beneath `domain` if it is given.
    case header(domain: String? = nil)
    /// The beginning of the path.
    case uri
    /// The label of the host name in front of `domain`.
    case wildcard(domain: String)

    public static let headerName = "OpenSandbox-Ingress-To"

    /// - Returns: nil where the request names no sandbox, or names it in more than one way.
    public func route(of head: HTTPRequestHead) -> Route? {
        switch self {
        case .header(let domain):
            var names = head.headers.lazy.filter { $0.name.isEqualIgnoringCase(to: Self.headerName) }.makeIterator()
            guard let first = names.next() else { return hostRoute(head, beneath: domain) }
            guard names.next() == nil else { return nil }
            return Route.parse(label: first.value[...], in: .long, target: head.uri)
        case .uri: return Route.parse(uri: head.uri)
        case .wildcard(let domain): return hostRoute(head, beneath: domain)
        }
    }

    private func hostRoute(_ head: HTTPRequestHead, beneath domain: String?) -> Route? {
        guard let host = head.headers.first(name: "host")?.lowercased() else { return nil }
        let name = host.prefix { $0 != ":" }
        guard let dot = name.firstIndex(of: ".") else { return nil }
        if let domain, name[name.index(after: dot)...] != domain.lowercased() { return nil }
        return Route.parse(label: name[..<dot], in: .label, target: head.uri)
    }
}
