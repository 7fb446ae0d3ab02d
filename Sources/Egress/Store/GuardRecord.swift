import JSON
import NetworkPolicy

/// What must survive the guard's process: namespace, policy and token. Learned addresses are not included, since the
/// kernel keeps them with their names.
package struct GuardRecord: Sendable, Equatable {
    package var id: String
    package var namespacePath: String
    package var token: String
    package var policy: Policy

    /// The first line. In version 1 the record was a single JSON document, including the policy.
    private struct Form: Decodable {
        var version: Int
        var id: String
        var namespace: String
        var token: String
        var mark: String?
    }

    static let version = 2

    /// Encodes a line with everything but the policy, then the policy.
    /// - Parameter mark: identifies the journal lines that belong to this record.
    func encoded(mark: String) -> [UInt8] {
        let head =
            "{\"version\":\(Self.version),\"id\":" + JSONText.quoted(id) + ",\"namespace\":"
            + JSONText.quoted(namespacePath) + ",\"token\":" + JSONText.quoted(token) + ",\"mark\":"
            + JSONText.quoted(mark) + "}\n"
        return Array(head.utf8) + policy.encodedJSON(.record) + Array("\n".utf8)
    }

    package init(id: String, namespacePath: String, token: String, policy: Policy) {
        self.id = id
        self.namespacePath = namespacePath
        self.token = token
        self.policy = policy
    }

    /// The error says what is wrong but does not quote the content, which contains a secret.
    static func decode(_ bytes: [UInt8], path: String) throws(EgressError) -> (record: GuardRecord, mark: String?) {
        let form: Form
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1)
        let inside: JSONValue?
        do {
            // The first programs wrote version 1 on several lines.
            let head = try (try? JSONValue(lines.first ?? [])) ?? JSONValue(bytes)
            form = try head.decode()
            inside = head["policy"]
        } catch {
            throw .storage(path: path, reason: "it is not a guard record")
        }
        guard
            form.version == 1 && inside != nil
                || form.version == Self.version && form.mark != nil && lines.count == 2
        else {
            throw .storage(path: path, reason: "its version \(form.version) is unknown to this program")
        }
        guard SandboxIdentifier.isValid(form.id) else { throw .invalidIdentifier(form.id) }
        guard form.token.utf8.count >= PolicyToken.length else {
            throw .storage(path: path, reason: "its token is too short")
        }
        do {
            let policy =
                if let inside {
                    try Policy.decode(inside, form: .record)
                } else {
                    try Policy.decode(json: lines[1], form: .record)
                }
            return (
                GuardRecord(id: form.id, namespacePath: form.namespace, token: form.token, policy: policy), form.mark
            )
        } catch {
            throw .storage(path: path, reason: "its policy is invalid: \(error)")
        }
    }
}
