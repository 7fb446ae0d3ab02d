import FoundationEssentials
import Logging
import Synchronization
import System
import Testing
import Tracing

@testable import LogLines

@Suite struct RequestFieldTests {
    private func line(_ id: String?) throws -> [String: String] {
        let written = Mutex<[UInt8]>([])
        var handler = JSONLogHandler(label: "t")
        handler.write = { line in written.withLock { $0 += line } }
        let logger = Logger(label: "t") { [handler] _ in handler }
        CurrentRequest.$id.withValue(id) { logger.info("said", metadata: ["a": "b"]) }
        return try JSONDecoder().decode([String: String].self, from: Data(written.withLock { $0 }))
    }

    @Test func `a line that is written for a request has its id`() throws {
        let named = try line("r1"), unnamed = try line(nil)
        #expect(named["request"] == "r1" && named["a"] == "b")
        #expect(unnamed["request"] == nil && unnamed["a"] == "b")
    }

    @Test func `a line for people has it, too, and it cannot add a line`() {
        let provider = TextLogHandler(label: "t").metadataProvider
        CurrentRequest.$id.withValue("r1\nr2") {
            #expect(provider?.get() == ["request": #"r1\nr2"#])
        }
        #expect(provider?.get() == [:])
    }

    @Test func `work on another thread is done for the same request`() async {
        let pool = WorkerPool(maxThreads: 1)
        let seen = await CurrentRequest.$id.withValue("r1") { await pool.runForRequest { CurrentRequest.id } }
        let later = await pool.runForRequest { CurrentRequest.id }
        #expect(seen == "r1" && later == nil)
    }

    @Test func `a call to another process takes the id along`() {
        #expect(CurrentRequest.fields.isEmpty)
        CurrentRequest.$id.withValue("r1") {
            #expect(CurrentRequest.fields.map(\.name) == ["x-request-id"])
            #expect(CurrentRequest.fields.map(\.value) == ["r1"])
        }
    }
}
