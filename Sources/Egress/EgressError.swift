import Netfilter
import System

/// What can go wrong in the guard. The description tells an operator what to do; it never carries a token.
package enum EgressError: Error, Hashable, Sendable {
    /// No sandbox of this identifier is guarded here.
    case notGuarded(String)
    /// The identifier is empty, too long, or has characters outside letters, digits, `.`, `_` and `-`.
    case invalidIdentifier(String)
    /// The policy would hold more rules than the configured limit.
    case tooManyRules(count: Int, limit: Int)
    /// A request body that is not a valid policy, rule list or target list.
    case invalidPolicy(String)
    /// Another sidecar guards this namespace.
    case guardedTwice
    /// The kernel refused the ruleset, the sockets or the namespace.
    case kernel(String)
    /// The state folder or a file in it could not be read or written.
    case storage(path: String, reason: String)
    /// The separate guard did not carry out the request, and the same request would fare no better.
    case remote(String)
    /// The guard is a sidecar that is not one of ours, and has no answer to this.
    case unsupported(String)
    /// The separate guard is not there now, or did not answer. It may have done what was asked: asking again does no harm.
    case unreachable(String)
}

extension EgressError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notGuarded(let id):
            "sandbox \(id) has no egress guard on this node"
        case .invalidIdentifier(let id):
            "\"\(id.prefix(80))\" is not a sandbox identifier: use 1 to 63 letters, digits, '.', '_' or '-', "
                + "starting with a letter or a digit"
        case .tooManyRules(let count, let limit):
            "the policy would have \(count) rules; at most \(limit) are allowed"
        case .invalidPolicy(let reason):
            reason
        case .guardedTwice:
            "another sidecar guards this network namespace; nothing was changed"
        case .kernel(let reason):
            "the kernel refused the egress rules: \(reason)"
        case .storage(let path, let reason):
            "cannot use \(path): \(reason); check its permissions and the free space of its file system"
        case .remote(let reason):
            "the egress guard process did not carry out the request: \(reason)"
        case .unsupported(let what):
            "the sandbox's sidecar has no \(what)"
        case .unreachable(let reason):
            "the egress guard does not answer, try again in a moment: \(reason)"
        }
    }
}

extension EgressError {
    /// Runs what asks the kernel, whose refusal becomes an error of the guard.
    package static func ofKernel<Result>(_ body: () throws(NetfilterError) -> Result) throws(EgressError) -> Result {
        do throws(NetfilterError) { return try body() } catch { throw .kernel("\(error)") }
    }

    package static func storage(_ path: String, _ error: SystemCallError) -> EgressError {
        .storage(path: path, reason: "\(error)")
    }
}
