import Foundation
import Ingress
import JSON
import Logging
import NIOHTTP1
import Runtimes
import TestSupport
import Testing

@testable import ControlPlane

@Suite struct SettingsChangeTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func tree(_ toml: String) throws -> JSONValue { try JSONValue(toml: toml, path: "test") }

    /// What a server that runs takes over. Whoever adds one makes its reader ask anew, and writes it down here.
    @Test func `these settings change in a server that runs`() {
        let live = Settings.sections.flatMap { section in
            section.keys.filter(\.isLive).map { "\(section.path).\($0.name)" }
        }
        #expect(
            live.sorted() == [
                "egress.default_policy",
                "ingress.access_log", "ingress.limits.client_burst", "ingress.limits.client_connections",
                "ingress.limits.client_rate", "ingress.limits.max_body_bytes", "ingress.limits.route_burst",
                "ingress.limits.route_rate", "ingress.limits.sandbox_concurrency", "log.level", "server.access_log",
                "server.allowed_origins", "server.api_key", "server.concurrent_creates", "server.eip",
                "server.max_sandbox_timeout_seconds", "server.names", "server.queued_creates",
                "storage.allowed_host_paths", "storage.volume_default_size",
            ])
    }

    @Test func `a change takes what may change, names what may not, and leaves that as it is`() throws {
        let old = try tree("[server]\nport = 1\nnames = [\"a\"]\n[log]\nlevel = \"INFO\"")
        let new = try tree(
            "[server]\nport = 2\nnames = [\"a\", \"b\"]\napi_key = \"k\"\n[ingress]\nport = 3\n[ingress.limits]\nclient_rate = 5\n[storage]\nallowed_host_paths = [\"/a\"]"
        )
        let change = SettingsChange(from: old, to: new)
        #expect(
            change.taken.sorted() == [
                "ingress.limits.client_rate", "log.level", "server.api_key", "server.names",
                "storage.allowed_host_paths",
            ])
        #expect(change.left.sorted() == ["ingress.port", "server.port"])
        var settings = Settings()
        try settings.apply(change.tree, path: "test")
        #expect(settings.server.port == 1 && settings.server.names == ["a", "b"] && settings.server.apiKey == "k")
        #expect(
            settings.gateway.traffic.clientRate == 5 && settings.gateway.port != 3
                && settings.storage.allowedHostPaths.count == 1)
        // What could not be taken is named again, and what was is no change any more.
        let again = SettingsChange(from: change.tree, to: new)
        #expect(again.taken.isEmpty && again.left.sorted() == ["ingress.port", "server.port"])
        let back = SettingsChange(from: change.tree, to: old)
        let none = SettingsChange(from: back.tree, to: old)
        #expect(back.left.isEmpty && none.taken.isEmpty && none.left.isEmpty)
    }

    @Test(arguments: [
        "[server]\nnames = [\"b\"]\nport = 99999", "[server]\nnames = [\"b\"]\nnmaes = []", "[server\n",
        "[log]\nlevel = \"LOUD\"",
        "[server]\nnames = [\"b\"]\napi_key = \"\"",
    ]) func `a file that cannot be used changes nothing`(_ broken: String) throws {
        let folder = TemporaryFolder("reload"), path = folder.path + "/c.toml"
        func write(_ text: String) throws { try text.write(toFile: path, atomically: true, encoding: .utf8) }
        try write("[server]\nnames = [\"a\"]")
        let running = try RunningConfiguration(path: path, environment: [:], adjust: { $0.server.port = 7 }) {
            (settings) throws(ConfigurationError) in try settings.requireKey(isInteractive: false, environment: [:])
        }
        let before = running.tree
        try write(broken)
        #expect(running.reload(Self.quiet) == nil && running.tree == before)
        try FileManager.default.removeItem(atPath: path)
        #expect(running.reload(Self.quiet) == nil && running.tree == before)
        try write("[server]\nnames = [\"b\"]\nport = 9")
        let settings = try #require(running.reload(Self.quiet))
        #expect(settings.server.names == ["b"] && settings.server.port == 7)
        let since = running.tree
        #expect(running.reload(Self.quiet)?.server.names == ["b"], "a file that a key names may be another now")
        #expect(running.tree == since)
    }

    @Test func `a request after a change meets the key, the names and the limits of the change`() async throws {
        let house = try House()
        var server = Settings.Server()
        (server.names, server.maxSandboxTimeout) = (["h", "new"], 600)
        house.rules.replace(with: APIRules(server, apiKey: "another"))
        #expect(await house.send(.GET, "/v1/sandboxes").status == 401)
        #expect(await house.send(.GET, "/v1/sandboxes", key: "another").status == 200)
        for (host, status) in [("new", 200), ("api", 421)] {
            #expect(await house.send(.GET, "/v1/sandboxes", headers: ["host": host], key: "another").status == status)
        }
        let long = await house.send(.POST, "/v1/sandboxes", House.body().replacing("600", with: "3600"), key: "another")
        #expect(long.status == 400 || long.status == 422)
        #expect(long.text.contains("600 seconds"))
    }

    @Test func `creates that wait go on when there is more room, and those that run go on when there is less`() async {
        let queue = CreateQueue(CreateLimits(running: 1, waiting: 1))
        #expect(queue.enter("a", of: nil) && queue.enter("b", of: nil) && !queue.enter("c", of: nil))
        queue.change(CreateLimits(running: 2, waiting: 5))
        #expect(!queue.isWaiting("b") && queue.enter("c", of: nil) && queue.isWaiting("c"))
        queue.change(CreateLimits(running: 1, waiting: 0))
        #expect(queue.isWaiting("c") && !queue.enter("d", of: nil))
        for id in ["a", "b"] { queue.leave(id) }
        #expect(!queue.isWaiting("c"))
        queue.leave("c")
    }
}
