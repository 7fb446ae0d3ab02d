import Ingress
import NIOCore
import SecureAccess
import TestSupport
import Testing

/// A revocation or a deletion closes what is open, whatever it is.
@Suite struct EndedAccessTests {
    private static let old = AccessEpoch(birth: 1), new = AccessEpoch(birth: 1, revocations: 1)

    private func socket(_ path: String) -> String {
        "GET \(path) HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: s-80\r\nConnection: Upgrade\r\n"
            + "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    }

    /// Opens, ends an access when `opened` has come, and waits until the client's connection has ended.
    private func run(
        _ directory: TestDirectory, _ address: SocketAddress, _ request: String, opened: String, ending: EndedAccess
    ) async throws -> String {
        try await RawClient(address).exchange(request) { received in
            if received.hasSuffix(opened) { directory.end(ending) }
            return false
        }
    }

    @Test(arguments: [EndedAccess(incarnation: "1"), EndedAccess(incarnation: "1", epoch: Self.new)])
    func `a tunnel is cut, through the gateway and the server proxy`(_ ending: EndedAccess) async throws {
        let backend = try await webSocketBackend()
        let directory = TestDirectory()
        directory.set("s", at: backend.address, epoch: Self.old)
        try await withGateway(directory) { address in
            let text = try await run(directory, address, socket("/ws"), opened: "welcome", ending: ending)
            #expect(text.hasSuffix("welcome"))
            #expect(try await eventually { backend.ended == 1 })
        }
        try await withServerProxy(directory) { address in
            let text = try await run(
                directory, address, socket("/sandboxes/s/proxy/80/ws"), opened: "welcome", ending: ending)
            #expect(text.hasSuffix("welcome"))
            #expect(try await eventually { backend.ended == 2 })
        }
        await backend.close()
    }

    @Test func `a stream in the middle of its answer is cut, and never looks complete`() async throws {
        let backend = try await ScriptedBackend { received, _ in
            received.hasSuffix("\r\n\r\n")
                ? .init(bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n") : nil
        }
        let directory = TestDirectory()
        directory.set("s", at: backend.address, epoch: Self.old)
        try await withGateway(directory) { address in
            let text = try await run(
                directory, address, get("/", "OpenSandbox-Ingress-To: s-80"), opened: "part\r\n",
                ending: EndedAccess(incarnation: "1", epoch: Self.new))
            #expect(text.hasSuffix("part\r\n"))
        }
        await backend.close()
    }

    @Test func `a request that waits for its answer over a kept connection is not sent again`() async throws {
        // The second request on the connection gets no answer.
        let backend = try await ScriptedBackend { received, _ in
            received.contains("/second") ? nil : .init(bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin")
        }
        let directory = TestDirectory()
        directory.set("s", at: backend.address, epoch: Self.old)
        try await withGateway(directory) { address in
            func request(_ path: String) -> String {
                "GET \(path) HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: s-80\r\n\r\n"
            }
            // On one connection, so that both are served by one event loop.
            async let answers = DialogueClient(address).run([
                (request("/first"), "in"), (request("/second"), "BACKEND_RESPONSE_FAILED"),
            ])
            #expect(try await eventually { backend.received.contains("/second") })
            directory.end(EndedAccess(incarnation: "1"))
            let text = try await answers
            #expect(text.contains("HTTP/1.1 502 "))
            #expect(backend.received.split(separator: "GET /second").count == 2, "it was sent again")
        }
        await backend.close()
    }

    @Test func `what belongs to another sandbox or to the new epoch stays`() async throws {
        let backend = try await webSocketBackend()
        let directory = TestDirectory()
        directory.set("s", at: backend.address, epoch: Self.new)
        try await withGateway(directory) { address in
            let text = try await DialogueClient(address).run([(socket("/ws"), "welcome")]) { () async throws in
                directory.end(EndedAccess(incarnation: "2"))
                directory.end(EndedAccess(incarnation: "1", epoch: Self.new))
            } then: {
                [("still", "[still]")]
            }
            #expect(text.hasSuffix("[still]"))
        }
        await backend.close()
    }
}
