import System

/// Where a Redis server is and how it is opened: `redis://[[user]:password@]host[:port][/database]`, percent-encoded where
/// needed; `rediss://` for TLS, with files in a query (`RedisTLS`). Its description has no password.
package struct RedisAddress: Hashable, Sendable, CustomStringConvertible {
    package var host: String
    package var port: Int
    package var user: String?
    package var password: String?
    package var database: Int
    /// nil for none.
    package var tls: RedisTLS?

    package init(
        host: String = "127.0.0.1", port: Int = 6379, user: String? = nil, password: String? = nil, database: Int = 0,
        tls: RedisTLS? = nil
    ) {
        self.tls = tls
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.database = database
    }

    /// - Throws: `RedisError.address`, which does not repeat the text.
    package init(_ text: String) throws(RedisError) {
        let isSecure = text.hasPrefix("rediss://")
        guard isSecure || text.hasPrefix("redis://") else {
            throw .address("it does not begin with redis:// or rediss://")
        }
        var rest = text.dropFirst(isSecure ? 9 : 8)
        if isSecure {
            tls = RedisTLS()
            // A password has its own percent-encoded.
            if let mark = rest.firstIndex(of: "?") {
                tls = try RedisTLS(query: rest[rest.index(after: mark)...])
                rest = rest[..<mark]
            }
        }
        if let slash = rest.firstIndex(of: "/") {
            let path = rest[rest.index(after: slash)...]
            guard path.isEmpty || (path.utf8.count <= 5 && Int(path).map { $0 >= 0 } ?? false) else {
                throw .address("the database is not a number")
            }
            database = Int(path) ?? 0
            rest = rest[..<slash]
        } else {
            database = 0
        }
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let user = PercentEncoding.decode(parts[0]),
                let password = parts.count > 1 ? PercentEncoding.decode(parts[1]) : ""
            else {
                throw .address("user and password are not percent-encoded")
            }
            self.user = user.isEmpty ? nil : user
            self.password = password.isEmpty ? nil : password
            rest = rest[rest.index(after: at)...]
        }
        var name = rest[...], number = rest[rest.endIndex...]
        if rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
            name = rest[rest.index(after: rest.startIndex)..<end]
            number = rest[rest.index(after: end)...]
            guard number.isEmpty || number.first == ":" else { throw .address("the host is malformed") }
            number = number.dropFirst()
        } else if let colon = rest.lastIndex(of: ":") {
            (name, number) = (rest[..<colon], rest[rest.index(after: colon)...])
        }
        guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw .address("the host is missing or malformed")
        }
        guard number.isEmpty || Int(number).map({ (1...65535).contains($0) }) ?? false else {
            throw .address("the port is not between 1 and 65535")
        }
        host = String(name)
        port = Int(number) ?? 6379
    }

    package var description: String { "\(host):\(port)/\(database)" }
}

package enum RedisError: Error, Hashable, Sendable, CustomStringConvertible {
    case address(String)
    /// The server's own words; they carry no credential.
    case server(String)
    /// What cannot be used for TLS.
    case tls(String)
    case protocolViolation
    case silent
    case ended

    package var description: String {
        switch self {
        case .address(let reason): "the Redis address: \(reason)"
        case .server(let text): "Redis answered: \(text)"
        case .tls(let reason): "TLS to Redis: \(reason)"
        case .protocolViolation: "Redis sent something that is not RESP2"
        case .silent: "Redis did not answer in time"
        case .ended: "Redis ended the connection"
        }
    }
}
