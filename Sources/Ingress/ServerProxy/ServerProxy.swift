import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import Tracing

/// Serves `[/v1]/sandboxes/{id}/proxy/{port}/…`: a route of the lifecycle API.
package final class ServerProxy: Sendable {
    /// Of the lifecycle API, below each of its prefixes.
    package static let route = "/sandboxes/{id}/proxy/{port}/*"

    /// The words of the server's runtime for what is refused here.
    package struct Codes: Hashable, Sendable {
        var sandboxNotFound: String
        var invalidPort: String

        package init(sandboxNotFound: String, invalidPort: String) {
            (self.sandboxNotFound, self.invalidPort) = (sandboxNotFound, invalidPort)
        }
    }

    private let loops: LoopStates
    private let logger: Logger

    /// - Parameter answersTo: whether a `Host` field names this server.
    package init(
        directory: any EndpointDirectory, group: any EventLoopGroup, codes: Codes, limits: ProxyLimits = ProxyLimits(),
        dialer: (any InsideDialer)? = nil, answersTo: @escaping @Sendable (String) -> Bool = { _ in true },
        tracer: Tracer? = nil, accessLog: AccessLog? = nil, logger: Logger
    ) {
        let rules = AccessRules(keys: nil, budget: FailureBudget(logger: logger)) { 0 }
        loops = LoopStates(
            limits: limits, dialer: dialer, tracer: tracer,
            accessLog: accessLog ?? AccessLog(.off, logger: logger)
        ) {
            ServerProxyPolicy(
                directory: directory, limits: limits, access: AccessCheck(rules), codes: codes,
                answersTo: answersTo)
        }
        self.logger = logger
        directory.whenAccessEnds { [weak loops] in loops?.cut($0) }
    }

    /// Closes the unused connections to sandboxes.
    package func shutdown() async { await loops.closeAll() }
}

extension ServerProxy: HTTPRelay {
    package func makeHandler(on connection: ServerConnection, eventLoop: any EventLoop) -> any RelayHandler {
        let state = loops.state(of: eventLoop)
        return ClientConnection(state, carrier: RoutedCarrier(connection), logger: logger)
    }
}

extension ClientConnection: RelayHandler {}
