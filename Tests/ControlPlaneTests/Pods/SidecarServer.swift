import Egress
import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Netfilter
import NetworkPolicy
import Synchronization

@testable import ControlPlane

/// The `/policy` of one sandbox on a socket, as a sidecar serves it (docs/wire.md#policy), over a guard in memory.
final class SidecarServer: Sendable {
    let port: Int
    let token: String
    private let server: HTTPServer
    private let sandbox: String
    private let controller = FakeEgress()

    init(of sandbox: String, _ policy: Policy, token: String) async throws {
        self.token = token
        self.sandbox = sandbox
        try await controller.protect(sandbox, namespace: NetworkNamespace(existing: "/none"), policy: policy)
        let controller = controller
        server = HTTPServer(
            group: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "sidecar") { _ in SwiftLogNoOpLogHandler() }
        ) { request, writer in
            let (status, body) = await Self.answer(request, sandbox, controller, token)
            try? await writer.respond(
                status, headers: ["content-type": "application/json"], body: ByteBuffer(bytes: body))
        }
        port = try await server.start(on: .tcp(host: "127.0.0.1", port: 0)).port!
    }

    var policy: Policy? { controller.policies.withLock { $0[sandbox] } }

    func stop() async { await server.shutdown(grace: .zero) }

    private static func answer(
        _ request: HTTPRequest, _ sandbox: String, _ controller: FakeEgress, _ token: String
    ) async -> (HTTPResponseStatus, [UInt8]) {
        guard request.headers["OPENSANDBOX-EGRESS-AUTH"] == [token] else { return (.unauthorized, []) }
        guard request.target == "/policy", let body = try? await request.body.collect(upTo: 1 << 20) else {
            return (.notFound, [])
        }
        do {
            let change = try PolicyRequest(
                method: request.method.rawValue, body: Array(body.readableBytesView), maxRules: 100)
            return (.ok, try await change.perform(on: sandbox, with: controller).encodedJSON())
        } catch {
            return (.badRequest, Array("\(error)".utf8))
        }
    }
}
