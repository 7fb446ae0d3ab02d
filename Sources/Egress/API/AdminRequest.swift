import FoundationEssentials
import NetworkPolicy

/// The bodies of the administrative API.
package enum AdminRequest {
    /// `PUT /sandboxes/{id}`: `{"namespace": "/run/netns/…", "policy": {…}}`; no policy means allow all, which is
    /// still guarded.
    package struct Protect: Sendable, Equatable {
        var namespace: String
        var policy: Policy

        package init(namespace: String, policy: Policy) {
            self.namespace = namespace
            self.policy = policy
        }

        init(decoding body: [UInt8]) throws(EgressError) {
            guard let document = try? JSONDocument(parsing: body), case .object(let fields) = document,
                case .string(let namespace)? = fields["namespace"], namespace.hasPrefix("/"),
                Set(fields.keys).isSubset(of: ["namespace", "policy"])
            else { throw .invalidPolicy("the body must be {\"namespace\": \"/absolute/path\", \"policy\": {…}}") }
            self.namespace = namespace
            guard let form = fields["policy"] else {
                policy = .allowAll
                return
            }
            do {
                policy = try Policy.decode(json: try form.serialized(), form: .record)
            } catch {
                throw .invalidPolicy("\(error)")
            }
        }

        package func encoded() throws(EgressError) -> [UInt8] {
            do {
                let form = try JSONDocument(parsing: policy.encodedJSON(.record))
                return try JSONDocument.object(["namespace": .string(namespace), "policy": form]).serialized()
            } catch {
                throw .invalidPolicy("the policy cannot be encoded")
            }
        }
    }
}
