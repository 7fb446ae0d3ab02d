import NIOHTTP1
import Synchronization
import Testing

@testable import HTTPServer

@Suite struct ReadinessTests {
    private final class Rig: Sendable {
        let looks = Mutex(0), time = Mutex<UInt64>(0), problem = Mutex<String?>(nil)
        func readiness(_ more: [ReadinessCheck] = []) -> Readiness {
            let check = ReadinessCheck("store") { [self] in
                looks.withLock { $0 += 1 }
                return problem.withLock { $0 }
            }
            return Readiness([check] + more) { [self] in time.withLock { $0 } }
        }
    }

    @Test func `a flood of questions is one look a second`() async {
        let rig = Rig(), readiness = rig.readiness()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<200 { group.addTask { _ = await readiness.findings } }
        }
        #expect(rig.looks.withLock { $0 } == 1)
        rig.problem.withLock { $0 = "full" }
        #expect(await readiness.findings.map(\.problem) == [nil], "what was found holds for a second")
        rig.time.withLock { $0 += 1_000_000_000 }
        #expect(await readiness.findings == [.init(name: "store", problem: "full")])
        #expect(rig.looks.withLock { $0 } == 2)
    }

    @Test func `what hangs is a problem, is asked once, and keeps nobody waiting`() async {
        let rig = Rig(), hung = Mutex(0)
        let (gate, opener) = AsyncStream<Void>.makeStream()
        let check = ReadinessCheck("guard", limit: .milliseconds(20)) {
            hung.withLock { $0 += 1 }
            for await _ in gate { break }
            return nil
        }
        let readiness = rig.readiness([check])
        #expect(await readiness.findings.map { $0.problem != nil } == [false, true])
        rig.time.withLock { $0 += 1_000_000_000 }
        #expect(await readiness.findings.last?.problem == "it has not answered yet")
        #expect(hung.withLock { $0 } == 1)
        opener.yield()
    }

    @Test func `the answer says why only to those who may know`() throws {
        let findings = [
            Readiness.Finding(name: "guard", problem: nil), .init(name: "disk", problem: "/secret is full"),
        ]
        let short = ReadyAnswer(findings, showsChecks: false).reply
        #expect(short.status == .serviceUnavailable)
        #expect(String(decoding: short.bytes, as: UTF8.self) == #"{"status":"unready"}"#)
        let long = String(decoding: ReadyAnswer(findings, showsChecks: true).reply.bytes, as: UTF8.self)
        #expect(long.contains("/secret is full") && long.contains(#""name":"guard""#))
        #expect(ReadyAnswer([], showsChecks: false).reply.status == .ok)
    }
}
