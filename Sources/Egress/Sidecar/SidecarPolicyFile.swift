import Egress
import Glibc
import NetworkPolicy
import System

/// Stores a sidecar's policy as its clients wrote it: in a file in the contract's JSON, or nowhere.
struct SidecarPolicyFile: RecordStore {
    var path: String?

    func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord {
        guard let path else { return .nothing }
        let content = record.policy.encodedJSON() + [UInt8(ascii: "\n")]
        return .whole(try .staged(content, for: path, synchronizes: true), then: {})
    }
}

/// The operator's files, read whole.
enum SidecarFiles {
    private static let limit = 16 << 20

    /// `nil` if there is no such file.
    static func read(_ path: String) throws(EgressError) -> [UInt8]? {
        do throws(SystemCallError) {
            return try File.readIfPresent(path, limit: limit)
        } catch {
            guard error.code != EFBIG else { throw .storage(path: path, reason: "it is larger than \(limit) bytes") }
            throw .storage(path, error)
        }
    }
}
