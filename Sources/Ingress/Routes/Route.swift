import SecureAccess

/// The sandbox and port that a request is for.
package struct Route: Hashable, Sendable {
    package var sandbox: String
    package var port: Int
    /// The token of a signed route, well formed but not verified yet.
    package var token: RouteToken?
    /// The request target for the sandbox: path and query, byte for byte.
    package var target: String
    /// The target with the token's segments included, for sandboxes without secure access, where they belong to the
    /// application's path. Nil if the token is not in the path.
    package var unsignedTarget: String?

    package init(
        sandbox: String, port: Int, token: RouteToken? = nil, target: String, unsignedTarget: String? = nil
    ) {
        self.sandbox = sandbox
        self.port = port
        self.token = token
        self.target = target
        self.unsignedTarget = unsignedTarget
    }

    /// Reads `<id>-<port>` or `<id>-<port>-<expires>-<signature>`. Ids may contain dashes. The two forms cannot be
    /// confused, since a signature has at least nine characters and a port at most five.
    static func parse(label: Substring, in form: RouteToken.Form, target: String) -> Route? {
        guard let dash = label.utf8.lastIndex(of: UInt8(ascii: "-")) else { return nil }
        let last = label[label.utf8.index(after: dash)...]
        if last.utf8.count > 5 {
            guard let token = try? RouteToken(label, in: form), isSandboxID(token.sandbox) else { return nil }
            return Route(sandbox: token.sandbox, port: token.port, token: token, target: target)
        }
        guard let port = RouteToken.port(last), isSandboxID(label[..<dash]) else { return nil }
        return Route(sandbox: String(label[..<dash]), port: port, target: target)
    }

    /// Whether an invalid label was meant as a signed route, so that a tampered signature gets the answer for a bad
    /// signature. An expiry in this century has more than four digits and fewer than twelve, the lengths of a UUID's
    /// groups, so `<uuid>-<not a port>` is not taken for one.
    static func resemblesToken(_ label: Substring) -> Bool {
        let parts = label.split(separator: "-", omittingEmptySubsequences: false)
        return parts.count >= 4 && RouteToken.port(parts[parts.count - 3]) != nil
            && (5..<12).contains(parts[parts.count - 2].utf8.count) && parts.last!.utf8.count > 5
    }

    /// Reads `/<id>/<port>[/<expires>/<signature>][/…]`.
    static func parse(uri target: String) -> Route? {
        let pathEnd = target.firstIndex(of: "?") ?? target.endIndex
        let query = target[pathEnd...]
        let segments = target[..<pathEnd].split(separator: "/", maxSplits: 5, omittingEmptySubsequences: false)
        guard segments.count >= 3, segments[0].isEmpty, isSandboxID(segments[1]),
            let port = RouteToken.port(segments[2])
        else { return nil }
        func rest(after count: Int) -> String {
            guard segments.count > count else { return "/" + query }
            return String(target[target.index(before: segments[count].startIndex)...])
        }
        var route = Route(sandbox: String(segments[1]), port: port, target: rest(after: 3))
        if segments.count >= 5,
            let token = try? RouteToken(
                sandbox: route.sandbox, port: segments[2], expires: segments[3], signature: segments[4], in: .long)
        {
            route.token = token
            route.unsignedTarget = route.target
            route.target = rest(after: 5)
        }
        return route
    }

    /// Letters, digits, dashes and underscores, at most 128: nothing with a special meaning in a path or a host name.
    package static func isSandboxID(_ text: some StringProtocol) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}
