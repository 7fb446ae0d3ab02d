import Foundation
import HTTPServer
import Ingress
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

/// A route table whose clock the test moves, and what it asks for.
private final class Asked: Sendable {
    let calls = Mutex<[String]>([])
    let now = Mutex(ContinuousClock.now)

    func table(every seconds: Int) -> RouteTable {
        RouteTable(
            policySocket: "/p", credentialKey: [1],
            renewals: .init(interval: .seconds(seconds)) { [self] id, seconds in
                calls.withLock { $0.append("\(id) \(seconds)") }
            } now: { [self] in
                now.withLock { $0 }
            })
    }
    func pass(_ seconds: Int) { now.withLock { $0 += .seconds(seconds) } }
}

extension Sandbox {
    fileprivate static func renewable(_ id: String, _ text: String? = "300", ends: Bool = true) -> Sandbox {
        var sandbox = Sandbox.sample(id)
        sandbox.extensions[renewExtension] = text
        sandbox.expiresAt = ends ? .now().adding(seconds: 60) : nil
        return sandbox
    }
}

@Suite struct RenewalTests {
    @Test func `an access asks once in an interval, for each sandbox that wants it`() {
        let asked = Asked(), table = asked.table(every: 60)
        table.set("a", .renewable("a"))
        table.set("b", .renewable("b", "86400"))
        table.set("plain", .renewable("plain", nil))
        table.set("endless", .renewable("endless", ends: false))
        table.set("odd", .renewable("odd", "299"))
        for _ in 0..<3 {
            for id in ["a", "b", "plain", "endless", "odd", "none"] { table.accessed(sandbox: id, renew: true) }
        }
        #expect(asked.calls.withLock { $0 } == ["a 300", "b 86400"])
        asked.pass(59)
        // A change of the sandbox does not begin a new interval.
        table.set("a", .renewable("a"))
        table.accessed(sandbox: "a", renew: true)
        #expect(asked.calls.withLock { $0.count } == 2)
        asked.pass(1)
        table.accessed(sandbox: "a", renew: false)
        #expect(asked.calls.withLock { $0.count } == 2)
        table.accessed(sandbox: "a", renew: true)
        #expect(asked.calls.withLock { $0.count } == 3)
        table.renewalFailed("a")
        table.accessed(sandbox: "a", renew: true)
        #expect(asked.calls.withLock { $0.count } == 4)
    }

    @Test func `it never shortens, is stored, and concerns no sandbox that has ended`() async throws {
        let house = try House(), id = try await house.create()
        let end = try house.service.sandbox(id).expiresAt!
        try await house.service.prolong(id, toAtLeast: end.adding(seconds: -100))
        #expect(try house.service.sandbox(id).expiresAt == end)
        let later = end.adding(seconds: 100)
        try await house.service.prolong(id, toAtLeast: later)
        #expect(house.store.rows.withLock { $0[id]?.expiresAt } == later)
        #expect(await house.send(.POST, "/v1/sandboxes/\(id)/pause").status == 202)
        try await house.service.prolong(id, toAtLeast: later.adding(seconds: 100))
        #expect(try house.service.sandbox(id).expiresAt == later)
        await #expect(throws: APIError.self) { try await house.service.prolong("none", toAtLeast: later) }
    }

    @Test func `a look at the policy by the API key prolongs as well, and skip or a refusal does not`() async throws {
        var keys = APIKeys.none
        let asked = Asked(), reader = try keys.create("reader", .read)
        let house = try House(
            keys: keys, renewals: .init(interval: .zero) { id, _ in asked.calls.withLock { $0.append(id) } })
        let id = try await house.create(#","extensions":{"access.renew.extend.seconds":"7200"}"#)
        let target = "/v1/sandboxes/\(id)/networkpolicy"
        _ = await house.send(.GET, target, headers: ["OpenSandbox-Access-Renew": "skip"])
        _ = await house.send(.GET, target, key: "wrong")
        #expect(await house.send(.PATCH, target, "[]").status == 400)
        #expect(await house.send(.GET, target, key: reader).status == 200, "who may only look prolongs nothing")
        #expect(asked.calls.withLock { $0.isEmpty })
        #expect(await house.send(.GET, target).status == 200)
        #expect(asked.calls.withLock { $0 } == [id])
    }

    @Test(arguments: [true, false])
    func `a request through gateway and server proxy prolongs, and skip does not`(_ isProxy: Bool) async throws {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let house = try House(), group = MultiThreadedEventLoopGroup.singleton
        let renewals = AccessRenewals()
        let routes = RouteTable(
            policySocket: "/p", credentialKey: [1],
            renewals: .init(interval: .seconds(3600)) { renewals.ask($0, $1) })
        let id = try await house.create(#","extensions":{"access.renew.extend.seconds":"7200"}"#)
        var sandbox = try house.service.sandbox(id)
        sandbox.network?.address = "127.0.0.1"
        routes.set(id, sandbox)
        let running = Task { await renewals.run(house.service) { routes.renewalFailed($0) } }
        var configuration = GatewayConfiguration(mode: .uri)
        configuration.host = "127.0.0.1"
        configuration.port = 0
        let gateway = Gateway(configuration: configuration, directory: routes, group: group, logger: quiet)
        let proxy = ServerProxy(
            directory: routes, group: group,
            codes: ServerProxy.Codes(sandboxNotFound: "TEST::NOT_FOUND", invalidPort: "TEST::PORT"), logger: quiet)
        var http = HTTPAPI(.decoded, logger: quiet) { error, _ in .text(.notFound, "\(error)") }
        http.on("/v1" + ServerProxy.route, relay: proxy)
        let server = HTTPServer(group: group, logger: quiet, application: http)
        let doors = (try await gateway.start(), try await server.start(on: .tcp(host: "127.0.0.1", port: 0)))
        func ask(_ more: String) async throws {
            let path = isProxy ? "/v1/sandboxes/\(id)/proxy/1/x" : "/\(id)/1/x"
            _ = try await RawClient(isProxy ? doors.1 : doors.0).exchange(
                "GET \(path) HTTP/1.1\r\nHost: h\r\n\(more)Connection: close\r\n\r\n")
        }
        let end = sandbox.expiresAt!
        try await ask("OpenSandbox-Access-Renew: skip\r\n")
        let begin = ContinuousClock.now
        try await ask("")
        // The skipped one would have begun the interval of an hour: that this one prolongs shows that it did not.
        while try house.service.sandbox(id).expiresAt! < end.adding(seconds: 3600) {
            try #require(ContinuousClock.now - begin < .seconds(60))
            try await Task.sleep(for: .milliseconds(2))
        }
        running.cancel()
        await gateway.shutdown(grace: .zero)
        await server.shutdown(grace: .zero)
        await proxy.shutdown()
    }
}
