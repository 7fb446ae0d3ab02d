import Egress
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
