import Ingress
import Logging
import NIOCore
import NIOPosix
import SecureAccess
import TestSupport
import Testing

@Suite struct AccessTests {
    private let credential = EndpointCredential.generate()
    private let future: UInt64 = 4_000_000_000
    private let epoch = AccessEpoch(birth: 7)

    /// Asks a gateway with one sandbox that needs a credential and one that does not.
    private func ask(
        _ request: String, mode: RouteMode = .header(), keys: KeyRing? = testKeys
    ) async throws -> (answer: String, backend: String) {
        let backend = try await ScriptedBackend.answering("in")
        let directory = TestDirectory()
        directory.set("safe", at: backend.address, credentialHash: credential.hash, epoch: epoch)
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

    private func token2(
        _ form: RouteToken.Form = .long, _ sandbox: String = "safe", _ port: Int = 80, expires: UInt64? = nil,
        epoch: AccessEpoch? = nil
    ) -> RouteToken {
        .mint(
            sandbox: sandbox, port: port, expires: expires ?? future, epoch: epoch ?? self.epoch, form: form,
            keys: testKeys)
    }

    /// One request for each place in which a token may stand.
    private func everywhere(_ token: (RouteToken.Form) -> RouteToken) -> [(RouteMode, String)] {
        [
            (RouteMode.header(), to(token(.long).text)), (.uri, get(token(.long).pathPrefix + "/")),
            (
                .wildcard(domain: "d"),
                "GET / HTTP/1.1\r\nHost: \(token(.label).text).d\r\nConnection: close\r\n\r\n"
            ),
        ]
    }

    @Test func `a token of version 2 opens in every form and stays here`() async throws {
        for (mode, request) in everywhere({ token2($0) }) {
            let (answer, seen) = try await ask(request, mode: mode)
            #expect(answer.hasSuffix("in"), "\(mode) \(answer)")
            #expect(seen.hasPrefix("GET / HTTP/1.1\r\n"))
            if mode != .wildcard(domain: "d") { #expect(!seen.contains(token2().signature)) }
        }
    }

    @Test func `I2 another port, sandbox, expiry or epoch, an old key and an expired second are 401 in every form`()
        async throws
    {
        func moved(_ token: RouteToken, _ sandbox: String = "safe", _ port: Int = 80, _ expires: UInt64? = nil)
            -> RouteToken
        {
            try! RouteToken(
                sandbox: sandbox, port: "\(port)", expires: String(expires ?? token.expires, radix: 36),
                signature: token.signature)
        }
        let other = try KeyRing(active: "z", keys: ["z": [1, 2, 3]])
        let forged: [(RouteToken.Form) -> RouteToken] = [
            { moved(token2($0, "safe", 81)) }, { moved(token2($0, "save")) },
            { moved(token2($0), "safe", 80, future + 1) },
            { token2($0, epoch: AccessEpoch(birth: 7, revocations: 1)) }, { token2($0, epoch: AccessEpoch(birth: 8)) },
            { token2($0, expires: 1) },
            { .mint(sandbox: "safe", port: 80, expires: future, epoch: epoch, form: $0, keys: other) },
            { token2($0 == .label ? .long : .label) },
        ]
        for (number, token) in forged.enumerated() {
            for (mode, request) in everywhere(token) {
                let (answer, seen) = try await ask(request, mode: mode)
                #expect(answer.hasPrefix("HTTP/1.1 401 ") && seen.isEmpty, "\(number) \(mode) \(answer)")
            }
        }
    }

    @Test func `a signature with a character that none has is 401, too; a label that is no route is 400`() async throws
    {
        let genuine = token2().text
        for (label, status) in [
            (genuine.dropLast(3) + "!" + genuine.suffix(2), 401), (genuine + "0", 401), (genuine.dropLast(), 401),
            ("safe", 400), ("safe-0", 400), ("safe-80-", 400), ("-80", 400), ("safe-80-x", 400),
        ] {
            let (answer, seen) = try await ask(to(String(label)))
            #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && seen.isEmpty, "\(label) \(answer)")
        }
    }

    @Test func `I3 a wrong credential is not made good by a genuine token`() async throws {
        for token in [token("safe"), token2()] {
            let (answer, seen) = try await ask(to(token.text, "OpenSandbox-Secure-Access: wrong"))
            #expect(answer.hasPrefix("HTTP/1.1 401 ") && seen.isEmpty)
        }
        let both = to(token2().text, "OpenSandbox-Secure-Access: \(credential.plain)")
        #expect(try await ask(both).answer.hasSuffix("in"))
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

    @Test func `I8 whatever is false or unknown is refused with one answer and reaches nobody`() async throws {
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
            // Each has an id of its own.
            let lines = answer.split(separator: "\r\n").filter { !$0.hasPrefix("x-request-id: ") }
            answers.insert(lines.joined(separator: "\n"))
        }
        #expect(answers.count == 1)
        #expect(answers.first?.contains("MISSING_OR_INVALID_SECURE_ACCESS") == true)
    }

    @Test func `I1 past the budget a guess is 429, for a sandbox or none, and what is true enters`() async throws {
        let backend = try await ScriptedBackend.answering("in")
        let directory = TestDirectory()
        directory.set("safe", at: backend.address, credentialHash: credential.hash, epoch: epoch)
        var failures = FailureBudget.Limits()
        failures.clientBurst = 3
        failures.clientInterval = .seconds(3600)
        let known = token("safe"), fresh = token("safe", expires: future - 1), two = token2()
        let wrong = try KeyRing(active: "a", keys: ["a": [9]])
        let guess = token("safe", keys: wrong), nobody = token("nobody", keys: wrong)
        try await withGateway(directory, keys: testKeys, failures: failures) { address in
            func ask(_ request: String) async throws -> String { try await RawClient(address).exchange(request) }
            #expect(try await ask(to(known.text)).hasSuffix("in"))
            for _ in 0..<3 { #expect(try await ask(to(guess.text)).hasPrefix("HTTP/1.1 401 ")) }
            let answer = try await ask(to(guess.text))
            #expect(answer.hasPrefix("HTTP/1.1 429 ") && answer.contains("TOO_MANY_FAILED_ATTEMPTS"))
            #expect(answer.lowercased().contains("\r\nretry-after: "))
            #expect(try await ask(to(nobody.text)).split(separator: "\r\n").first == "HTTP/1.1 429 Too Many Requests")
            #expect(try await ask(to("safe-80", "OpenSandbox-Secure-Access: wrong")).hasPrefix("HTTP/1.1 429 "))
            // What cannot be guessed enters, and of version 1 what has been seen; any number of times.
            for _ in 0..<3 {
                #expect(try await ask(to(two.text)).hasSuffix("in"))
                #expect(try await ask(to("safe-80", "OpenSandbox-Secure-Access: \(credential.plain)")).hasSuffix("in"))
                #expect(try await ask(to(known.text)).hasSuffix("in"))
            }
            #expect(try await ask(to(fresh.text)).hasPrefix("HTTP/1.1 429 "))
            #expect(try await ask(to("safe-80")).hasPrefix("HTTP/1.1 401 "))
        }
        await backend.close()
    }

    @Test func `the server proxy has a budget of its own`() async throws {
        let backend = try await ScriptedBackend.answering("in")
        let directory = TestDirectory()
        directory.set("safe", at: backend.address, credentialHash: credential.hash)
        try await withServerProxy(directory) { address in
            func ask(_ text: String) async throws -> String {
                try await RawClient(address).exchange(
                    get("/v1/sandboxes/safe/proxy/80/", "OpenSandbox-Secure-Access: \(text)"))
            }
            var answers: [String] = []
            for _ in 0..<40 { answers.append(String(try await ask("wrong").prefix(12))) }
            #expect(answers.prefix(20).allSatisfy { $0 == "HTTP/1.1 401" })
            // On a machine that is busy, some attempts are allowed again meanwhile.
            #expect(answers.contains("HTTP/1.1 429"))
            #expect(try await ask(credential.plain).hasSuffix("in"))
        }
        await backend.close()
    }

    @Test func `I2 keys that are rotated in a running gateway`() async throws {
        let backend = try await ScriptedBackend.answering("in")
        let directory = TestDirectory()
        directory.set("safe", at: backend.address, credentialHash: credential.hash, epoch: epoch)
        let keys = LiveKeys(testKeys), old = token2()
        var configuration = GatewayConfiguration(mode: .header(), keys: keys)
        configuration.host = "127.0.0.1"
        configuration.port = 0
        let gateway = Gateway(
            configuration: configuration, directory: directory, group: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test"))
        let address = try await gateway.start()
        func ask(_ token: RouteToken) async throws -> String {
            String(try await RawClient(address).exchange(to(token.text)).prefix(12))
        }
        #expect(try await ask(old) == "HTTP/1.1 200")
        let ring = try testKeys.rotated()
        let new = RouteToken.mint(
            sandbox: "safe", port: 80, expires: future, epoch: epoch, form: .long, keys: ring)
        #expect(try await ask(new) == "HTTP/1.1 401")
        keys.replace(with: ring)
        for token in [new, old] { #expect(try await ask(token) == "HTTP/1.1 200") }
        keys.replace(with: try ring.removing("a"))
        #expect(try await ask(new) == "HTTP/1.1 200")
        #expect(try await ask(old) == "HTTP/1.1 401")
        await gateway.shutdown(grace: .zero)
        await backend.close()
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
        let long = String(repeating: "a", count: 27)
        let plain = try await ask(get("/open/80/abc/\(long)/x?y"), mode: .uri)
        #expect(plain.answer.hasSuffix("in") && plain.backend.hasPrefix("GET /abc/\(long)/x?y HTTP/1.1\r\n"))
        #expect(try await ask(get("/safe/80/abc/\(long)/x?y"), mode: .uri).answer.hasPrefix("HTTP/1.1 401"))
    }
}
