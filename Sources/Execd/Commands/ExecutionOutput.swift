import NIOCore
import Synchronization

/// What an execution prints, as the events that its client gets. They are made where output is read, of memory that is used again and
/// again: what is handed on from thread to thread would be new memory for each part, which the kernel has to clear first.
final class ExecutionOutput: Sendable {
    let record: CommandRecord
    /// Events in their order, up to the execution's end. Who has one counts it as consumed.
    let parts: AsyncStream<ByteBuffer>
    private let continuation: AsyncStream<ByteBuffer>.Continuation
    private let texts: Mutex<[OutputStream: TextAssembler]>

    /// - Parameter maxLine: bytes of a line that wait for its break.
    init(_ record: CommandRecord, maxLine: Int) {
        self.record = record
        (parts, continuation) = AsyncStream<ByteBuffer>.makeStream()
        let assembler = TextAssembler(maxLine: maxLine)
        texts = Mutex([.standardOutput: assembler, .standardError: assembler])
    }

    /// Called on the loop's thread.
    func take(_ stream: OutputStream, _ bytes: UnsafeRawBufferPointer) {
        let ending = EventRecord.ending(stream, at: CommandRunner.now())
        // Lines of 60 bytes become twice as long.
        var records = ProcessLoop.shared.buffers.take(2 * bytes.count + 256)
        ending.withUnsafeBytes { ending in
            texts.withLock { Self.append(bytes, ending, &$0[stream]!, to: &records) }
        }
        guard records.readableBytes > 0 else { return ProcessLoop.shared.buffers.give(records) }
        record.produced(records.readableBytes)
        continuation.yield(records)
    }

    private static func append(
        _ bytes: UnsafeRawBufferPointer, _ ending: UnsafeRawBufferPointer, _ texts: inout TextAssembler,
        to records: inout ByteBuffer
    ) {
        var rest = bytes
        while !rest.isEmpty {
            if texts.isBehindBreak {
                let taken = EventRecord.appendPlainLines(rest, maxLine: texts.maxLine, ending: ending, to: &records)
                rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
            }
            // One line that has something to be replaced, or has no end yet.
            let line = rest.prefix(TextAssembler.newline(in: rest).map { $0 + 1 } ?? rest.count)
            texts.append(UnsafeRawBufferPointer(rebasing: line)) {
                EventRecord.appendOutput(hasBreak: $0, $1, ending: ending, to: &records)
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[line.endIndex...])
        }
    }

    /// The execution is over, or has not begun, and its record says how.
    func end() { continuation.finish() }

    /// The event that has gone to its client needs its memory no more.
    func gone(_ part: ByteBuffer) { ProcessLoop.shared.buffers.give(part) }

    /// What has no line break.
    func rest(at now: Int64) -> [StreamEvent] {
        let (output, errors) = texts.withLock { ($0[.standardOutput]!.finish(), $0[.standardError]!.finish()) }
        return output.map { StreamEvent.output(.standardOutput, $0, at: now) }
            + errors.map { .output(.standardError, $0, at: now) }
    }
}
