import Foundation
import Ingress
import JSON
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import SecureAccess
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A gateway in front of a house.
private func withGateway(
    _ routes: RouteTable, keys: LiveKeys, _ body: (SocketAddress) async throws -> Void
) async throws {
    var configuration = GatewayConfiguration(mode: .header(), keys: keys)
    configuration.host = "127.0.0.1"
    configuration.port = 0
    let gateway = Gateway(
        configuration: configuration, directory: routes, group: MultiThreadedEventLoopGroup.singleton, logger: quiet)
    let address = try await gateway.start()
    do { try await body(address) } catch {
        await gateway.shutdown(grace: .zero)
        throw error
    }
    await gateway.shutdown(grace: .zero)
}

/// The status that a request with these headers gets. Who may enter gets 502: nothing listens in the fake sandbox.
private func status(_ address: SocketAddress, _ headers: JSONValue?) async throws -> String {
    guard case .object(let fields)? = headers else { return "no headers" }
    let lines = fields.members.map { member in
        if case .string(let text) = member.value { "\(member.name): \(text)" } else { "" }
    }
    let request = (["GET / HTTP/1.1", "Host: h"] + lines + ["Connection: close", "", ""]).joined(separator: "\r\n")
    return String(try await RawClient(address).exchange(request).prefix(12).suffix(3))
}

extension House {
    fileprivate func headers(_ id: String, signed: Bool) async -> JSONValue? {
        let query = signed ? "?expires=\(Timestamp.now().seconds + 60)" : ""
        return await send(.GET, "/v1/sandboxes/\(id)/endpoints/1\(query)").json?["headers"]
    }
    fileprivate func revoke(_ id: String) async -> Int {
        await send(.POST, "/v1/sandboxes/\(id)/endpoints/1/revoke").status
    }
    /// As a sandbox on this machine, where nothing listens.
    fileprivate func here(_ id: String) async throws {
        var sandbox = try service.sandbox(id)
        sandbox.network?.address = "127.0.0.1"
        try await service.save(sandbox)
    }
}

@Suite struct RevocationTests {
    @Test func `what was handed out before a revocation is worthless, what comes after opens`() async throws {
        let house = try House(), id = try await house.create(#","secureAccess":true"#)
        try await house.here(id)
        try await withGateway(house.routes, keys: house.api.endpoints.keys) { address async throws in
            let signed = await house.headers(id, signed: true), fixed = await house.headers(id, signed: false)
            let one = RouteToken.mint(
                sandbox: id, port: 1, expires: 4_000_000_000, keys: house.api.endpoints.keys.current)
            let old = JSONValue.object(["OpenSandbox-Ingress-To": .string(one.text)])
            for headers in [signed, fixed, old] { #expect(try await status(address, headers) == "502") }
            #expect(await house.revoke(id) == 204)
            for headers in [signed, fixed, old] { #expect(try await status(address, headers) == "401") }
            for isSigned in [true, false] {
                #expect(try await status(address, await house.headers(id, signed: isSigned)) == "502")
            }
            #expect(await house.revoke(id) == 204)
            #expect(house.store.rows.withLock { $0[id]?.revocations } == 2)
        }
    }

    @Test func `a revocation is stored before it is acknowledged, and survives a restart`() async throws {
        let house = try House(), id = try await house.create(#","secureAccess":true"#)
        try await house.here(id)
        let before = await house.headers(id, signed: false)
        house.store.failing.withLock { $0 = true }
        #expect(await house.revoke(id) == 500)
        #expect(await house.headers(id, signed: false) == before)
        house.store.failing.withLock { $0 = false }
        #expect(await house.revoke(id) == 204)
        let after = await house.headers(id, signed: false)
        #expect(after != before)
        try await house.restarted().recover()
        try await withGateway(house.routes, keys: house.api.endpoints.keys) { address async throws in
            #expect(try await status(address, before) == "401")
            #expect(try await status(address, after) == "502")
        }
    }

    @Test func `a record of an earlier version has never been revoked`() throws {
        var encoded =
            try JSONSerialization.jsonObject(with: JSONEncoder().encode(Sandbox.sample("s"))) as! [String: Any]
        encoded["revocations"] = nil
        let read = try JSONDecoder().decode(Sandbox.self, from: JSONSerialization.data(withJSONObject: encoded))
        #expect(read.accessEpoch.revocations == 0)
    }

    @Test(arguments: [("1/revoke", 404), ("0/revoke", 400), ("x/revoke", 422), ("1/revok", 404)])
    func `what cannot be revoked is refused`(_ rest: String, _ expected: Int) async throws {
        #expect(try await House().send(.POST, "/v1/sandboxes/none/endpoints/\(rest)").status == expected)
    }

    @Test func `a host name that is too long is an error that says so`() async throws {
        let house = try House(), id = try await house.create()
        var endpoints = house.api.endpoints
        endpoints.routing = .wildcard
        let sandbox = try house.service.sandbox(id)
        let signed = try endpoints.signedEndpoint(of: sandbox, port: 44772, expires: 2_000_000_000, token: nil)
        #expect(signed.endpoint.prefix { $0 != "." }.utf8.count == 63)
        #expect(throws: RouteTokenError.labelTooLong(64)) {
            try endpoints.signedEndpoint(of: sandbox, port: 44772, expires: 4_000_000_000, token: nil)
        }
    }

    @Test func `version 1 is signed where it is asked for, until it would be worthless`() async throws {
        let house = try House(), id = try await house.create()
        var endpoints = house.api.endpoints
        endpoints.signs = .one
        func version() throws -> RouteToken.Version {
            let endpoint = try endpoints.signedEndpoint(
                of: house.service.sandbox(id), port: 80, expires: 2_000_000_000, token: nil)
            return try RouteToken(endpoint.headers!["OpenSandbox-Ingress-To"]!).version
        }
        #expect(try version() == .one)
        #expect(await house.revoke(id) == 204)
        #expect(try version() == .two)
    }
}

@Suite struct KeyFileTests {
    private func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = "/tmp/spt-keys-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder)
    }

    @Test func `a rotated file is whole, its owner's, and heard of by who follows it`() async throws {
        try await withFolder { folder async throws in
            let file = KeyFile(path: folder + "/route-keys"), first = try file.loadOrMake()
            let keys = LiveKeys(first)
            let following = Task { await file.follow(keys, quiet) }
            let second = try file.rotate()
            #expect(second.ids == ["b", "a"] && first.ids == ["a"])
            let rights = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
            #expect(rights == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["route-keys"])
            let clock = ContinuousClock(), begin = clock.now
            while keys.current != second {
                try #require(clock.now - begin < .seconds(60))
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(try file.remove("a").ids == ["b"])
            #expect(throws: ConfigurationError.self) { try file.remove("b") }
            following.cancel()
        }
    }

    @Test func `a file that cannot be read changes nothing`() async throws {
        try await withFolder { folder async throws in
            let file = KeyFile(path: folder + "/route-keys"), ring = try file.loadOrMake(), keys = LiveKeys(ring)
            try Data("nonsense".utf8).write(to: URL(filePath: file.path))
            file.refresh(keys, quiet)
            try FileManager.default.removeItem(atPath: file.path)
            file.refresh(keys, quiet)
            #expect(keys.current == ring)
        }
    }

    @Test func `keys that are rotated at once are all there`() async throws {
        try await withFolder { folder async throws in
            let file = KeyFile(path: folder + "/route-keys")
            _ = try file.loadOrMake()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 { group.addTask { _ = try file.rotate() } }
                try await group.waitForAll()
            }
            #expect(try file.load().ids.count == 9)
        }
    }
}
