import Foundation
import SecureAccess
import Testing

/// `sallyport token`, as a process.
@Suite struct TokenCommandTests {
    private func sallyport(_ arguments: [String]) throws -> (status: Int32, output: String, errors: String) {
        let process = Process(), output = Pipe(), errors = Pipe()
        // The programs lie beside the tests.
        let tests = try #require(CommandLine.arguments.first { $0.contains(".xctest") } ?? CommandLine.arguments.first)
        let beside = URL(filePath: tests).deletingLastPathComponent().appending(path: "sallyport").path
        process.executableURL = URL(filePath: beside)
        process.arguments = ["token"] + arguments
        process.environment = ["HOME": "/nonexistent"]
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        process.waitUntilExit()
        func text(_ pipe: Pipe) -> String {
            String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
        return (process.terminationStatus, text(output), text(errors))
    }

    private let keys = "a=base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

    @Test func `mint prints the token and nothing else, as the vectors have it`() throws {
        let common = ["--keys", keys, "--sandbox", "my-sandbox", "--port", "8080", "--expires", "2000000000"]
        func mint(_ more: String...) throws -> String { try sallyport(["mint"] + common + more).output }
        #expect(try mint("--version", "1", "--form", "header") == "my-sandbox-8080-x2qxvk-01086ceca\n")
        #expect(
            try mint("--epoch", "0.0", "--form", "uri") == "/my-sandbox/8080/x2qxvk/mllt42hugv4xno2ucijfarubkaa\n")
        #expect(try mint("--epoch", "0.0", "--form", "wildcard") == "my-sandbox-8080-x2qxvk-zaeze5t7z3bya\n")
    }

    @Test func `a span in the place of a moment is told what is wanted`() throws {
        let common = ["mint", "--keys", keys, "--sandbox", "a", "--port", "80", "--epoch", "0.0"]
        for text in ["1h", "soon", "-1"] {
            let answer = try sallyport(common + ["--expires=\(text)"])
            #expect(answer.status == 64 && answer.errors.contains("it is seconds since 1970, such as"))
        }
        let dead = try sallyport(common + ["--expires=1000"])
        #expect(dead.status == 64 && dead.errors.contains("--expires 1000 is in the past"))
    }

    @Test func `verify says why not, without the key`() throws {
        let token = "my-sandbox-8080-x2qxvk-mllt42hugv4xno2ucijfarubkaa"
        let good = try sallyport(["verify", "--keys", keys, "--epoch", "0.0", token])
        #expect(good.status == 0 && good.output.hasPrefix("valid for "))
        let bad = try sallyport(["verify", "--keys", keys, "--epoch", "0.1", token])
        #expect(bad.status != 0 && bad.errors.contains("signature is wrong") && !bad.errors.contains("AAEC"))
        #expect(try sallyport(["inspect", token]).output.contains("expires  2000000000"))
        #expect(try sallyport(["inspect", "nonsense"]).status != 0)
    }

    @Test func `mint restricts what a token is for, and inspect says to what`() throws {
        let common = [
            "mint", "--keys", keys, "--sandbox", "my-sandbox", "--port", "8080", "--expires", "2000000000", "--epoch",
            "7.1",
        ]
        let scoped = try sallyport(common + ["--methods", "GET,POST", "--path", "/api", "--label", "ci"]).output
        #expect(scoped == "my-sandbox-8080-x2qxvk-fodkgf2ymksxa2ktvsgrxibteqa.bycqil3bobuqey3j\n")
        let token = String(scoped.dropLast())
        let shown = try sallyport(["inspect", token]).output
        for line in ["methods  GET,POST", "path     /api", "label    ci"] { #expect(shown.contains(line)) }
        #expect(try sallyport(["verify", "--keys", keys, "--epoch", "7.1", token]).status == 0)
        let once = try sallyport(common + ["--once", "--form", "uri"]).output.dropLast()
        #expect(try sallyport(["inspect", String(once)]).output.contains("use      once"))
        // Whether it has been used, a gateway of this machine may have written; here there is none.
        let use = try sallyport(["verify", "--keys", keys, "--epoch", "7.1", String(once)])
        #expect(use.status == 0 && use.output.contains("for one use: a gateway refuses it once it has been used"))
        for wrong in [
            ["--once", "--form", "wildcard"], ["--once", "--version", "1"], ["--methods", "BREW"], ["--path", "a"],
        ] { #expect(try sallyport(common + wrong).status != 0, "\(wrong)") }
    }

    @Test func `a route for one use is refused once the gateway of this state has let it in`() throws {
        let folder = "/tmp/spt-used-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder + "/gateway", withIntermediateDirectories: true)
        func route() throws -> String {
            let common = [
                "--keys", keys, "--sandbox", "a", "--port", "80", "--expires", "2000000000", "--epoch", "7.1",
            ]
            return String(try sallyport(["mint", "--once"] + common).output.dropLast())
        }
        let used = try route(), other = try route()
        let token = try RouteToken(used)
        let nonce = try #require(token.scope?.nonce).map { String(format: "%02x", $0) }.joined()
        try Data("\(nonce) 2000000000\n".utf8).write(to: URL(filePath: folder + "/gateway/one-time-routes"))
        func verify(_ token: String) throws -> (status: Int32, output: String, errors: String) {
            try sallyport(["verify", "--keys", keys, "--epoch", "7.1", "--state-directory", folder, token])
        }
        let refused = try verify(used)
        #expect(refused.status == 1 && refused.output.isEmpty && refused.errors.contains("it has been used"))
        #expect(try verify(other).status == 0)
    }

    @Test func `rotate changes a file of keys`() throws {
        let file = "/tmp/spt-rotate-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data(keys.utf8).write(to: URL(filePath: file))
        #expect(try sallyport(["rotate", "--keys-file", file]).output == "active b\n")
        let ring = try KeyRing.parse(String(contentsOfFile: file, encoding: .utf8).filter { !$0.isWhitespace })
        #expect(ring.ids == ["b", "a"])
    }
}
