import Logging
import Synchronization

/// Every decision as a line of JSON in a file. The guard never waits for the disk: lines that cannot be written in time
/// are dropped and counted.
package final class AuditLog: EventOutlet {
    private struct Line: Sendable {
        var event: DecisionEvent
        var sandbox: String
    }

    private let outbox = Outbox<Line>(capacity: 16384, name: "audit")
    private let file: Mutex<AuditFile>
    private let logger: Logger
    private let worker = Mutex<Task<Void, Never>?>(nil)

    /// - Parameter limit: bytes after which the file is rotated; 0 for never.
    package init(path: String, limit: Int = 64 << 20, logger: Logger) {
        file = Mutex(AuditFile(path: path, limit: limit))
        self.logger = logger
        // The task keeps the log alive until `close`.
        let task = Task { await outbox.run { await self.write($0) } }
        worker.withLock { $0 = task }
    }

    func put(_ event: DecisionEvent, of sandbox: String) {
        outbox.put(Line(event: event, sandbox: sandbox), of: sandbox)
    }

    /// Returns when everything queued is in the file.
    package func close() async {
        outbox.close()
        await worker.withLock { $0 }?.value
    }

    private func write(_ lines: [Line]) async {
        do throws(EgressError) {
            try await Blocking.run { [self] () throws(EgressError) in
                var bytes: [UInt8] = []
                for line in lines {
                    bytes += Array(line.event.encodedJSON(sandbox: line.sandbox).utf8)
                    bytes.append(UInt8(ascii: "\n"))
                }
                let text = bytes
                try file.withLock { file throws(EgressError) in try file.append(text) }
            }
        } catch {
            outbox.lose(lines.count)
            logger.error(
                "audit lines are lost",
                metadata: ["error": "\(error)", "lines": "\(lines.count)", "all": "\(outbox.lost)"])
        }
    }
}
