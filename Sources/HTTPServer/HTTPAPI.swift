import HTTPWire
import Logging
import NIOHTTP1
import System
import Tracing

/// What every API refuses alike; each says it in its contract's shape.
package enum RoutingError: Error, Equatable {
    case unknownRoute
    /// The path is known, for these methods.
    case wrongMethod(allowed: [String])
}

/// One HTTP API: its routes, and in one place what holds for all of them: who may ask, how much, and how errors are said.
package struct HTTPAPI: Sendable {
    package typealias Handler = @Sendable (HTTPRequest) async throws -> Reply

    /// What a route asks of its callers.
    package enum Access: Sendable {
        /// What the API asks for.
        case guarded
        /// Nothing.
        case open
    }

    fileprivate enum Endpoint: Sendable {
        case handler(Access, maxBody: Int?, threads: (any TaskExecutor)?, pattern: String, Handler)
        case relay(pattern: String, any HTTPRelay)
    }

    /// Bytes of a body that `HTTPRequest.wholeBody` reads, where the route has no limit of its own.
    package var maxBody = 4 << 20
    /// Whether answers carry the request's `X-Request-ID`, or a new one.
    package var sendsRequestIDs = false
    /// Returns when what an answer says is true everywhere it matters; the answer waits for it.
    package var settled: @Sendable () async -> Void = {}
    /// Told of each request that no relay has, or that is refused in a relay's place, when its answer has been sent.
    package var measured: (@Sendable (AnsweredRequest) -> Void)?
    /// Begins a span for each request that no relay has; nil: nothing is traced.
    package var tracer: Tracer?
    /// Completes every answer.
    package var finish: @Sendable (inout Reply, HTTPRequest) -> Void = { _, _ in }
    private var routes: Router<Endpoint>
    private let admit: @Sendable (HTTPRequest, Access) async throws -> Reply?
    private let render: @Sendable (any Error, HTTPRequest) -> Reply
    private let logger: Logger

    /// - Parameters:
    ///   - admit: looks at a request before its route does, and before an unknown route or method is told, which are
    ///     `guarded`. It throws what `render` is to say, or has the answer itself.
    ///   - render: says an error: a `RoutingError`, an `HTTPMessageError`, an `HTTPBodyError`, a `WebSocketHandshakeError`, or
    ///     what `admit` and handlers throw. `Allow` is added to what it says of a wrong method, and the headers of a failed
    ///     handshake.
    package init(
        _ reading: PathReading, logger: Logger,
        admit: @escaping @Sendable (HTTPRequest, Access) async throws -> Reply? = { _, _ in nil },
        render: @escaping @Sendable (any Error, HTTPRequest) -> Reply
    ) {
        routes = Router(reading)
        self.logger = logger
        self.admit = admit
        self.render = render
    }

    /// Asked before a request is left to a relay; nil: the relay alone decides. Called on the connection's event loop.
    package var admitRelay: (@Sendable (HTTPRequest) throws -> Void)?

    /// What is to be waited for before `admit` of a guarded route or `admitRelay` are asked, such as another server's answer; nil:
    /// nothing. Called on the connection's event loop for requests of relays.
    package var question: (@Sendable (HTTPRequest) -> Task<Void, Never>?)?
    /// Whether that is worth asking for a guarded route: not where `admit` refuses whoever it is.
    package var isWorthAsking: @Sendable (HTTPRequest) -> Bool = { _ in true }

    /// - Parameters:
    ///   - method: nil: any.
    ///   - pattern: as `Router` reads it.
    ///   - threads: where an answer is made that blocks. It is sent on the event loop then, which its stream must not hold up.
    package mutating func on(
        _ method: HTTPMethod?, _ pattern: String, access: Access = .guarded, maxBody: Int? = nil,
        threads: (any TaskExecutor)? = nil, _ handler: @escaping Handler
    ) {
        routes.add(method, pattern, .handler(access, maxBody: maxBody, threads: threads, pattern: pattern, handler))
    }

    /// All routes as they were added; the method is nil for any.
    package var patterns: [(method: HTTPMethod?, pattern: String)] { routes.patterns }

    /// Leaves requests to a relay, whatever their method; it decides who may ask.
    package mutating func on(_ pattern: String, relay: any HTTPRelay) {
        routes.add(nil, pattern, .relay(pattern: pattern, relay))
    }

    /// The answer to a request that no relay has.
    package func reply(to request: HTTPRequest) async -> Reply {
        await reply(to: request, routes.match(request.method, request.path))
    }

    private func reply(to request: HTTPRequest, _ match: Router<Endpoint>.Match) async -> Reply {
        var request = request
        request.maxBody = maxBody
        var reply: Reply
        do {
            switch match {
            case .found(.handler(let access, let maxBody, _, _, let handler), let parameters):
                request.parameters = parameters
                request.maxBody = maxBody ?? self.maxBody
                if access == .guarded, isWorthAsking(request) { await question?(request)?.value }
                if let answer = try await admit(request, access) {
                    reply = answer
                } else {
                    reply = try await handler(request)
                }
            case .found(.relay, _): throw RoutingError.unknownRoute
            case .wrongMethod(let allowed, let parameters):
                request.parameters = parameters
                reply = try await refusal(of: request, .wrongMethod(allowed: allowed))
            case .unknown: reply = try await refusal(of: request, .unknownRoute)
            }
        } catch {
            reply = render(error, request)
            switch error {
            case RoutingError.wrongMethod(let allowed):
                reply.headers.replaceOrAdd(name: "allow", value: allowed.joined(separator: ", "))
            case let error as WebSocketHandshakeError: reply.headers.add(contentsOf: error.headers)
            default: break
            }
        }
        await settled()
        return completed(reply, request)
    }

    /// Who may not ask does not learn which routes there are.
    private func refusal(of request: HTTPRequest, _ error: RoutingError) async throws -> Reply {
        if let answer = try await admit(request, .guarded) { return answer }
        throw error
    }

    private func completed(_ reply: Reply, _ request: HTTPRequest) -> Reply {
        var reply = reply
        if sendsRequestIDs {
            reply.headers.replaceOrAdd(
                name: RequestID.header, value: CurrentRequest.id ?? RequestID.of(request.headers))
        }
        finish(&reply, request)
        return reply
    }
}

