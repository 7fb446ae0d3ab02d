import HTTPWire
import NIOHTTP1
import SecureAccess

/// Where in a request the route is.
package enum RouteMode: Hashable, Sendable {
    /// The `OpenSandbox-Ingress-To` header; without it, the first label of the host name, below `domain` if given.
    case header(domain: String? = nil)
    /// The beginning of the path.
    case uri
    /// The label of the host name before `domain`.
    case wildcard(domain: String)

    package static let headerName = "OpenSandbox-Ingress-To"

    /// - Returns: nil if the request has no route, or more than one.
    package func route(of head: HTTPRequestHead) -> Route? { entry(of: head)?.route }

    /// The same, and where in the request it stands.
    func entry(of head: HTTPRequestHead) -> (route: Route, kind: RouteKind)? {
        if case .uri = self { return Route.parse(uri: head.uri).map { ($0, .path) } }
        guard let (label, form) = label(of: head) else { return nil }
        return Route.parse(label: label, in: form, target: head.uri).map { ($0, form == .long ? .header : .host) }
    }

    /// Whether a request without a valid route was meant to have a signed one.
    func presentsBrokenToken(_ head: HTTPRequestHead) -> Bool {
        label(of: head).map { Route.resemblesToken($0.text) } ?? false
    }

    /// The route's text, if it is not in the path.
    private func label(of head: HTTPRequestHead) -> (text: Substring, form: RouteToken.Form)? {
        switch self {
        case .header(let domain):
            var names = head.headers.lazy.filter { $0.name.isEqualIgnoringCase(to: Self.headerName) }.makeIterator()
            guard let first = names.next() else { return hostLabel(head, beneath: domain).map { ($0, .label) } }
            guard names.next() == nil else { return nil }
            return (first.value[...], .long)
        case .uri: return nil
        case .wildcard(let domain): return hostLabel(head, beneath: domain).map { ($0, .label) }
        }
    }

    private func hostLabel(_ head: HTTPRequestHead, beneath domain: String?) -> Substring? {
        guard let host = head.headers.first(name: "host")?.lowercased() else { return nil }
        let name = host.prefix { $0 != ":" }
        guard let dot = name.firstIndex(of: ".") else { return nil }
        if let domain, name[name.index(after: dot)...] != domain.lowercased() { return nil }
        return name[..<dot]
    }
}
