import Foundation
import GRDB
import JSON
import Runtimes
import TestSupport
import Testing

@testable import ControlPlane

@Suite struct SupportBundleTests {
    private let folder = TemporaryFolder("support")

    /// Every kind of secret that a server has, each one text, in every place where it could stand. None looks like one, so that
    /// nothing but its place gives it away.
    private enum Planted: String, CaseIterable {
        case apiKey = "plain-words-as-a-key", redisPassword = "redis pass", namedKeySecret = "words-of-a-named-key"
        case storedKey = "words-in-the-key-file", credentialKey = "words-in-another-file", routeKey = "QUJD/REVG+SElK"
        case configuredRouteKey = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY=", variable = "value of, a=variable",
            metadata = "label-of-a-user"
        case collectorToken = "token-of-a-collector", webhook = "services-hook-path", logged = "of-nobody-knows"
        case quoted = "one with \"quotes\"", tenantKey = "words-of-a-tenant", privateKey = "MIIEvA/IBADANBg"
        case sandboxVariable = "environment-of-a-sandbox", registryPassword = "password-of-a-registry"
        case header = "headers-of-a-collector"
        var text: String { rawValue }
    }

    private func write(_ text: String, _ path: String) throws {
        let file = folder.path + "/" + path
        let above = URL(filePath: file).deletingLastPathComponent().path
        try FileManager.default.createDirectory(atPath: above, withIntermediateDirectories: true)
        try text.write(toFile: file, atomically: true, encoding: .utf8)
    }

    private var state: String { folder.path + "/state" }
    private var environment: [String: String] {
        [
            "OPENSANDBOX_SERVER_API_KEY": Planted.apiKey.text, "MY_PASSWORD": Planted.variable.text,
            "HOME": folder.path,
            "MY_TOKEN": Planted.quoted.text,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=\(Planted.header.text)",
        ]
    }

