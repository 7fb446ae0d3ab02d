import Egress
import JSON
import NIOPosix
import Netfilter
import NetworkPolicy

/// The guard in another process (`sallyport guard`), reached over its administrative unix socket.
public final class RemoteEgressNode: EgressController {
    private let client: UnixHTTPClient
    private let isAway: (@Sendable () -> Bool)?

    /// - Parameters:
    ///   - adminSocketPath: `EgressConfiguration.adminSocketPath` of that process.
    ///   - isAway: whether nobody will answer soon. Given where the socket is kept open while the process is started again:
    ///     what is asked then waits in the socket, and what the process has died of is asked once more. Every change may be
    ///     made twice: the second one finds what it wants.
    public init(adminSocketPath: String, isAway: (@Sendable () -> Bool)? = nil) {
        client = UnixHTTPClient(socketPath: adminSocketPath)
        self.isAway = isAway
    }

    public func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(EgressError) {
        let request = AdminRequest.Protect(namespace: namespace.path, policy: policy)
        _ = try await call("PUT", try path(id), body: request.encoded())
    }

    public func release(_ id: String) async {
        guard let path = try? path(id) else { return }
        _ = try? await call("DELETE", path)
    }

    public func status(_ id: String) async throws(EgressError) -> PolicyStatus {
        try await policyCall("GET", id, body: nil)
    }

    @discardableResult
    public func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        try await policyCall("PUT", id, body: policy.encodedJSON(.record))
    }

    @discardableResult
    public func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        try await policyCall("PATCH", id, body: Policy.encodeRules(rules, .record))
    }

    @discardableResult
    public func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        try await policyCall("DELETE", id, body: JSONValue.array(targets.map { .string($0.description) }).encoded)
    }

    public func token(of id: String) async throws(EgressError) -> String {
        try await call("GET", try path(id) + "/token").text
    }

    public var guarded: [String] {
        get async {
            guard let response = try? await call("GET", "/sandboxes") else { return [] }
            return (try? JSONValue(response.body).decode()) ?? []
        }
    }

    private func policyCall(_ method: String, _ id: String, body: [UInt8]?) async throws(EgressError) -> PolicyStatus {
        let response = try await call(method, try path(id) + "/policy", body: body)
        guard let document = try? JSONValue(response.body), case .object(let fields) = document,
            let form = fields["policy"], let policy = try? Policy.decode(form, form: .record)
        else { throw .remote("its answer is not a policy status") }
        func text(_ field: String) -> String? { if case .string(let text) = fields[field] { text } else { nil } }
        return PolicyStatus(
            policy: policy, reason: text("reason"),
            enforcementMode: text("enforcementMode") ?? PolicyStatus.enforcementMode)
    }

    private func path(_ id: String) throws(EgressError) -> String {
        guard SandboxIdentifier.isValid(id) else { throw .invalidIdentifier(id) }
        return "/sandboxes/" + id
    }

    /// libcurl blocks, so it runs on SwiftNIO's thread pool for blocking work.
    private func call(_ method: String, _ path: String, body: [UInt8]? = nil) async throws(EgressError)
        -> UnixHTTPClient.Response
    {
        let client = client
        guard isAway?() != true else { throw .remote("the guard is down and is started again in a moment") }
        let triesAgain = isAway != nil
        let response = try await Blocking.run { () throws(EgressError) in
            do throws(EgressError) { return try client.send(method, path, body: body) } catch {
                guard triesAgain else { throw error }
                return try client.send(method, path, body: body)
            }
        }
        switch response.status {
        case 200..<300: return response
        case 404: throw .notGuarded(path.split(separator: "/").dropFirst().first.map(String.init) ?? path)
        case 400, 413: throw .invalidPolicy(response.text.trimmingNewline)
        default: throw .remote(response.text.trimmingNewline)
        }
    }
}

extension String {
    fileprivate var trimmingNewline: String { last == "\n" ? String(dropLast()) : self }
}
