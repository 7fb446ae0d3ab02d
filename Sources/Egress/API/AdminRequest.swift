import JSON
import NetworkPolicy

/// The bodies of the administrative API.
package enum AdminRequest {
    /// `PUT /sandboxes/{id}`: `{"namespace": "/run/netns/…", "policy": {…}}`; without a policy everything is allowed,
    /// and the sandbox is guarded all the same.
    package struct Protect: Sendable, Equatable {
        var namespace: String
        var policy: Policy

        package init(namespace: String, policy: Policy) {
            self.namespace = namespace
            self.policy = policy
        }

        init(decoding body: [UInt8]) throws(EgressError) {
            guard let document = try? JSONValue(body), case .object(let fields) = document,
                case .string(let namespace)? = fields["namespace"], namespace.hasPrefix("/"),
                fields.members.allSatisfy({ ["namespace", "policy"].contains($0.name) })
            else { throw .invalidPolicy("the body must be {\"namespace\": \"/absolute/path\", \"policy\": {…}}") }
            self.namespace = namespace
            guard let form = fields["policy"] else {
                policy = .allowAll
                return
            }
            do { policy = try Policy.decode(form, form: .record) } catch { throw .invalidPolicy("\(error)") }
        }

        package func encoded() -> [UInt8] {
            Array("{\"namespace\":\(JSONText.quoted(namespace)),\"policy\":".utf8) + policy.encodedJSON(.record)
                + Array("}".utf8)
        }
    }
}
