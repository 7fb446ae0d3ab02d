import NIOHTTP1

extension HTTPHeaders {
    /// Whether a message lets its connection go on (RFC 9112, section 9.3). `Proxy-Connection`, which old clients send, means
    /// the same.
    fileprivate func persist(_ version: HTTPVersion) -> Bool {
        var keeps = version == .http1_1
        for (name, value) in self {
            switch name.utf8.count {
            case 10 where name.isEqualIgnoringCase(to: "connection"),
                16 where name.isEqualIgnoringCase(to: "proxy-connection"):
                if value.isEqualIgnoringCase(to: "keep-alive") {
                    keeps = true
                    continue
                }
                for option in value.split(separator: ",") {
                    let option = option.trimmingSpaces()
                    if option.isEqualIgnoringCase(to: "close") { return false }
                    if option.isEqualIgnoringCase(to: "keep-alive") { keeps = true }
                }
            default: break
            }
        }
        return keeps
    }
}

extension HTTPRequestHead {
    /// The client's connection may carry another request.
    package var persists: Bool { headers.persist(version) }
}
