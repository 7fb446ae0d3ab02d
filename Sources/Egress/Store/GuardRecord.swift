import FoundationEssentials
import NetworkPolicy

/// What must survive the guard's process: which namespace, under which policy, with which token.
/// Learned addresses are not here: the kernel keeps them, with their names.
struct GuardRecord: Sendable, Equatable {
    var id: String
    var namespacePath: String
    var token: String
    var policy: Policy

    private struct Form: Codable {
        var version: Int
        var id: String
        var namespace: String
        var token: String
        var policy: JSONDocument
    }

    static let version = 1

    /// The policy's own bytes go in as they are: to read 4096 rules back in order to write them again would take most of
    /// a change's time.
    func encoded() -> [UInt8] {
        let head =
            "{\"version\":\(Self.version),\"id\":" + JSONDocument.quoted(id) + ",\"namespace\":"
            + JSONDocument.quoted(namespacePath) + ",\"token\":" + JSONDocument.quoted(token) + ",\"policy\":"
        return Array(head.utf8) + policy.encodedJSON() + Array("}\n".utf8)
    }

    init(id: String, namespacePath: String, token: String, policy: Policy) {
        self.id = id
        self.namespacePath = namespacePath
        self.token = token
        self.policy = policy
    }

    /// The error says what is wrong but quotes nothing, since the content holds a secret.
    init(decoding bytes: [UInt8], path: String) throws(EgressError) {
        let form: Form
        let policyBytes: [UInt8]
        do {
            form = try JSONDecoder().decode(Form.self, from: Data(bytes))
            policyBytes = try form.policy.serialized()
        } catch {
            throw .storage(path: path, reason: "it is not a guard record")
        }
        guard form.version == Self.version else {
            throw .storage(path: path, reason: "its version \(form.version) is unknown to this program")
        }
        guard SandboxIdentifier.isValid(form.id) else { throw .invalidIdentifier(form.id) }
        guard form.token.utf8.count >= PolicyToken.length else {
            throw .storage(path: path, reason: "its token is too short")
        }
        do {
            self.init(
                id: form.id, namespacePath: form.namespace, token: form.token,
                policy: try Policy.decode(json: policyBytes))
        } catch {
            throw .storage(path: path, reason: "its policy is invalid: \(error)")
        }
    }
}
