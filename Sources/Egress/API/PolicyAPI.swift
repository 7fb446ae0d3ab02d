import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NetworkPolicy

/// The policy API of every sandbox of the node (CLIENTS.md section 9), at `/sandboxes/{id}/policy` and
/// `/sandboxes/{id}/healthz` of one unix socket. The gateway relays port 18080 of a sandbox there.
///
/// Whoever reaches the socket needs the sandbox's own token: what a sandbox sends through the gateway is refused.
public struct PolicyAPI: Sendable {
    let controller: any EgressController
    let maxRules: Int
    let maxBodyBytes: Int
    let presets: Presets
    let logger: Logger

    public init(
        controller: any EgressController, maxRules: Int, maxBodyBytes: Int, presets: Presets = .none, logger: Logger
    ) {
        self.controller = controller
        self.maxRules = maxRules
        self.maxBodyBytes = maxBodyBytes
        self.presets = presets
        self.logger = logger
    }

    /// The handler for `HTTPServer`.
    public var handler: HTTPHandler {
        { request, writer in
            let reply = await reply(to: request)
            try? await writer.send(reply)
        }
    }

    func reply(to request: HTTPRequest) async -> PolicyReply {
        switch PolicyRoute(rawPath: request.path) {
        case nil:
            return .notFound
        case .health(let id):
            guard request.method == .GET || request.method == .HEAD else { return .methodNotAllowed("GET") }
            return await controller.guarded.contains(id) ? .text(200, "ok") : .notFound
        case .policy(let id):
            guard await isAuthorized(request, for: id) else { return .unauthorized }
            return await policyReply(to: request, for: id)
        }
    }

    /// The route after authorisation; the administrative API, which has its own door, starts here.
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
                method: request.method.rawValue, body: body, maxRules: maxRules, presets: presets)
            return .status(try await policyRequest.perform(on: id, with: controller))
        } catch {
            logger.warning("policy request failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
            return .failure(error)
        }
    }

    /// One header exactly, compared in constant time; an unknown sandbox is refused as a wrong token is.
    private func isAuthorized(_ request: HTTPRequest, for id: String) async -> Bool {
        let presented = request.headers[PolicyToken.header]
        let expected = (try? await controller.token(of: id)) ?? ""
        return presented.count == 1 && PolicyToken.matches(presented[0], expected)
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
