import Testing

@testable import SecureAccess

@Suite struct RouteScopeTests {
    private let keys = try! KeyRing(active: "a", keys: ["a": [1, 2, 3], "b": [4, 5, 6]])
    private let epoch = AccessEpoch(birth: 9)

    private func token(_ scope: RouteScope, port: Int = 80) -> RouteToken {
        .mint(sandbox: "s-1", port: port, expires: 2_000_000_000, epoch: epoch, scope: scope, keys: keys)
    }
    private func read(_ text: String) -> RouteScope? { Array(text.utf8).withUnsafeBufferPointer { RouteScope($0) } }

    @Test func `a scope is read as it was written, in a header and in a path`() throws {
        for scope in [
            try RouteScope(once: true), try RouteScope(methods: .init("GET,POST")), try RouteScope(path: "/a/b"),
            try RouteScope(label: "ci.run-7"),
            try RouteScope(once: true, methods: .init("websocket"), path: "/", label: "x"),
            try RouteScope(
                path: "/" + String(repeating: "a", count: 127), label: String(repeating: "b", count: 32)),
        ] {
            #expect(read(scope.text) == scope)
            let token = token(scope)
            let parts = token.pathPrefix.split(separator: "/")
            for other in [
                try RouteToken(token.text), try RouteToken(token.text, in: .long),
                try RouteToken(sandbox: parts[0], port: parts[1], expires: parts[2], signature: parts[3], in: .long),
            ] {
                #expect(other == token && other.scope == scope && other.version == .two)
                try other.verify(now: 1, epoch: epoch, keys: keys)
            }
            #expect(throws: RouteTokenError.malformed) { try RouteToken(token.text, in: .label) }
        }
    }

    @Test func `scoped codes are what an independent program computes`() throws {
        // Python: base32(hmac(bytes(range(32)), "v2\nscoped\nmy-sandbox\n8080\nx2qxvk\n7.1\n<scope>\n", sha256)[:16])
        let keys = try KeyRing(active: "a", keys: ["a": Array(0..<32)])
        let scope = try RouteScope(methods: .init("GET,POST"), path: "/api", label: "ci")
        let epoch = AccessEpoch(birth: 7, revocations: 1)
        let token = RouteToken.mint(
            sandbox: "my-sandbox", port: 8080, expires: 2_000_000_000, epoch: epoch, scope: scope, keys: keys)
        #expect(token.signature == "fodkgf2ymksxa2ktvsgrxibteqa.bycqil3bobuqey3j")
        #expect(token.cookie(epoch: epoch, keys: keys).signature == "xkmnchfflxjttgtemijontfkeea.bycqil3bobuqey3j")
    }

    @Test func `no scope makes an ordinary token`() throws {
        let plain = RouteToken.mint(
            sandbox: "s-1", port: 80, expires: 2_000_000_000, epoch: epoch, form: .long, keys: keys)
        #expect(token(try RouteScope()) == plain)
    }

    @Test func `a scope that is changed, taken off or put on is a wrong signature`() throws {
        let scope = try RouteScope(methods: .init("GET"), path: "/a"), genuine = token(scope)
        let wider = try RouteScope(methods: .init("GET,POST"), path: "/a")
        let stem = String(genuine.text.prefix { $0 != "." })
        let plain = RouteToken.mint(
            sandbox: "s-1", port: 80, expires: 2_000_000_000, epoch: epoch, form: .long, keys: keys)
        for text in [stem + "." + wider.text, stem, plain.text + "." + scope.text] {
            let token = try RouteToken(text)
            #expect(throws: RouteTokenError.wrongSignature) { try token.verify(now: 1, epoch: epoch, keys: keys) }
            var seen = VerifiedTokens(keys: LiveKeys(keys))
            try seen.verify(genuine, now: 1, epoch: epoch)
            #expect(throws: RouteTokenError.wrongSignature) { try seen.verify(token, now: 1, epoch: epoch) }
        }
    }