extension Router.Match where Endpoint == HTTPAPI.Endpoint {
    /// The pattern of the route that was found.
    fileprivate var route: String? {
        switch self {
        case .found(.handler(_, _, _, let pattern, _), _), .found(.relay(let pattern, _), _): pattern
        default: nil
        }
    }

    /// Where its answer is made; nil: anywhere.
    fileprivate var threads: (any TaskExecutor)? {
        if case .found(.handler(_, _, let threads, _, _), _) = self { threads } else { nil }
    }
}

extension HTTPAPI: HTTPApplication {
    package func responder(to head: HTTPRequestHead) -> HTTPResponder {
        let match = routes.match(head.method, String(head.uri.prefix { $0 != "?" }))
        if case .found(.relay(_, let relay), let parameters) = match {
            guard let wait = question?(HTTPRequest(method: head.method, target: head.uri, headers: head.headers)) else {
                return responder(to: head, relay, match, parameters)
            }
            return .later {
                await wait.value
                return responder(to: head, relay, match, parameters)
            }
        }
        let id = RequestID.of(head.headers)
        let span = tracer?.begin(head, route: match.route)
        let handler: HTTPHandler = { request, writer in
            await CurrentRequest.$id.withValue(id) {
                guard let span else { return await answer(request, match, writer, id, nil) }
                await ActiveSpan.$current.withValue(span) { await answer(request, match, writer, id, span) }
                span.end()
            }
        }
        return match.threads == nil ? .handler(handler) : .loopHandler(handler)
    }

    private func responder(
        to head: HTTPRequestHead, _ relay: any HTTPRelay, _ match: Router<Endpoint>.Match, _ parameters: PathParameters
    ) -> HTTPResponder {
        let id = RequestID.of(head.headers)
        guard let reply = CurrentRequest.$id.withValue(id, operation: { relayRefusal(head, parameters) }) else {
            return .relay(relay)
        }
        // No relay tells of it, since none has it.
        return .handler { request, writer in
            await CurrentRequest.$id.withValue(id) { await send(reply, to: request, match, writer, id, nil) }
        }
    }

    /// What is answered in a relay's place; nil if it may have the request, and for a request of no relay.
    package func relayRefusal(_ head: HTTPRequestHead) -> Reply? {
        guard case .found(.relay, let parameters) = routes.match(head.method, String(head.uri.prefix { $0 != "?" }))
        else { return nil }
        return relayRefusal(head, parameters)
    }

    private func relayRefusal(_ head: HTTPRequestHead, _ parameters: PathParameters) -> Reply? {
        guard let admitRelay else { return nil }
        var request = HTTPRequest(method: head.method, target: head.uri, headers: head.headers)
        request.parameters = parameters
        do { try admitRelay(request) } catch { return completed(render(error, request), request) }
        return nil
    }

    private func answer(
        _ request: HTTPRequest, _ match: Router<Endpoint>.Match, _ writer: HTTPResponseWriter, _ id: String,
        _ span: ActiveSpan?
    ) async {
        let begun = measured == nil ? 0 : SystemClock.monotonicNanoseconds()
        let reply = await withTaskExecutorPreference(match.threads) { await self.reply(to: request, match) }
        span?.answered(Int(reply.status.code))
        await send(reply, to: request, match, writer, id, span, begun: begun)
    }

    /// Sends an answer, and tells of it.
    private func send(
        _ reply: Reply, to request: HTTPRequest, _ match: Router<Endpoint>.Match, _ writer: HTTPResponseWriter,
        _ id: String, _ span: ActiveSpan?, begun: UInt64 = SystemClock.monotonicNanoseconds()
    ) async {
        var isBroken = false, isClientGone = false
        do { try await writer.send(reply) } catch HTTPBodyError.clientGone { isClientGone = true } catch {
            isBroken = true
            span?.fail("broken off")
            logger.error(
                "a response was cut off by an error", metadata: ["path": "\(request.path)", "error": "\(error)"])
        }
        guard let measured else { return }
        var named = request
        if case .found(_, let parameters) = match { named.parameters = parameters }
        var answered = AnsweredRequest(
            method: request.method, route: match.route, request: named, reply: reply, id: id)
        answered.nanoseconds = SystemClock.monotonicNanoseconds() &- begun
        (answered.bytesIn, answered.bytesOut) = (writer.bodyReceived, writer.bodySent)
        (answered.isBroken, answered.isClientGone) = (isBroken, isClientGone)
        measured(answered)
    }

    package func refusal(_ error: HTTPMessageError) -> Reply {
        var headers: HTTPHeaders = [:]
        let id = RequestID.put(into: &headers)
        let request = HTTPRequest(method: .GET, target: "", headers: headers)
        let reply = completed(render(error, request), request)
        measured?(AnsweredRequest(method: nil, request: request, reply: reply, id: id))
        return reply
    }
}
