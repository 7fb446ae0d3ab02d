/// Files that are not a sandbox's own, which it sees at one of its paths (docs/volumes.md).
package struct SandboxVolume: Codable, Hashable, Sendable {
    /// Where the files are.
    package enum Source: Codable, Hashable, Sendable {
        /// A file or folder of the server's machine, below a folder that its configuration allows.
        case host(HostPath)
        /// A volume that the server keeps by its name.
        case named(NamedVolumeClaim)
        /// A bucket of object storage that a program of the machine mounts.
        case bucket(BucketClaim)
    }

    /// Unique in the sandbox; for messages.
    package var name: String
    package var mountPath: MountPath
    package var isReadOnly: Bool
    /// Which part of the source; nil for all of it.
    package var subPath: SubPath?
    package var source: Source

    /// The most that one sandbox may have.
    package static let maxCount = 32

    package init(
        name: String, mountPath: MountPath, isReadOnly: Bool = false, subPath: SubPath? = nil, source: Source
    ) {
        self.name = name
        self.mountPath = mountPath
        self.isReadOnly = isReadOnly
        self.subPath = subPath
        self.source = source
    }

    /// Names that Kubernetes takes (RFC 1123): of volumes up to 63 bytes, of claims up to 253.
    package static func isName(_ text: String, upTo limit: Int) -> Bool {
        let bytes = text.utf8
        func isEnd(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        guard let first = bytes.first, let last = bytes.last, bytes.count <= limit else { return false }
        return isEnd(first) && isEnd(last) && bytes.allSatisfy { isEnd($0) || $0 == UInt8(ascii: "-") }
    }
}

/// A request for a named volume, which is made if there is none.
package struct NamedVolumeClaim: Codable, Hashable, Sendable {
    /// As `SandboxVolume.isName(_:upTo:)`, up to 253 bytes.
    package var claim: String
    package var createsIfMissing: Bool
    /// Whether a volume that is made for the sandbox goes with it.
    package var goesWithSandbox: Bool
    /// The limit in bytes of a volume that is made; nil for the server's default.
    package var bytes: Int64?

    package init(
        claim: String, createsIfMissing: Bool = true, goesWithSandbox: Bool = false, bytes: Int64? = nil
    ) {
        self.claim = claim
        self.createsIfMissing = createsIfMissing
        self.goesWithSandbox = goesWithSandbox
        self.bytes = bytes
    }
}

/// A bucket and how it is mounted. Its keys are apart (`BucketKeys`), since this is written to the disk.
package struct BucketClaim: Codable, Hashable, Sendable {
    /// Which generation of the program mounts it.
    package enum Version: String, Codable, Hashable, Sendable, CaseIterable {
        case one = "1.0"
        case two = "2.0"
        /// Amazon's protocol, by s3fs; our own word.
        case s3 = "s3"
        /// The same by rclone: the server's choice, of which no request knows (`StorageConfiguration.s3Program`).
        case rclone = "rclone"

        /// Those of the contract's `ossfs`.
        package static let ossfs = [one, two]
    }

    package var bucket: String
    package var endpoint: String
    package var version: Version
    /// `name` or `name=value`, without dashes.
    package var options: [String]
    /// Of S3; nil for the program's own.
    package var region: String?

    package init(
        bucket: String, endpoint: String, version: Version = .two, options: [String] = [], region: String? = nil
    ) {
        self.bucket = bucket
        self.endpoint = endpoint
        self.version = version
        self.options = options
        self.region = region
    }
}

/// The keys of a bucket. Never printed or stored.
package struct BucketKeys: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
    package let id: String
    package let secret: String

    package init(id: String, secret: String) { (self.id, self.secret) = (id, secret) }

    package var description: String { "BucketKeys(…)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