    @Test func `a scope has one form only`() throws {
        for text in ["", "a", "aa", "ai", "zz", "77777777", "ca", "iaaq", "bbaa", "baaa"] { #expect(read(text) == nil) }
        let scope = try RouteScope(methods: .init("GET"))
        #expect(read(scope.text) != nil)
        for broken in [
            scope.text + "a", scope.text + "aa", String(scope.text.dropLast()), scope.text.uppercased(),
            scope.text + "=",
        ] { #expect(read(broken) == nil, "\(broken)") }
    }

    @Test func `no text whatever brings the reader down, and what is read is written the same`() throws {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        let genuine = try RouteScope(once: true, methods: .init("GET"), path: "/a", label: "b").text
        var readable = 0
        for number in 0..<20_000 {
            // Noise, or something genuine with one character changed.
            var bytes = (0..<Int.random(in: 1...24, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator)!
            }
            if number % 2 == 0 {
                bytes = Array(genuine.utf8)
                bytes[number / 2 % bytes.count] = alphabet[number / 2 / bytes.count % alphabet.count]
            }
            let text = String(decoding: bytes, as: UTF8.self)
            guard let scope = read(text) else { continue }
            readable += 1
            #expect(scope.text == text)
        }
        #expect(readable > 0)
    }

    @Test(arguments: [
        ("/a", "/a", true), ("/a", "/a/", true), ("/a", "/a/b?x=../..", true), ("/a", "/a?q", true),
        ("/a", "/ab", false),
        ("/a", "/", false), ("/a/", "/a/b", true), ("/a/", "/a", false), ("/", "/anything", true),
        ("/a", "/a/../b", false), ("/a", "/a/%2e%2e/b", false), ("/a", "/a/%2E./b", false), ("/a", "/a//b", false),
        ("/a", "/a/.%2e/b", false), ("/a", "/a/%2fb", false), ("/a", "/a\\b", false), ("/a", "/a/%252e", false),
        ("/a", "/a/..;/b", false), ("/a", "/a/./b", false), ("/a", "/a/.", false), ("/a", "/A", false),
        ("/a", "/a/%20b", true), ("/a", "*", false),
    ])
    func `a path is itself and what is beneath it, and nothing that could be read otherwise`(
        _ path: String, _ target: String, _ isPermitted: Bool
    ) throws {
        #expect(try RouteScope(path: path).permits(target: target) == isPermitted)
    }

    @Test(arguments: ["", "a", "//", "/a//b", "/a/../b", "/..", "/a/.", "/./a", "/a b", "/%41", "/a?b", "/a#", "/ü"])
    func `a path that has two readings is none`(_ path: String) {
        #expect(throws: RouteScopeError.path) { try RouteScope(path: path) }
    }

    @Test func `methods and labels are checked`() throws {
        for text in ["", "GET,", "BREW", "GET POST"] { #expect(RouteScope.Methods(text) == nil) }
        let methods = try #require(RouteScope.Methods("GET,delete"))
        #expect(methods.text == "GET,DELETE")
        #expect(["GET", "HEAD", "DELETE"].allSatisfy(methods.permits))
        #expect(!["POST", "get", "WEBSOCKET", "BREW"].contains(where: methods.permits))
        #expect(throws: RouteScopeError.methods) { try RouteScope(methods: []) }
        for label in ["", "a b", "a\"", String(repeating: "a", count: 33), "ü"] {
            #expect(throws: RouteScopeError.label) { try RouteScope(label: label) }
        }
    }

    @Test func `a cookie is bound to all that its token is, and is no token`() throws {
        let scope = try RouteScope(once: true, methods: .init("GET"))
        let cookie = token(scope).cookie(epoch: epoch, keys: keys)
        #expect(cookie.scope == scope.lasting && cookie.scope?.nonce == nil)
        let read = try RouteToken(cookie: cookie.cookieText, sandbox: "s-1", port: 80)
        #expect(read == cookie)
        try read.verify(now: 2_000_000_000, epoch: epoch, keys: keys)
        func refuses(_ token: RouteToken, now: UInt64 = 1, epoch: AccessEpoch? = nil) -> Bool {
            (try? token.verify(now: now, epoch: epoch ?? self.epoch, keys: keys)) == nil
        }
        #expect(refuses(try RouteToken(cookie: cookie.cookieText, sandbox: "s-2", port: 80)))
        #expect(refuses(try RouteToken(cookie: cookie.cookieText, sandbox: "s-1", port: 81)))
        #expect(refuses(read, now: 2_000_000_001))
        #expect(refuses(read, epoch: AccessEpoch(birth: 9, revocations: 1)))
        // Neither stands in for the other.
        let plain = token(try RouteScope())
        #expect(refuses(try RouteToken(cookie: "\(plain.expiresText)-\(plain.signature)", sandbox: "s-1", port: 80)))
        let lasting = token(try RouteScope()).cookie(epoch: epoch, keys: keys)
        #expect(
            refuses(
                try RouteToken(sandbox: "s-1", port: "80", expires: lasting.expiresText, signature: lasting.signature)))
        for text in [
            "", "-", "x", cookie.cookieText + "a", cookie.expiresText,
            "\(cookie.expiresText)-\(token(scope).signature)",
        ] {
            #expect(throws: RouteTokenError.malformed) { try RouteToken(cookie: text, sandbox: "s-1", port: 80) }
        }
    }
}
