import NetworkPolicy

/// A request on a sandbox's `/policy`, decoded and checked (docs/wire.md#policy).
package enum PolicyRequest: Hashable, Sendable {
    case read
    case replace(Policy)
    case patch([Rule])
    case remove([RuleSelector])

    /// An empty body of POST and PUT means deny all; of PATCH and DELETE it is an error.
    /// - Throws: `EgressError.invalidPolicy` with the offending rule, `tooManyRules`.
    package init(
        method: String, body: [UInt8], maxRules: Int, presets: Presets = .none, form: PolicyForm = .contract
    ) throws(EgressError) {
        do {
            switch method {
            case "GET", "HEAD": self = .read
            case "POST", "PUT": self = .replace(try Policy.decode(json: body, presets: presets, form: form))
            case "PATCH": self = .patch(try Policy.decodeRules(json: body, presets: presets, form: form))
            case "DELETE": self = .remove(try Policy.decodeTargets(json: body))
            default: throw EgressError.invalidPolicy("the method is not one of GET, POST, PUT, PATCH, DELETE")
            }
        } catch let error as EgressError {
            throw error
        } catch {
            throw .invalidPolicy("\(error)")
        }
        let count =
            switch self {
            case .read: 0
            case .replace(let policy): policy.ruleCount
            case .patch(let rules): rules.count
            case .remove(let targets): targets.count
            }
        guard count <= maxRules else { throw .tooManyRules(count: count, limit: maxRules) }
    }

    /// Performs the request.
    package func perform(on id: String, with controller: any EgressController) async throws(EgressError) -> PolicyStatus
    {
        switch self {
        case .read: try await controller.status(id)
        case .replace(let policy): try await controller.replace(id, with: policy)
        case .patch(let rules): try await controller.patch(id, rules)
        case .remove(let targets): try await controller.removeRules(id, targets)
        }
    }
}
