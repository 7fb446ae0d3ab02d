import HTTPServer
import System
import Tracing

/// What is told of a request when it is over.
extension ClientConnection {
    /// The request has been answered, or will not be any more: it is counted, and perhaps logged.
    func settle(_ end: RequestEnd = .whole) {
        if let span {
            if end != .whole { span.fail(end.rawValue) }
            span.end()
            self.span = nil
        }
        guard var record else { return }
        self.record = nil
        if let tunnel {
            (record.bytesIn, record.bytesOut) = (record.bytesIn &+ tunnel.received, record.bytesOut &+ tunnel.sent)
            self.tunnel = nil
        }
        let time = SystemClock.monotonicNanoseconds() &- record.begun
        state.counts.note(record, nanoseconds: time)
        let log = state.accessLog, isError = record.isError(end)
        guard log.wants(isError: isError) else { return }
        log.note(record.line(end, nanoseconds: time), isError: isError, isStranger: !record.isAdmitted)
    }
}
