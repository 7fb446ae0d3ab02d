import Ingress
import NIOCore
import TestSupport
import Testing

private let webSocket = [
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]

/// Each way by which a client reaches a sandbox's port: what uses it by any of them is noted, so that the sandbox is renewed.
private enum Way: CaseIterable {
    case header, host, path, wildcard, proxy, versionedProxy

    var mode: RouteMode? {
        switch self {
        case .header, .host: .header()
        case .path: .uri
        case .wildcard: .wildcard(domain: "d.example")
        case .proxy, .versionedProxy: nil
        }
    }

    func request(_ fields: [String], of sandbox: String = "s") -> String {
        let path =
            switch self {
            case .path: "/\(sandbox)/80/"
            case .proxy: "/sandboxes/\(sandbox)/proxy/80/"
            case .versionedProxy: "/v1/sandboxes/\(sandbox)/proxy/80/"
            default: "/"
            }
        let host =
            switch self {
            case .host: "\(sandbox)-80.any.domain"
            case .wildcard: "\(sandbox)-80.d.example"
            default: "h"
            }
        let route = self == .header ? ["OpenSandbox-Ingress-To: \(sandbox)-80"] : []
        return (["GET \(path) HTTP/1.1", "Host: \(host)"] + route + fields + ["", ""]).joined(separator: "\r\n")
    }
}

@Suite struct RenewingAccessTests {
    /// What is noted of one request.
    private func accesses(
        _ way: Way, _ fields: [String], of sandbox: String = "s", until done: @escaping @Sendable (String) -> Bool
    ) async throws -> [TestDirectory.Access] {
        let backend = try await ScriptedBackend { received, _ in
            .init(
                bytes: received.lowercased().contains("upgrade: websocket")
                    ? webSocketAnswer : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        directory.set("asleep", to: .notReady("paused"))
        let request = way.request(fields, of: sandbox)
        @Sendable func ask(_ address: SocketAddress) async throws {
            let answer = try await RawClient(address).exchange(request, until: done)
            #expect(done(answer), "\(answer)")
        }
        if let mode = way.mode {
            try await withGateway(directory, mode: mode, ask)
        } else {
            try await withServerProxy(directory, ask)
        }
        await backend.close()
        return directory.accesses
    }

    @Test(arguments: Way.allCases) fileprivate func `a request renews, and one that asks not to does not`(
        way: Way
    ) async throws {
        for (fields, renews) in [([], true), (["OpenSandbox-Access-Renew: skip"], false)] {
            let noted = try await accesses(way, fields + ["Connection: close"]) { $0.hasSuffix("ok") }
            #expect(noted == [.init(sandbox: "s", renew: renews)])
        }
    }

    @Test(arguments: Way.allCases) fileprivate func `a WebSocket renews as it is opened`(way: Way) async throws {
        let noted = try await accesses(way, webSocket) { $0.hasPrefix("HTTP/1.1 101") && $0.hasSuffix("\r\n\r\n") }
        #expect(noted == [.init(sandbox: "s", renew: true)])
    }

    @Test(arguments: Way.allCases) fileprivate func `what is refused renews nothing`(way: Way) async throws {
        for sandbox in ["asleep", "nobody"] {
            let noted = try await accesses(way, ["Connection: close"], of: sandbox) {
                $0.hasPrefix("HTTP/1.1 503") || $0.hasPrefix("HTTP/1.1 404")
            }
            #expect(noted == [])
        }
    }
}
