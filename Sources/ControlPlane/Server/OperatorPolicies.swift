import Egress
import NetworkPolicy
import System

/// What the operator says of policies in files: presets, and the policy of sandboxes that are created without one. Read at
/// the start and on SIGHUP.
struct OperatorPolicies: Sendable {
    var presets: Presets
    /// nil: a sandbox without a policy reaches everything outside.
    var standard: Policy?

    /// - Throws: the first mistake, with its file and its place there.
    init(_ settings: Settings) throws(ConfigurationError) {
        presets = Presets(try Installation.current.presetFiles(settings.egress))
        standard = try settings.egress.defaultPolicy.map { (path) throws(ConfigurationError) in
            if let shared = settings.sharedNetwork {
                throw ConfigurationError(
                    "egress.default_policy cannot be enforced where sandboxes share the machine's network (\(shared)): leave it out"
                )
            }
            return try Self.policy(path, presets)
        }
    }

    private static func policy(_ path: String, _ presets: Presets) throws(ConfigurationError) -> Policy {
        func wrong(_ reason: String) -> ConfigurationError {
            ConfigurationError("egress.default_policy: \(path): \(reason)")
        }
        let bytes: [UInt8]
        do throws(SystemCallError) { bytes = try File.read(path) } catch { throw wrong("\(error)") }
        // Elsewhere that stands for "deny everything"; here it is a file that somebody forgot to write.
        guard bytes.contains(where: { !" \t\r\n".utf8.contains($0) }) else {
            throw wrong("it is empty: write {} for a policy that denies everything")
        }
        var policy: Policy
        do throws(PolicyError) { policy = try Policy.decode(json: bytes, presets: presets) } catch {
            throw wrong("\(error)")
        }
        guard policy.ruleCount <= EgressConfiguration.usualMaxRules else {
            throw wrong(
                "\(EgressError.tooManyRules(count: policy.ruleCount, limit: EgressConfiguration.usualMaxRules))")
        }
        policy.isDefault = true
        return policy
    }
}
