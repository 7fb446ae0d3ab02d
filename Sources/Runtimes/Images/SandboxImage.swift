import Spelling
import System

/// An image for sandboxes: files on this machine, and the image's settings for running them.
package struct SandboxImage: Codable, Hashable, Sendable {
    /// Canonical, as `ImageReference.description`.
    package var reference: String
    /// The folder of the unpacked files. It is never written to, since it is the lower layer of sandboxes' overlays.
    package var root: String
    package var entrypoint: [String]
    package var command: [String]
    package var environment: [ExactName: String]
    package var workingDirectory: String
    /// As in the image: a name or number, perhaps with a group after a colon; empty for root.
    package var user: String
    /// The digest of the image's manifest for this machine; empty for a registered folder.
    package var digest: String

    package init(
        reference: String, root: String, entrypoint: [String] = [], command: [String] = [],
        environment: [ExactName: String] = [:], workingDirectory: String = "/", user: String = "", digest: String = ""
    ) {
        self.reference = reference
        self.root = root
        self.entrypoint = entrypoint
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.digest = digest
    }

    /// A registered folder is replaced by another one when it is built anew (scripts/base-image.sh).
    /// - Returns: nil if there is no such folder.
    var revision: ImageRevision? {
        digest.isEmpty ? ChangeStamp(root).map { .folder(root, $0) } : .digest(digest)
    }
}
