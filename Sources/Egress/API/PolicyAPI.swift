import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NetworkPolicy
import System

/// The policy API of every sandbox of the node (docs/wire.md#policy), at `/sandboxes/{id}/policy` and
/// `/sandboxes/{id}/healthz` of one unix socket. The gateway relays port 18080 of a sandbox there.
///
/// Every request needs the sandbox's own token, since sandboxes can reach the socket through the gateway.
public struct PolicyAPI: Sendable {
    let controller: any EgressController
    /// For `explain`, `suggestion` and `events`; nil if the guard is another process.
    let inspector: (any EgressInspector)?
    let maxRules: Int
    let maxBodyBytes: Int
    let presets: Presets
    /// The JSON form of policies. Sockets between our own processes use the stored form, which keeps presets' rules.
    var form = PolicyForm.contract
    let logger: Logger

    public init(
        controller: any EgressController, maxRules: Int, maxBodyBytes: Int, presets: Presets = .none, logger: Logger
    ) {
        self.controller = controller
        inspector = controller as? any EgressInspector
        self.maxRules = maxRules
        self.maxBodyBytes = maxBodyBytes
        self.presets = presets
        self.logger = logger
    }

    /// The handler for `HTTPServer`.
    public var handler: HTTPHandler {
        { request, writer in
            switch await answer(to: request) {
            case .reply(let reply): try? await writer.send(reply)
            case .events(let stream): try? await stream.serve(request, writer)
            }
        }
    }

    enum Answer {
        case reply(PolicyReply)
        case events(EventStream)
    }

    func answer(to request: HTTPRequest) async -> Answer {
        switch PolicyRoute(rawPath: request.path) {
        case nil:
            return .reply(.notFound)
        case .health(let id):
            guard request.method == .GET || request.method == .HEAD else { return .reply(.methodNotAllowed("GET")) }
            return .reply(await controller.guarded.contains(id) ? .text(200, "ok") : .notFound)
        case .policy(let id), .explanation(let id), .suggestion(let id), .events(let id):
            guard await isAuthorized(request, for: id) else { return .reply(.unauthorized) }
            return await authorizedAnswer(to: request)
        }
    }

    /// The routes after authorisation. The administrative API, which has its own socket, begins here.
    func authorizedAnswer(to request: HTTPRequest) async -> Answer {
        guard let route = PolicyRoute(rawPath: request.path) else { return .reply(.notFound) }
        if case .policy(let id) = route { return .reply(await policyReply(to: request, for: id)) }
        guard request.method == .GET else { return .reply(.methodNotAllowed("GET")) }
        guard let inspector else { return .reply(.notFound) }
        do throws(EgressError) {
            switch route {
            case .explanation(let id):
                let question = try PolicyQuestion(query: request.query)
                return .reply(.json(try await inspector.explain(id, question).encodedJSON()))
            case .suggestion(let id):
                return .reply(.json(try await inspector.suggestion(id).policy.encodedJSON()))
            case .events(let id):
                return .events(EventStream(log: try await inspector.events(id)))
            case .policy, .health:
                return .reply(.notFound)
            }
        } catch {
            return .reply(.failure(error))
        }
    }

    func policyReply(to request: HTTPRequest, for id: String) async -> PolicyReply {
        let body: [UInt8]
        do {
            body = Array(try await request.body.collect(upTo: maxBodyBytes).readableBytesView)
        } catch {
            return .tooLarge(limit: maxBodyBytes)
        }
        guard PolicyRequest.isMethod(request.method.rawValue) else { return .methodNotAllowed(PolicyRequest.methods) }
        do throws(EgressError) {
            let policyRequest = try PolicyRequest(
                method: request.method.rawValue, body: body, maxRules: maxRules, presets: presets,
                form: form)
            return .status(try await policyRequest.perform(on: id, with: controller), form)
        } catch {
            logger.warning("policy request failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
            return .failure(error)
        }
    }

    /// Requires exactly one header, compared in constant time. An unknown sandbox gets the same answer as a wrong
    /// token.
    private func isAuthorized(_ request: HTTPRequest, for id: String) async -> Bool {
        let presented = request.headers[PolicyToken.header]
        let expected = (try? await controller.token(of: id)) ?? ""
        return presented.count == 1 && ConstantTime.areEqual(presented[0], expected)
    }
}

extension HTTPResponseWriter {
    func send(_ reply: PolicyReply) async throws {
        var headers = HTTPHeaders([("Content-Type", reply.contentType)])
        for (name, value) in reply.headers { headers.add(name: name, value: value) }
        try await respond(
            HTTPResponseStatus(statusCode: reply.status), headers: headers, body: ByteBuffer(bytes: reply.body))
    }
}
