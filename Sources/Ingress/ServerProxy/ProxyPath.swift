import HTTPWire
import SecureAccess

/// A path beneath `[/v1]/sandboxes/{id}/proxy/{port}`, read byte for byte and never normalised: what the sandbox gets is what
/// the client wrote, and only the mount is taken off.
struct ProxyPath: Hashable, Sendable {
    var sandbox: String
    /// Nil where the digits are no port.
    var port: Int?
    /// What stands in front of the rest, prefix and all.
    var mount: String
    /// Path and query for the sandbox.
    var target: String

    /// - Returns: nil where the target is not the proxy's.
    init?(_ target: String) {
        let pathEnd = target.firstIndex(of: "?") ?? target.endIndex
        var segments = target[..<pathEnd].split(separator: "/", maxSplits: 6, omittingEmptySubsequences: false)[...]
        guard segments.popFirst() == "" else { return nil }
        if segments.first == "v1" { segments.removeFirst() }
        guard segments.popFirst() == "sandboxes", let sandbox = segments.popFirst(), !sandbox.isEmpty,
            segments.popFirst() == "proxy", let port = segments.popFirst(), !port.isEmpty,
            port.utf8.allSatisfy(ASCII.isDigit)
        else { return nil }
        self.sandbox = String(sandbox)
        self.port = RouteToken.port(port)
        mount = String(target[..<port.endIndex])
        let rest = target[port.endIndex...]
        self.target = rest.first == "/" ? String(rest) : "/" + rest
    }

    /// Two dots in the path, however they are written.
    var hasDots: Bool {
        let path = target.prefix { $0 != "?" }
        guard path.utf8.contains(UInt8(ascii: "%")) else { return path.contains("..") }
        return path.replacing("%2e", with: ".").replacing("%2E", with: ".").contains("..")
    }
}
