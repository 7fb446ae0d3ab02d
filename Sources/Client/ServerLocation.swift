import HTTPClient

/// Where a server is, and with which key it is asked.
package struct ServerLocation: Sendable {
    package static let serverVariable = "OPEN_SANDBOX_DOMAIN"
    package static let protocolVariable = "OPEN_SANDBOX_PROTOCOL"
    package static let keyVariable = "OPEN_SANDBOX_API_KEY"

    package let origin: HTTPEndpoint
    package let key: String?

    /// - Parameters:
    ///   - server: `host:port` or a URL, of the command line; else the variables that the official clients read, too; else `usual`.
    ///   - key: of a file that the command line names; else the variable's.
    ///   - usual: `host:port` of the server of this machine.
    ///   - ownKey: the key that it has made for itself, which is an administrator's: sent to its address and port alone. What else
    ///     listens on this machine may be anybody's, and what a name such as localhost leads to, too.
    package init(
        server: String?, key: String?, environment: [String: String], usual: String, ownKey: () -> String?
    ) throws(ClientFailure) {
        func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let text = server ?? variable(Self.serverVariable) ?? usual
        let scheme = variable(Self.protocolVariable)?.lowercased() ?? "http"
        guard let origin = HTTPEndpoint(text.contains("://") ? text : "\(scheme)://\(text)") else {
            throw ClientFailure(
                .usage, "\"\(text.prefix(200))\" is not the address of a server: write host:port, or https://host:port")
        }
        let own = HTTPEndpoint("http://\(usual)")
        let isOwn =
            own.map { own in
                !origin.isSecure && origin.port == own.port && [own.host, "localhost"].contains(origin.host)
                    && ["127.0.0.1", "::1"].contains(own.host)
            } ?? false
        self.origin = isOwn ? own! : origin
        let given = key ?? variable(Self.keyVariable)
        self.key = given ?? (isOwn ? ownKey() : nil)
        if let key = self.key, !ClientRequest.isLegal(name: ServerAPI.keyHeader, value: key) {
            throw ClientFailure(.usage, "the API key has characters that a key cannot have; a key is one line")
        }
    }
}
