import HTTPServer
import NIOHTTP1

/// Checks on every request, before all others, that keep web pages from using the API through a visitor's browser: the
/// host must be one of the server's, the origin must not be foreign, and a body must be declared as JSON (pages can
/// send forms and plain text to any server without asking first).
struct CallerRules: Sendable {
    let names: HostNames
    /// Origins of pages that may call; `*` for all.
    let origins: Set<String>
    /// Whether a key is needed. Without one even the server's own origin is refused, because the only pages with that
    /// origin are those of sandboxes, through the server proxy.
    let asksForKey: Bool

    static let anyOrigin = "*"

    init(names: HostNames, origins: [String], asksForKey: Bool) {
        self.names = names
        self.origins = Set(origins.map { $0.lowercased() })
        self.asksForKey = asksForKey
    }

    /// Old clients send no Host; browsers do.
    /// - Parameter isOpen: whether it asks for what everybody may see, such as the API's own pages.
    func check(_ request: HTTPRequest, isOpen: Bool = false) throws(APIError) {
        for host in request.headers["host"] where !names.contains(host) {
            throw APIError(
                .misdirectedRequest, "UNKNOWN_HOST",
                "\"\(host.prefix(100))\" is not one of this server's names; if it should be, add it to server.names")
        }
        for origin in request.headers["origin"] where !permits(origin, request) {
            throw APIError(
                .forbidden, "FOREIGN_ORIGIN",
                "pages of \(origin.prefix(100)) may not call this server; server.allowed_origins lists those that may"
            )
        }
        // A page's GET to its own origin has no Origin field.
        if !isOpen, !asksForKey, !request.headers.contains(name: "origin"), request.isOfAPage {
            throw APIError(.forbidden, "FOREIGN_ORIGIN", "pages may not call this server while it asks for no key")
        }
    }

    private func permits(_ origin: String, _ request: HTTPRequest) -> Bool {
        isAllowed(origin) || (asksForKey && Self.isOwn(origin, host: request.headers.first(name: "host")))
    }

    private func isAllowed(_ origin: String) -> Bool {
        origins.contains(origin.lowercased()) || (asksForKey && origins.contains(Self.anyOrigin))
    }

    /// Whether a page is from the host that it calls, over http or https.
    static func isOwn(_ origin: String, host: String?) -> Bool {
        guard let host else { return false }
        let origin = origin.lowercased(), called = host.lowercased()
        for (scheme, port) in [("http://", ":80"), ("https://", ":443")] where origin.hasPrefix(scheme) {
            let authority = String(origin.dropFirst(scheme.count))
            return authority == called || authority + port == called
        }
        return false
    }

    /// Whether a text is an origin as browsers send it: a scheme, a host, and a port unless it is the default.
    static func isOrigin(_ text: String) -> Bool {
        for scheme in ["http://", "https://"] where text.lowercased().hasPrefix(scheme) {
            let authority = text.dropFirst(scheme.count)
            return !authority.isEmpty && authority.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
                && !authority.contains("/")
        }
        return false
    }

    /// All bodies of this API must be JSON.
    func checkBody(_ request: HTTPRequest) throws(APIError) {
        let length = request.headers.first(name: "content-length").map { $0.contains { $0 != "0" } } ?? false
        guard length || request.headers.contains(name: "transfer-encoding") else { return }
        let types = request.headers["content-type"]
        guard types.count == 1, Self.isJSON(types[0]) else {
            throw APIError(
                .unsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE",
                "the body must be JSON: send it with Content-Type: application/json")
        }
    }

    /// `application/json`, or a type that ends with `+json`; parameters may follow.
    static func isJSON(_ type: String) -> Bool {
        let name = type.prefix { $0 != ";" }.lowercased().filter { $0 != " " && $0 != "\t" }
        return name == "application/json" || (name.hasPrefix("application/") && name.hasSuffix("+json"))
    }

    // MARK: pages that may call (Fetch standard, CORS)

    /// The answer to a CORS preflight; nil for any other request.
    func preflight(_ request: HTTPRequest) -> Reply? {
        guard request.method == .OPTIONS, request.headers.contains(name: "origin"),
            let method = request.headers.first(name: "access-control-request-method")
        else { return nil }
        var reply = Reply.empty(.ok)
        reply.headers.add(name: "access-control-allow-methods", value: method)
        if let names = request.headers.first(name: "access-control-request-headers") {
            reply.headers.add(name: "access-control-allow-headers", value: names)
        }
        reply.headers.add(name: "access-control-max-age", value: "600")
        return reply
    }

    /// Adds the CORS headers that let an allowed page read the answer.
    func share(_ reply: inout Reply, with request: HTTPRequest) {
        guard let origin = request.headers.first(name: "origin"), isAllowed(origin) else { return }
        reply.headers.add(name: "access-control-allow-origin", value: origin)
        reply.headers.add(name: "vary", value: "Origin")
        reply.headers.add(name: "access-control-expose-headers", value: "OPEN-SANDBOX-ORIGIN, X-Request-ID")
    }
}
