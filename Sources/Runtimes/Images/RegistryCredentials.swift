import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#endif

/// A caller's name and password at a registry. Never printed.
package struct RegistryCredentials: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    package let username: String
    package let password: String

    package init(username: String, password: String) {
        self.username = username
        self.password = password
    }

    package var description: String { "RegistryCredentials(…)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// The encoding of HTTP's Basic scheme (RFC 7617).
    private var basic: String { Data("\(username):\(password)".utf8).base64EncodedString() }

    /// Removes the password from a text, in plain or encoded form.
    func scrub(_ text: String) -> String {
        var text = text
        for secret in [basic, password] where !secret.isEmpty {
            text = text.split(separator: secret, omittingEmptySubsequences: false).joined(separator: "…")
        }
        return text
    }

    /// Writes the file from which skopeo reads credentials (containers-auth.json(5)), readable by its owner only.
    /// Without credentials an empty one is written, because skopeo would otherwise use those of the server's own user.
    static func write(_ credentials: RegistryCredentials?, registry: String, to path: String) throws(ImageError) {
        if let username = credentials?.username, username.contains(":") || username.isEmpty {
            throw .invalidCredentials(reason: "a user name must not be empty or have a colon (RFC 7617)")
        }
        struct File: Encodable {
            struct Entry: Encodable { var auth: String }
            var auths: [String: Entry]
        }
        let auths = credentials.map { [registry: File.Entry(auth: $0.basic)] } ?? [:]
        // Strings can always be encoded.
        let bytes = Array(try! JSONEncoder().encode(File(auths: auths)))
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw .storage(action: "writing \(path)", reason: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw .storage(action: "writing \(path)", reason: String(cString: strerror(errno)))
        }
    }
}
