import Logging
import Runtimes
import SecureAccess

extension SandboxService {
    /// A part of the hash of a sandbox's execd token. Token and credentials are derived from the same key, so a
    /// different tag means that both have changed. It reveals nothing about them, since both have 256 random bits.
    func secretsTag(of id: String) -> String {
        Secrets.hexadecimal(Array(EndpointCredential.hash(execdToken(id)).prefix(8)))
    }

    /// Warns about sandboxes whose credentials are no longer valid, because they were made with other secrets: the
    /// secrets' folder was not restored, or another one was.
    ///
    /// - Parameters:
    ///   - made: names of secrets that were missing and have been created.
    ///   - folder: the secrets' folder.
    func warn(ofNew made: [String], in folder: String) {
        let present = catalog.all.filter { ![.failed, .terminated].contains($0.status.state) }
        let lockedOut = present.filter { $0.secretsTag != nil && $0.secretsTag != secretsTag(of: $0.id) }.count
        guard lockedOut > 0 || !(made.isEmpty || present.isEmpty) else { return }
        let locked =
            lockedOut == 0
            ? "" : "; \(lockedOut) of them are locked out: their credentials and the token of their execd are void"
        logger.critical(
            """
            the secrets in \(folder) are not those that this server's \(present.count) sandboxes were made with\(locked). \
            Stop the server and put the folder back as it was, or delete these sandboxes
            """,
            metadata: made.isEmpty ? [:] : ["new": "\(made.joined(separator: ", "))"])
    }
}
