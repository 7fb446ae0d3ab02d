import HTTPServer
import HTTPWire
import Ingress
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import SecureAccess
import Tracing

/// A directory that the test fills.
final class TestDirectory: EndpointDirectory {
    struct Access: Hashable, Sendable {
        var sandbox: String
        var renew: Bool
    }

    private let entries = NIOLockedValueBox<[String: EndpointLookup]>([:])
    private let observers = NIOLockedValueBox<[@Sendable (EndedAccess) -> Void]>([])
    private let seen = NIOLockedValueBox<[Access]>([])

    var accesses: [Access] { seen.withLockedValue { $0 } }

    func set(_ sandbox: String, _ port: Int = 80, to lookup: EndpointLookup) {
        entries.withLockedValue { $0["\(sandbox)-\(port)"] = lookup }
    }

    func set(
        _ sandbox: String, _ port: Int = 80, at address: SocketAddress, incarnation: String = "1",
        credentialHash: [UInt8]? = nil, epoch: AccessEpoch = .first, pathPrefix: String = "",
        headers: [Backend.Header] = []
    ) {
        let place: Backend.Address =
            address.pathname.map { .unix(path: $0) } ?? .tcp(host: address.ipAddress!, port: address.port!)
        set(
            sandbox, port,
            to: .found(
                Backend(
                    address: place, pathPrefix: pathPrefix, incarnation: incarnation, credentialHash: credentialHash,
                    epoch: epoch, headers: headers)))
    }

    func lookup(sandbox: String, port: Int) -> EndpointLookup {
        entries.withLockedValue { $0["\(sandbox)-\(port)"] ?? .unknown }
    }

    func whenAccessEnds(_ observer: @escaping @Sendable (EndedAccess) -> Void) {
        observers.withLockedValue { $0.append(observer) }
    }

    func end(_ access: EndedAccess) { for observer in observers.withLockedValue({ $0 }) { observer(access) } }

    func accessed(sandbox: String, renew: Bool) {
        seen.withLockedValue { $0.append(Access(sandbox: sandbox, renew: renew)) }
    }
}

extension ProxyLimits {
    /// What a busy machine does not reach.
    static var patient: ProxyLimits {
        var limits = ProxyLimits()
        limits.connectTimeout = .minutes(1)
        limits.lingerTimeout = .minutes(1)
        return limits
    }
}

func withGateway<Result: Sendable>(
    _ directory: TestDirectory, mode: RouteMode = .header(), keys: KeyRing? = nil, limits: ProxyLimits = .patient,
    failures: FailureBudget.Limits = FailureBudget.Limits(), tracer: Tracer? = nil,
    accessLog: AccessLogMode = .off, logger: Logger = Logger(label: "test"),
    _ body: @Sendable (SocketAddress) async throws -> Result
) async throws -> Result {
    var configuration = GatewayConfiguration(mode: mode, keys: keys.map { LiveKeys($0) })
    configuration.host = "127.0.0.1"
    configuration.port = 0
    configuration.limits = limits
    configuration.failures = failures
    configuration.tracer = tracer
    configuration.accessLog = accessLog
    let gateway = Gateway(
        configuration: configuration, directory: directory, group: MultiThreadedEventLoopGroup.singleton,
        logger: logger)
    let address = try await gateway.start()
    do {
        let result = try await body(address)
        await gateway.shutdown(grace: .zero)
        return result
    } catch {
        await gateway.shutdown(grace: .zero)
        throw error
    }
}

/// An HTTP server with the proxy as a route, and another route for all else that answers "behind".
func withServerProxy<Result: Sendable>(
    _ directory: TestDirectory, limits: ProxyLimits = .patient, idleTimeout: TimeAmount = .seconds(75),
    tracer: Tracer? = nil,
    _ body: @Sendable (SocketAddress) async throws -> Result
) async throws -> Result {
    let group = MultiThreadedEventLoopGroup.singleton
    let codes = ServerProxy.Codes(sandboxNotFound: "TEST::SANDBOX_NOT_FOUND", invalidPort: "TEST::INVALID_PORT")
    let proxy = ServerProxy(
        directory: directory, group: group, codes: codes, limits: limits, tracer: tracer,
        logger: Logger(label: "test"))
    var serverLimits = HTTPLimits()
    serverLimits.idleTimeout = idleTimeout
    var http = HTTPAPI(.decoded, logger: Logger(label: "test")) { error, _ in
        .text((error as? HTTPMessageError)?.status ?? .notFound, "\(error)")
    }
    for prefix in ["", "/v1"] { http.on(prefix + ServerProxy.route, relay: proxy) }
    http.on(nil, "/*") { request in
        let body = try await request.wholeBody()
        return .text(.ok, "behind \(request.method) \(request.target) \(String(decoding: body, as: UTF8.self))")
    }
    let server = HTTPServer(group: group, limits: serverLimits, logger: Logger(label: "test"), application: http)
    let address = try await server.start(on: .tcp(host: "127.0.0.1", port: 0))
    do {
        let result = try await body(address)
        await server.shutdown(grace: .seconds(60))
        await proxy.shutdown()
        return result
    } catch {
        await server.shutdown(grace: .zero)
        throw error
    }
}
