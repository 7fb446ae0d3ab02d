import Addresses
import Egress
import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Netfilter
import NetworkPolicy
import Tracing

#if canImport(Glibc)
    import Glibc
#endif

/// The policy API of the one sandbox, at the root (docs/wire.md#policy) and on TCP.
///
/// The sandbox's processes are in the same namespace. The kernel refuses them the port, and requests from one of the
/// namespace's own addresses are refused here as well, with or without the token; but for loopback where the operator's clients
/// come that way (`SidecarConfiguration.answersInside`).
struct SidecarAPI: Sendable {
    let api: PolicyAPI
    let sandboxID: String
    /// Where the operator set no token, nobody else is asked for one.
    let isOpen: Bool
    let answersInside: Bool
    /// The body of `GET /metrics` in Prometheus text format. It has counts only, no names or addresses.
    let metrics: @Sendable () -> String

    init(_ sidecar: Sidecar, tracer: Tracer? = nil, metrics: @escaping @Sendable () -> String) {
        self.metrics = metrics
        api = PolicyAPI(
            controller: sidecar, maxRules: sidecar.configuration.maxRules, maxBodyBytes: 1 << 20,
            presets: sidecar.configuration.presets, tracer: tracer, logger: sidecar.logger)
        sandboxID = sidecar.configuration.sandboxID
        isOpen = sidecar.configuration.token == nil
        answersInside = sidecar.configuration.answersInside
    }

    var http: HTTPAPI {
        var http = api.api { request, access in
            let own = LinkSurroundings.current().local
            if let reason = Self.refusal(of: request, own: own, isOpen: isOpen, answersInside: answersInside) {
                throw RefusalError(status: .forbidden, reason: "forbidden: " + reason)
            }
            if access == .guarded, !isOpen { try await api.authorize(request, for: sandboxID) }
        }
        api.addPolicy(to: &http, below: "") { _ in sandboxID }
        http.on(.GET, "/metrics", access: .open) { _ in .metrics(metrics()) }
        return http
    }

    /// Why a request is refused because of its sender; nil if it is not.
    static func refusal(
        of request: HTTPRequest, own: Set<IPAddress>, isOpen: Bool, answersInside: Bool = false
    ) -> String? {
        let peer = address(request.remoteAddress), isAwaited = answersInside && !isOpen && peer?.isLoopback == true
        guard isAwaited || !isOfTheSandbox(request.remoteAddress, own: own) else {
            return "the sandbox may not use its own policy API"
        }
        return isOpen && request.isOfAPage ? "pages may not use the policy API where no token is set" : nil
    }

    /// A peer whose address cannot be read counts as the sandbox.
    static func isOfTheSandbox(_ peer: SocketAddress?, own: Set<IPAddress>) -> Bool {
        guard let address = address(peer) else { return true }
        return address.isLoopback || own.contains(address)
    }

    private static func address(_ peer: SocketAddress?) -> IPAddress? {
        // A link-local address is followed by the name of its link.
        peer?.ipAddress.flatMap { IPAddress(String($0.prefix { $0 != "%" }))?.unmapped }
    }
}

/// Serves a sidecar until it is told to stop.
package final class SidecarServer: Sendable {
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let sidecar: Sidecar
    private let server: HTTPServer
    private let refreshing: RepeatedTask

    /// How often to check the operator's lists for changes.
    private static let interval = TimeAmount.milliseconds(500)

    /// Returns when the API is served. It waits for an event loop, so it must not be called on one.
    package init(
        _ sidecar: Sidecar, tracer: Tracer? = nil, metrics: @escaping @Sendable () -> String = { "" }
    ) throws {
        self.sidecar = sidecar
        var limits = HTTPLimits()
        limits.maxConnections = 256
        server = HTTPServer(
            group: group, limits: limits, logger: sidecar.logger,
            application: SidecarAPI(sidecar, tracer: tracer, metrics: metrics).http)
        let loop = group.next()
        refreshing = loop.scheduleRepeatedAsyncTask(initialDelay: Self.interval, delay: Self.interval) { _ in
            loop.makeFutureWithTask { try await Blocking.run { sidecar.refresh() } }
        }
        try server.startWaiting(
            on: .open(descriptor: try SidecarListener.open(sidecar.configuration.address, mark: sidecar.apiMark)))
    }

    /// Stops serving and answering names. The rules stay.
    package func shutdown() async {
        refreshing.cancel()
        sidecar.endEvents()
        await server.shutdown(grace: .seconds(1))
        await sidecar.stop()
        try? await group.shutdownGracefully()
    }
}
