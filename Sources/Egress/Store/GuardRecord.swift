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

    func encoded() throws(EgressError) -> [UInt8] {
        do {
            let form = Form(
                version: Self.version, id: id, namespace: namespacePath, token: token,
                policy: try JSONDocument(parsing: policy.encodedJSON()))
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            return Array(try encoder.encode(form))
        } catch {
            throw .storage(path: "the record of sandbox \(id)", reason: "it cannot be encoded")
        }
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
