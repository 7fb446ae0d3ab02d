import HTTPWire
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport
import Testing
import Tracing

@testable import HTTPServer

/// The id of a request: in its answer, in what is done for it, and in what is told of it.
@Suite struct NamedRequestTests {
    @Test func `whatever is done for a request knows its id, on other threads and in tasks that outlive it, too`()
        async throws
    {
        let seen = Mutex<[String?]>([]), answered = Mutex<[AnsweredRequest]>([])
        var api = HTTPAPI(.decoded, logger: Logger(label: "test")) { _, _ in .empty(.notFound) }
        api.sendsRequestIDs = true
        api.measured = { request in answered.withLock { $0.append(request) } }
        api.on(.POST, "/sandboxes/{id}") { request in
            let body = try await request.wholeBody()
            let later = await Task { CurrentRequest.id }.value
            seen.withLock { $0 += [CurrentRequest.id, later] }
            return .text(.ok, "\(body.count) bytes")
        }
        let server = HTTPServer(
            group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test"), application: api)
        let address = try await server.start(on: .tcp(host: "127.0.0.1", port: 0))
        func ask(_ path: String, _ field: String) async throws -> String {
            try await RawClient(address).exchange(
                "POST \(path) HTTP/1.1\r\nHost: h\r\n\(field)Content-Length: 3\r\nConnection: close\r\n\r\nabc")
        }
        let named = try await ask("/sandboxes/s", "X-Request-ID: mine\r\n")
        let unnamed = try await ask("/sandboxes/s", "X-Request-ID: not a word\r\n")
        _ = try await ask("/none", "")
        _ = try await RawClient(address).exchange("G(T / HTTP/1.1\r\n\r\n")
        await server.shutdown(grace: .zero)
        let ids = seen.withLock { $0 }
        #expect(named.contains("x-request-id: mine") && ids[0] == "mine" && ids[1] == "mine")
        let made = try #require(ids[2])
        #expect(made.utf8.count == 32 && ids[3] == made && unnamed.contains("x-request-id: \(made)"))
        let told = answered.withLock { $0 }
        try #require(told.count == 4)
        #expect(told[0].id == "mine" && told[0].route == "/sandboxes/{id}" && told[0].request.parameters["id"] == "s")
        #expect(told[0].bytesIn == 3 && told[0].bytesOut == 7 && told[0].status == 200 && !told[0].isBroken)
        #expect(told[2].route == nil && told[2].status == 404)
        #expect(told[3].method == nil && told[3].status == 404, "what the API makes of every error")
    }

    /// Gets nothing.
    private final class ClosedRelay: HTTPRelay {
        func makeHandler(on connection: ServerConnection, eventLoop: any EventLoop) -> any RelayHandler {
            preconditionFailure("it was refused")
        }
    }

    @Test func `what is refused in a relay's place is told, by the id of its answer`() async throws {
        let answered = Mutex<[AnsweredRequest]>([])
        var api = HTTPAPI(.decoded, logger: Logger(label: "test")) { _, _ in .empty(.forbidden) }
        api.sendsRequestIDs = true
        api.measured = { request in answered.withLock { $0.append(request) } }
        api.admitRelay = { _ in throw RoutingError.unknownRoute }
        api.on("/boxes/{id}/proxy/*", relay: ClosedRelay())
        let server = HTTPServer(
            group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test"), application: api)
        let address = try await server.start(on: .tcp(host: "127.0.0.1", port: 0))
        let answer = try await RawClient(address).exchange(
            "GET /boxes/a/proxy/80 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        await server.shutdown(grace: .zero)
        let told = answered.withLock { $0 }
        try #require(told.count == 1)
        #expect(told[0].route == "/boxes/{id}/proxy/*" && told[0].status == 403)
        #expect(told[0].request.parameters["id"] == "a" && answer.contains("x-request-id: \(told[0].id)"))
    }
}
