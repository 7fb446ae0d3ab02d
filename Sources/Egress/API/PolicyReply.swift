import NetworkPolicy

/// An answer of the policy API. Errors are plain text (docs/wire.md#policy).
struct PolicyReply: Hashable, Sendable {
    var status: Int
    var contentType: String
    var headers: [String: String] = [:]
    var body: [UInt8]

    static func json(_ body: [UInt8], status: Int = 200) -> PolicyReply {
        PolicyReply(status: status, contentType: "application/json", body: body)
    }

    static func text(_ status: Int, _ text: String) -> PolicyReply {
        PolicyReply(status: status, contentType: "text/plain; charset=utf-8", body: Array((text + "\n").utf8))
    }

    /// Prometheus text (exposition format 0.0.4).
    static func metrics(_ text: String) -> PolicyReply {
        PolicyReply(status: 200, contentType: "text/plain; version=0.0.4", body: Array(text.utf8))
    }

    static func status(_ status: PolicyStatus, _ form: PolicyForm) -> PolicyReply {
        .json(status.encodedJSON(form))
    }

    static let unauthorized = PolicyReply.text(401, "unauthorized: send the sandbox's \(PolicyToken.header) header")
    static let notFound = PolicyReply.text(404, "not found")

    static func methodNotAllowed(_ allowed: String) -> PolicyReply {
        var reply = PolicyReply.text(405, "method not allowed: use \(allowed)")
        reply.headers["Allow"] = allowed
        return reply
    }

    static func tooLarge(limit: Int) -> PolicyReply {
        .text(413, "the body is larger than \(limit) bytes")
    }

    /// Errors of kernel and disk go to the operator's log only; the caller is told that nothing was changed.
    static func failure(_ error: EgressError) -> PolicyReply {
        switch error {
        case .notGuarded: .text(404, error.description)
        case .invalidIdentifier, .tooManyRules, .invalidPolicy: .text(400, error.description)
        case .kernel, .guardedTwice: .text(500, "the policy could not be enforced; nothing was changed")
        case .storage: .text(500, "the policy could not be stored; nothing was changed")
        case .remote: .text(500, "the egress guard is not available; nothing was changed")
        }
    }
}
