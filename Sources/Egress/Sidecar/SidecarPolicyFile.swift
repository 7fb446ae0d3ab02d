import CLinux
import Glibc
import NetworkPolicy

/// Stores the clients' part of a sidecar's policy, without the operator's rules: in a file in the contract's JSON, or
/// nowhere.
///
/// The guard only knows the policy in force, which includes the operator's rules. `parts` maps the policies before and
/// after a change to the clients' part, which is what is written.
struct SidecarPolicyFile: RecordStore {
    var path: String?
    /// The clients' part of each policy in force.
    var parts: [Policy: Policy]

    func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord {
        guard let path else { return .nothing }
        guard let policy = parts[record.policy] else {
            throw .storage(path: path, reason: "the policy to be written is not the one that was changed")
        }
        let content = policy.encodedJSON() + [UInt8(ascii: "\n")]
        return .whole(try AtomicFile(staging: content, for: path, outlivesMachine: true), then: {})
    }
}

/// Reads small files.
enum WholeFile {
    static let limit = 16 << 20

    /// `nil` if there is no such file.
    static func read(_ path: String) throws(EgressError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw AtomicFile.failure(path)
        }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while content.count <= limit {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw AtomicFile.failure(path) }
            if count == 0 { return content }
            content += chunk[..<count]
        }
        throw .storage(path: path, reason: "it is larger than \(limit) bytes")
    }

    /// File attributes that change when a file is replaced or written, to notice a change without reading it.
    struct Stamp: Hashable, Sendable {
        var inode: UInt64, size: Int64, seconds: Int, nanoseconds: Int

        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
        }
    }
}