    /// A log that says every secret, in the ways in which logs do.
    private var log: String {
        var lines = ["2026-01-01T00:00:00Z info shown line: a sandbox 0a1b2c3d-1111-2222-3333-444455556666 was made"]
        for secret in Planted.allCases {
            let text = secret.text
            switch secret {
            case .logged, .sandboxVariable, .registryPassword, .metadata, .namedKeySecret:
                let json = String(decoding: JSONValue.string(text).encoded, as: UTF8.self)
                lines += [
                    "token=\(text)", "Password: \(text) and more", "{\"message\":\"x\",\"secret\":\(json),\"shown\":1}",
                    "GET https://user:\(text)@host.example/?a=\(text) Authorization: Bearer \(text)",
                    "-H 'Cookie: a=\(text)' OPENSANDBOX_X_SECRET='\(text)'",
                ]
            default:
                lines += [
                    "it was \(text).", "at \(text)/x", String(decoding: JSONValue.string(text).encoded, as: UTF8.self),
                ]
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func server() async throws -> String {
        try write(
            """
            [server]
            port = 1
            host = "127.0.0.1"
            api_key = "\(Planted.apiKey.text)"
            names = ["shown.example"]
            [[server.tls.certificates]]
            certificate = "\(folder.path)/cert.pem"
            key = "\(folder.path)/key.pem"
            [tenants]
            provider = "file"
            path = "\(folder.path)/tenants.toml"
            [log]
            file_enabled = true
            file_path = "\(folder.path)/server.log"
            [local]
            state_dir = "\(state)"
            [egress]
            deny_webhook = "http://127.0.0.1:1/\(Planted.webhook.text)"
            [ingress.secure_access]
            active_key = "a"
            [[ingress.secure_access.keys]]
            key_id = "a"
            key = "\(Planted.configuredRouteKey.text)"
            [otel]
            endpoint = "https://collector.example:4318/?t=\(Planted.collectorToken.text)"
            [renew_intent]
            redis.enabled = true
            redis.dsn = "redis://:redis%20pass@127.0.0.1:6379/0"
            """, "server.toml")
        try write("-----BEGIN PRIVATE KEY-----\n\(Planted.privateKey.text)\n-----END PRIVATE KEY-----\n", "key.pem")
        try write(
            "[[tenants]]\nname = \"a\"\nnamespace = \"n\"\napi_keys = [\"\(Planted.tenantKey.text)\"]", "tenants.toml")
        try write(Planted.storedKey.text + "\n", "state/secrets/api-key")
        try write(Planted.credentialKey.text + "\n", "state/secrets/credential-key")
        try write("a=base64:\(Planted.routeKey.text),b=base64:x", "state/secrets/route-keys")
        try write(Planted.sandboxVariable.text, "state/sandboxes/x/sandbox.json")
        try write(log, "server.log")
        let store = try SQLiteStore(path: state + "/sallyport.db")
        var sandbox = Sandbox.sample("a", at: .now())
        sandbox.metadata = ["team": Planted.metadata.text]
        try await store.sandboxes.save(sandbox)
        let queue = try DatabaseQueue(path: state + "/sallyport.db")
        try await queue.write {
            try $0.execute(
                sql: "INSERT INTO sandbox (id, createdAt, document) VALUES (?, 0, ?)",
                arguments: [Planted.metadata.text, "{\"status\":{\"state\":\"\(Planted.metadata.text)\"}}"])
        }
        return folder.path + "/server.toml"
    }

    private func unpack(_ archive: String) throws -> [String: String] {
        try Command.run("tar", "-xzf", archive, "-C", folder.path)
        let unpacked = folder.path + "/sallyport-support"
        let names = try FileManager.default.contentsOfDirectory(atPath: unpacked)
        return Dictionary(
            uniqueKeysWithValues: try names.map {
                ($0, try String(contentsOfFile: unpacked + "/" + $0, encoding: .utf8))
            })
    }

    private func expectNoSecret(in files: [String: String]) {
        for (name, text) in files {
            for secret in Planted.allCases { #expect(!text.contains(secret.text), "\(secret) in \(name)") }
        }
    }

    @Test func `no secret of the server's and nothing of sandboxes is in it, and what helps is`() async throws {
        let path = try await server(), output = folder.path + "/bundle.tar.gz"
        let bundle = try SupportBundle(path: path, environment: environment, stateDirectory: nil)
        try await bundle.write(to: output)
        let mode = try FileManager.default.attributesOfItem(atPath: output)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let files = try unpack(output)
        #expect(
            files.keys.sorted() == [
                "configuration.json", "environment.txt", "kernel.txt", "log-1.txt", "ruleset.txt", "state.txt",
                "status.txt", "versions.txt",
            ], "\(files["configuration-problem.txt"] ?? "")")
        expectNoSecret(in: files)
        let all = files.values.joined()
        for fact in [
            "shown.example", "shown line", "0a1b2c3d-1111-2222-3333-444455556666", "collector.example", "Running: 1",
            "unreadable: 1", "tenants: 1", "sallyport \(AllInOneServer.release)", "OPENSANDBOX_SERVER_API_KEY is set",
            "\"api_key\":\"***\"", "/health", "\"shown\":1",
        ] { #expect(all.contains(fact), "\(fact)") }
        // The control: before anything is taken out, the log has each of them.
        let raw = await bundle.files().map(\.text).joined()
        for secret in Planted.allCases {
            #expect(raw.contains(secret.text), "\(secret)")
        }
        await #expect(throws: ConfigurationError.self) { try await bundle.write(to: output) }
    }

    @Test(arguments: ["[server\n", "[server]\nprot = 1\n", "api_key = words-of-a-named-key\n"])
    func `a configuration that no server takes is told, without its secrets`(_ first: String) async throws {
        let path = try await server()
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try (first + text.replacing("[server]\nport = 1\n", with: "[[x]]\n")).write(
            toFile: path, atomically: true, encoding: .utf8)
        let bundle = try SupportBundle(path: path, environment: environment, stateDirectory: state)
        let output = folder.path + "/bundle.tar.gz"
        try await bundle.write(to: output, logs: [folder.path + "/server.log"])
        let files = try unpack(output)
        #expect(files["configuration-problem.txt"]?.isEmpty == false)
        // Which secrets a log could have, nobody knows then.
        #expect(files.values.allSatisfy { !$0.contains("shown line") })
        expectNoSecret(in: files)
    }

    @Test func `what is not there is an error, and leaves no archive`() async throws {
        #expect(throws: ConfigurationError.self) {
            try SupportBundle(path: folder.path + "/none.toml", environment: [:], stateDirectory: nil)
        }
        let bundle = try SupportBundle(path: nil, environment: ["HOME": folder.path], stateDirectory: folder.path)
        await #expect(throws: ConfigurationError.self) { try await bundle.write(to: folder.path + "/none/b.tar.gz") }
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/link", withDestinationPath: folder.path + "/target")
        await #expect(throws: ConfigurationError.self) { try await bundle.write(to: folder.path + "/link") }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/target"))
    }

    @Test func `a log that is a link or a device is not read`() async throws {
        let path = try await server()
        try FileManager.default.removeItem(atPath: folder.path + "/server.log")
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/server.log", withDestinationPath: "/etc/hostname")
        let bundle = try SupportBundle(path: path, environment: [:], stateDirectory: nil)
        let logs = await bundle.files(["/dev/zero"]).filter { $0.name.hasPrefix("log-") }
        #expect(logs.count == 2)
        for log in logs {
            #expect(log.text.contains("it cannot be read") || log.text.hasSuffix("it is not a regular file\n"))
        }
    }
}
