import HTTPWire
import NIOHTTP1
import SecureAccess

/// The cookie that a gateway gives a browser that has opened a page by a signed path, so that what the page loads below
/// the same sandbox and port needs no signature. Its value is signed for that sandbox, port, expiry, epoch and scope.
enum AccessCookie {
    static let name = "opensandbox-access"
    /// How many cookies of this name are examined; other pages of the host may have set some.
    private static let maxValues = 4

    /// The values of this cookie in a request.
    static func values(in headers: HTTPHeaders) -> [Substring] {
        var values: [Substring] = []
        for field in headers["cookie"] {
            for pair in field.split(separator: ";") where values.count < maxValues {
                guard let (name, value) = parts(pair), name == Self.name else { continue }
                values.append(value)
            }
        }
        return values
    }

    /// A `Cookie` field without this cookie; nil if nothing is left.
    static func stripped(_ field: String) -> String? {
        guard field.utf8.count >= name.utf8.count, field.contains(name) else { return field }
        let kept = field.split(separator: ";").filter { parts($0)?.name != name[...] }
        let text = kept.joined(separator: ";").trimmingSpaces()
        return text.isEmpty ? nil : text
    }

    /// Whether a sandbox's `Set-Cookie` field would set this cookie.
    static func isSet(by field: String) -> Bool { parts(field[...])?.name == name[...] }

    private static func parts(_ pair: Substring) -> (name: Substring, value: Substring)? {
        guard let sign = pair.firstIndex(of: "=") else { return nil }
        let space: Set<Character> = [" ", "\t"]
        func trimmed(_ text: Substring) -> Substring {
            var text = text.drop { space.contains($0) }
            while let last = text.last, space.contains(last) { text.removeLast() }
            return text
        }
        return (trimmed(pair[..<sign]), trimmed(pair[pair.index(after: sign)...]))
    }

    /// The `Set-Cookie` field: limited to paths below the sandbox and its port, not readable by scripts, and not sent
    /// with requests of other sites.
    static func field(_ token: RouteToken, now: UInt64) -> String {
        let age = token.expires > now ? token.expires - now : 0
        return
            "\(name)=\(token.cookieText); Path=/\(token.sandbox)/\(token.port); Max-Age=\(age); HttpOnly; SameSite=Lax"
    }

    /// Whether a request with nothing but the cookie comes from a page of this host, or is a navigation. A browser
    /// sends cookies by itself, so a cookie does not prove who caused the request (CSRF), and WebSockets are not
    /// restricted to their own origin.
    static func isWanted(_ head: HTTPRequestHead) -> Bool {
        let origins = head.headers["origin"]
        let isRead = head.method == .GET || head.method == .HEAD
        if !origins.isEmpty {
            guard origins.count == 1, let host = head.headers.first(name: "host"), let origin = authority(origins[0])
            else { return false }
            return origin == host.lowercased()
        }
        guard isRead, !head.headers.contains(name: "upgrade") else { return false }
        let site = head.headers["sec-fetch-site"]
        guard site.count <= 1 else { return false }
        switch site.first {
        case nil, "same-origin", "none": return true
        // A link that somebody follows, as a top-level navigation.
        default:
            return head.headers["sec-fetch-mode"] == ["navigate"] && head.headers["sec-fetch-dest"] == ["document"]
        }
    }

    private static func authority(_ origin: String) -> String? {
        let origin = origin.lowercased()
        for scheme in ["http://", "https://"] where origin.hasPrefix(scheme) {
            return String(origin.dropFirst(scheme.count))
        }
        return nil
    }
}
