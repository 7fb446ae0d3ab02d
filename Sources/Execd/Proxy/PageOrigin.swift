import NIOHTTP1
import System

/// Whether a request of a page comes from a page of this very address. The address has to be a number or `localhost`: a name can
/// be made to lead here by whoever owns it, and their page would then seem to be of the same origin (DNS rebinding).
enum PageOrigin {
    static func isOwn(_ headers: HTTPHeaders) -> Bool {
        let hosts = headers["host"], origins = headers["origin"], sites = headers["sec-fetch-site"]
        guard hosts.count == 1, origins.count <= 1, sites.count <= 1, isNumber(hosts[0]) else { return false }
        guard sites.allSatisfy({ $0 == "same-origin" || $0 == "none" }) else { return false }
        return origins.allSatisfy { origin in
            ["http://", "https://"].contains { origin == $0 + hosts[0] }
        }
    }

    /// Whether a browser asks by a name. A page that was loaded by the same name says nothing of itself in a GET: no origin, and over
    /// plain HTTP browsers tell by `Sec-Fetch-Site` of localhost only. Every browser says `Mozilla/`, and no page can change that.
    static func isBrowserByName(_ headers: HTTPHeaders) -> Bool {
        headers["user-agent"].contains { $0.hasPrefix("Mozilla/") } && !headers["host"].allSatisfy(isNumber)
    }

    private static func isNumber(_ host: String) -> Bool {
        let name = host.hasPrefix("[") ? host.prefix { $0 != "]" }.dropFirst() : host.prefix { $0 != ":" }
        if host.hasPrefix("[") {
            return !name.isEmpty && name.utf8.allSatisfy { isHexadecimal($0) || $0 == 0x3A || $0 == 0x2E }
        }
        if name == "localhost" { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil && $0.utf8.count <= 3 && $0.first != "+" }
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }
}
