import Foundation
import HTTPClient
import Logging
import NetworkPolicy
import Synchronization
import System
import TestSupport
import Testing

@testable import Egress

@Suite struct OutletTests {
    private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private let temporary = TemporaryFolder("outlets")
    private var folder: String { temporary.path }

    private func lines(_ name: String) -> [String] {
        let data = FileManager.default.contents(atPath: folder + "/" + name) ?? Data()
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private func denied(_ name: String, time: UInt64 = 1_767_225_600_123) throws -> DecisionEvent {
        DecisionEvent(
            time: time,
            kind: .name(try DomainName(name), type: 1, Verdict(action: .deny, reason: .defaultAction)))
    }

    @Test func `every decision becomes a line, in order`() async throws {
        let log = AuditLog(path: folder + "/audit", logger: quiet)
        for number in 0..<2000 { log.put(try denied("n\(number).example"), of: "sb-\(number % 3)") }
        await log.close()
        let lines = lines("audit")
        #expect(lines.count == 2000)
        let first = try #require(try JSONSerialization.jsonObject(with: Data(lines[0].utf8)) as? [String: Any])
        #expect(first["event"] as? String == "nameDenied" && first["name"] as? String == "n0.example")
        #expect(first["sandbox"] as? String == "sb-0" && first["time"] as? String == "2026-01-01T00:00:00.123Z")
        #expect(lines[1999].contains("n1999.example"))
        let mode = try FileManager.default.attributesOfItem(atPath: folder + "/audit")[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func `a file that is large is put aside, and one that was put aside is opened anew`() throws {
        var file = AuditFile(path: folder + "/audit", limit: 10)
        for text in ["aaaa\n", "bbbb\n", "cccc\n"] { try file.append(Array(text.utf8)) }
        #expect(lines("audit.1") == ["aaaa", "bbbb"] && lines("audit") == ["cccc"])
        try FileManager.default.moveItem(atPath: folder + "/audit", toPath: folder + "/elsewhere")
        try file.append(Array("dddd\n".utf8))
        #expect(lines("audit") == ["dddd"] && lines("elsewhere") == ["cccc"])
        // A line that is larger than the limit still has a file.
        try file.append([UInt8](repeating: 101, count: 50) + [10])
        #expect(lines("audit").map(\.count) == [50] && lines("audit.1") == ["dddd"])
    }

    @Test func `a disk that refuses costs lines, which are counted, and nobody waits`() async throws {
        var file = AuditFile(path: "/dev/full", limit: 0)
        var refused = false
        do throws(EgressError) { try file.append([97, 10]) } catch { refused = true }
        #expect(refused)
        let outbox = Outbox<Int>(capacity: 6, name: "test")
        for number in 0..<10 { outbox.put(number, of: "a") }
        #expect(outbox.lost == 7)
        let seen = Mutex<[Int]>([])
        outbox.close()
        await outbox.run { items in seen.withLock { $0 += items } }
        #expect(seen.withLock { $0 } == [0, 1, 2])
    }

    @Test func `a sandbox that fills the queue leaves as much again for the others`() async throws {
        let outbox = Outbox<String>(capacity: 100, name: "test")
        for _ in 0..<1000 { outbox.put("a", of: "a") }
        for _ in 0..<1000 { outbox.put("b", of: "b") }
        for _ in 0..<10 { outbox.put("c", of: "c") }
        let seen = Mutex<[String]>([])
        outbox.close()
        await outbox.run { items in seen.withLock { $0 += items } }
        let counts = Dictionary(grouping: seen.withLock { $0 }, by: \.self).mapValues(\.count)
        #expect(counts == ["a": 50, "b": 25, "c": 10] && outbox.lost == 1925)
    }

    @Test func `a notice has the reference's form`() throws {
        let notice = DenyWebhook.Notice(name: try DomainName("x.example"), sandbox: "a\"b", time: 1_767_225_600_999)
        #expect(
            String(decoding: notice.body, as: UTF8.self)
                == #"{"hostname":"x.example","timestamp":"2026-01-01T00:00:00Z","source":"opensandbox-egress","sandboxId":"a\"b"}"#
        )
    }

    @Test func `a webhook hears of each denied name once, and trouble of its server is waited out`() async throws {
        let hook = try HookServer(statuses: [503, 500, 200])
        defer { hook.stop() }
        let webhook = DenyWebhook(
            HTTPEndpoint("http://127.0.0.1:\(hook.port)/hook?a=b")!,
            retries: RetryPolicy(BackOff(first: 1, longest: 2), attempts: 4), logger: quiet)
        webhook.put(try denied("a.example"), of: "sb")
        webhook.put(try denied("a.example", time: 1_767_225_601_000), of: "sb")
        webhook.put(
            DecisionEvent(
                time: 1,
                kind: .name(try DomainName("ok.example"), type: 1, Verdict(action: .allow, reason: .defaultAction))),
            of: "sb")
        webhook.put(try denied("b.example"), of: "sb")
        #expect(try await eventually { hook.requests.count == 4 })
        webhook.close()
        let bodies = hook.requests.map { $0.split(separator: "\r\n\r\n").last ?? "" }
        #expect(bodies.prefix(3).allSatisfy { $0.contains("a.example") } && bodies[3].contains("b.example"))
        #expect(hook.requests[0].hasPrefix("POST /hook?a=b HTTP/1.1\r\nHost: 127.0.0.1:\(hook.port)\r\n"))
    }

    @Test func `a clock that is set back keeps no denied name from the webhook`() async throws {
        let hook = try HookServer(statuses: [200])
        defer { hook.stop() }
        let webhook = DenyWebhook(HTTPEndpoint("http://127.0.0.1:\(hook.port)/")!, logger: quiet)
        webhook.put(try denied("a.example", time: 1_767_225_601_000), of: "sb")
        #expect(try await eventually { hook.requests.count == 1 })
        webhook.put(try denied("a.example", time: 1_767_139_200_000), of: "sb")
        #expect(try await eventually { hook.requests.count == 2 })
        webhook.put(try denied("a.example", time: 1_767_139_204_999), of: "sb")
        webhook.put(try denied("b.example", time: 1_767_139_205_000), of: "sb")
        #expect(try await eventually { hook.requests.count == 3 })
        #expect(hook.requests[2].contains("b.example"))
        webhook.close()
    }

    @Test func `a refusal of the webhook's server is final`() async throws {
        let hook = try HookServer(statuses: [404, 200])
        defer { hook.stop() }
        let webhook = DenyWebhook(
            HTTPEndpoint("http://127.0.0.1:\(hook.port)/")!,
            retries: RetryPolicy(BackOff(first: 1, longest: 2), attempts: 4),
            logger: quiet)
        webhook.put(try denied("a.example"), of: "sb")
        webhook.put(try denied("b.example"), of: "sb")
        #expect(try await eventually { hook.requests.count == 2 })
        #expect(hook.requests[1].contains("b.example"))
        webhook.close()
    }
}
