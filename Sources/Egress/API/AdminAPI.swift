import FoundationEssentials
import HTTPServer
import JSON
import Logging
import NIOCore
import NIOHTTP1
import Netfilter
import NetworkPolicy

/// The API by which another process of the node (the lifecycle server) controls the guard, on its own unix socket. It
/// asks for no token: only the socket's owner can open it, and the gateway never relays to it.
///
/// - `GET /sandboxes`: the identifiers, a JSON array
/// - `PUT /sandboxes/{id}`, `DELETE /sandboxes/{id}`: protect and release
/// - `GET /sandboxes/{id}/token`: the token as text
/// - `GET /metrics`: Prometheus' text, where the program has metrics
/// - `/sandboxes/{id}/policy`, `…/policy/explain`, `…/policy/suggestion`, `/sandboxes/{id}/events`: as the policy API
struct AdminAPI: Sendable {
    let policyAPI: PolicyAPI
    var metrics: (@Sendable () -> String)?

    private var controller: any EgressController { policyAPI.controller }

    var handler: HTTPHandler {
        { request, writer in
            switch PolicyRoute(rawPath: request.path) {
            case nil, .health:
                let reply = await reply(to: request)
                try? await writer.send(reply)
            default:
                switch await policyAPI.authorizedAnswer(to: request) {
                case .reply(let reply): try? await writer.send(reply)
                case .events(let stream): try? await stream.serve(request, writer)
                }
            }
        }
    }

    func reply(to request: HTTPRequest) async -> PolicyReply {
        do throws(EgressError) {
            switch request.path.split(separator: "/", omittingEmptySubsequences: false).map(String.init) {
            case ["", "sandboxes"]:
                guard request.method == .GET else { return .methodNotAllowed("GET") }
                return .json(JSONValue.array(await controller.guarded.map { .string($0) }).encoded)
            case ["", "metrics"]:
                guard let metrics else { return .notFound }
                guard request.method == .GET else { return .methodNotAllowed("GET") }
                return .metrics(metrics())
            case let path where path.count == 3 && path[1] == "sandboxes":
                return try await sandboxReply(to: request, for: path[2])
            case let path where path.count == 4 && path[1] == "sandboxes" && path[3] == "token":
                guard request.method == .GET else { return .methodNotAllowed("GET") }
                return .json(Array(try await controller.token(of: path[2]).utf8))
            default:
                return .notFound
            }
        } catch {
            policyAPI.logger.warning("administrative request failed", metadata: ["error": "\(error)"])
            return .administrativeFailure(error)
        }
    }

    private func sandboxReply(to request: HTTPRequest, for id: String) async throws(EgressError) -> PolicyReply {
        guard SandboxIdentifier.isValid(id) else { throw .invalidIdentifier(id) }
        switch request.method {
        case .PUT:
            let body: ByteBuffer
            do {
                body = try await request.body.collect(upTo: policyAPI.maxBodyBytes)
            } catch {
                return .tooLarge(limit: policyAPI.maxBodyBytes)
            }
            let protect = try AdminRequest.Protect(decoding: Array(body.readableBytesView))
            guard protect.policy.ruleCount <= policyAPI.maxRules else {
                throw .tooManyRules(count: protect.policy.ruleCount, limit: policyAPI.maxRules)
            }
            try await controller.protect(
                id, namespace: NetworkNamespace(existing: protect.namespace), policy: protect.policy)
            return .status(try await controller.status(id), policyAPI.form)
        case .DELETE:
            await controller.release(id)
            return PolicyReply(status: 204, contentType: "text/plain; charset=utf-8", body: [])
        default:
            return .methodNotAllowed("PUT, DELETE")
        }
    }
}

extension PolicyReply {
    /// The caller is the operator's own program, so errors are given in full.
    static func administrativeFailure(_ error: EgressError) -> PolicyReply {
        var reply = failure(error)
        if reply.status == 500 { reply = .text(500, error.description) }
        return reply
    }
}
