import Ingress
import NIOCore
import SecureAccess
import TestSupport
import Testing

@Suite struct AccessTests {
    private let credential = EndpointCredential.generate()
    private let future: UInt64 = 4_000_000_000

    /// Asks a gateway with one sandbox that needs a credential and one that does not.
    private func ask(
        _ request: String, mode: RouteMode = .header(), keys: KeyRing? = testKeys
    ) async throws -> (answer: String, backend: String) {
        let backend = try await ScriptedBackend.answering("in")
        let directory = TestDirectory()
        directory.set("safe", at: backend.address, credentialHash: credential.hash)
        directory.set("open", at: backend.address)
        directory.set("safe-asleep", to: .notReady("paused", credentialHash: credential.hash))
        let answer = try await withGateway(directory, mode: mode, keys: keys) {
            try await RawClient($0).exchange(request)
        }
        await backend.close()
        return (answer, backend.received)
    }

    private func to(_ label: String, _ fields: String...) -> String {
        get("/", (["OpenSandbox-Ingress-To: " + label] + fields).joined(separator: "\r\n"))
    }

    private func token(_ sandbox: String, _ port: Int = 80, expires: UInt64? = nil, keys: KeyRing = testKeys)
        -> RouteToken
    {
        RouteToken.mint(sandbox: sandbox, port: port, expires: expires ?? future, keys: keys)
    }

    @Test func `a credential opens and stays here`() async throws {
        let (answer, seen) = try await ask(to("safe-80", "OpenSandbox-Secure-Access: \(credential.plain)"))
        #expect(answer.hasSuffix("in"))
        #expect(!seen.contains(credential.plain) && seen.contains("GET / HTTP/1.1"))
    }

    @Test func `a signature opens in every form and stays here`() async throws {
        let token = token("safe")
        for (mode, request) in [
            (RouteMode.header(), to(token.text)), (.uri, get(token.pathPrefix)),
            (.wildcard(domain: "d"), "GET / HTTP/1.1\r\nHost: \(token.text).d\r\nConnection: close\r\n\r\n"),
        ] {
            let (answer, seen) = try await ask(request, mode: mode)
            #expect(answer.hasSuffix("in"), "\(mode)")
            #expect(seen.hasPrefix("GET / HTTP/1.1\r\n"))
            if mode != .wildcard(domain: "d") { #expect(!seen.contains(token.signature)) }
        }
    }

    @Test func `whatever is false is refused with one answer and reaches nobody`() async throws {
        let genuine = token("safe")
        let otherKeys = try KeyRing(active: "a", keys: ["a": [9]])
        let refused = [
            to("safe-80"), to("safe-80", "OpenSandbox-Secure-Access: wrong"),
            to("safe-80", "OpenSandbox-Secure-Access: "),
            to(genuine.text, "OpenSandbox-Secure-Access: wrong"),
            to(token("safe", expires: 1).text), to(token("safe", 81).text.replacing("-81-", with: "-80-")),
            to(token("safe", keys: otherKeys).text), to(token("save").text.replacing("save", with: "safe")),
            to(token("safe", expires: 1).text, "OpenSandbox-Secure-Access: \(credential.plain)"),
            to(token("open", expires: 1).text), to("nobody-80"), to(token("nobody", expires: 1).text),
            to("nobody-80", "OpenSandbox-Secure-Access: \(credential.plain)"), to("safe-asleep-80"),
        ]
        var answers: Set<String> = []
        for request in refused {
            let (answer, seen) = try await ask(request)
            #expect(answer.hasPrefix("HTTP/1.1 401 "), "\(request)\n\(answer)")
            #expect(seen.isEmpty)
            answers.insert(answer)
        }
        #expect(answers.count == 1)
        #expect(answers.first?.contains("MISSING_OR_INVALID_SECURE_ACCESS") == true)
    }

    @Test func `who may enter learns what is the matter`() async throws {
        #expect(try await ask(to(token("nobody").text)).answer.hasPrefix("HTTP/1.1 404"))
        #expect(try await ask(to(token("safe-asleep").text)).answer.hasPrefix("HTTP/1.1 503"))
        #expect(try await ask(to("nobody-80"), keys: nil).answer.hasPrefix("HTTP/1.1 404"))
        #expect(try await ask(to("open-80")).answer.hasSuffix("in"))
    }

    @Test func `without secure access a path that looks signed is the application's`() async throws {
        let (answer, seen) = try await ask(get("/open/80/abc/0123abcdz/x?y"), mode: .uri)
        #expect(answer.hasSuffix("in") && seen.hasPrefix("GET /abc/0123abcdz/x?y HTTP/1.1\r\n"))
        #expect(try await ask(get("/safe/80/abc/0123abcdz/x?y"), mode: .uri).answer.hasPrefix("HTTP/1.1 401"))
    }
}
