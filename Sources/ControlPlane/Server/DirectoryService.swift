import HTTPServer
import HTTPWire
import Ingress
import Logging
import NIOCore
import NIOHTTP1
import SecureAccess
import System

/// Streams the route table to gateways in other processes: a snapshot or the missed changes, then each change at once,
/// and a heartbeat every second. It has its own listeners and its own secret, because it reveals where every sandbox
/// is.
struct DirectoryService: Sendable {
    let routes: RouteTable
    let secret: String
    let logger: Logger

    private static let beat = Duration.seconds(1)

    private struct UnauthorizedError: Error {}

    /// Gateways only use the status, so only the stream has a body.
    var http: HTTPAPI {
        var http = HTTPAPI(
            .exact, logger: logger,
            admit: { request, _ in
                let presented = request.headers["authorization"]
                guard presented.count == 1, ConstantTime.areEqual(presented[0], "Bearer " + secret) else {
                    throw UnauthorizedError()
                }
                return nil
            },
            render: { error, _ in
                switch error {
                case is UnauthorizedError: .empty(.unauthorized)
                case RoutingError.unknownRoute: .empty(.notFound)
                case is RoutingError: .empty(.methodNotAllowed)
                case let error as HTTPMessageError: .empty(error.status)
                default: .empty(.internalServerError)
                }
            })
        http.on(.GET, RemoteDirectory.path) { request in
            let known = request.query(RemoteDirectory.positionParameter).flatMap { DirectoryPosition($0) }
            return .stream(
                .ok, headers: ["content-type": "application/x-ndjson", "cache-control": "no-store"]
            ) { try await tell(after: known, $0) }
        }
        return http
    }

    private func tell(after known: DirectoryPosition?, _ writer: HTTPResponseWriter) async throws {
        // Subscribe first, so that no change is missed between the state and the stream.
        let (words, ticks) = (routes.changes(), AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1)))
        writer.whenClientGone { ticks.continuation.finish() }
        var (messages, position) = routes.opening(after: known)
        try await write(messages, writer)
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                for await _ in words { ticks.continuation.yield() }
            }
            group.addTask {
                while !Task.isCancelled {
                    try await Task.sleep(for: Self.beat)
                    ticks.continuation.yield()
                }
            }
            for await _ in ticks.stream where !writer.isClosed {
                (messages, position) = routes.messages(after: position)
                try await write(messages.isEmpty ? [.beat(sequence: position.sequence)] : messages, writer)
            }
        }
    }

    private func write(_ messages: [DirectoryMessage], _ writer: HTTPResponseWriter) async throws {
        var bytes = ByteBuffer()
        for message in messages { bytes.writeBytes(message.line) }
        try await writer.write(bytes)
    }
}

/// The directory's listeners: a unix socket for root only, and an address if one is configured.
final class DirectoryServer: Sendable {
    private let server: HTTPServer

    /// - Throws: `ConfigurationError` if it cannot listen.
    init(
        _ settings: Settings, routes: RouteTable, secret: String, listeners: [String: CInt] = [:],
        group: any EventLoopGroup, logger: Logger
    ) async throws {
        let service = DirectoryService(routes: routes, secret: secret, logger: logger)
        server = HTTPServer(group: group, logger: logger, application: service.http)
        let server = server
        func listening(_ place: String, _ name: String, _ bind: HTTPBind) async throws {
            do { try await server.start(on: listeners[name].map { .open(descriptor: $0) } ?? bind) } catch let error
                as ListenError
            {
                throw ConfigurationError("the directory cannot listen on \(place): \(ListenError.reason(error.code))")
            }
        }
        try await listening(
            settings.directorySocket, ListenerName.directory, .unix(path: settings.directorySocket, mode: 0o600))
        if case .tcp(let host, let port)? = settings.gateway.directory?.place {
            try await listening("\(host):\(port)", ListenerName.directoryTCP, .tcp(host: host, port: port))
        }
    }

    /// Streams never end by themselves.
    func shutdown() async { await server.shutdown(grace: .zero) }
}
