import Glibc
import NetworkPolicy
import System

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
