/// Turns what comes of a run into the events of its stream (docs/wire.md#event-streams): texts by whole lines, a count at
/// the most, and at the end exactly one of `error` and `execution_complete`.
struct RunEvents: Sendable {
    /// The longest `results`, in bytes of JSON; what else an event holds is short.
    static let maxResults = TextAssembler.maxRecord - 1024

    private var texts: [OutputStream: TextAssembler]
    private var failure: CodeFailure?
    private var hasCount = false

    /// - Parameter maxLine: bytes of a line that wait for its break.
    init(maxLine: Int) {
        let assembler = TextAssembler(maxLine: maxLine, keepsBreaks: true)
        texts = [.standardOutput: assembler, .standardError: assembler]
    }

    /// What can be sent now.
    mutating func take(_ event: KernelEvent, at now: Int64) -> [StreamEvent] {
        switch event {
        case .output(.control, _): return []
        case .output(let stream, let bytes):
            return texts[stream]!.append(bytes).map { .output(stream, $0, at: now) }
        case .result(let bundle):
            // What was printed before is shown before.
            return rest(at: now) + [.result(bundle.fields(limit: Self.maxResults), at: now)]
        case .count(let number):
            guard !hasCount else { return [] }
            hasCount = true
            return [.counted(number, at: now)]
        case .failed(let failure):
            self.failure = self.failure ?? failure
            return []
        }
    }

    var hasFailed: Bool { failure != nil }

    /// The last events.
    mutating func finish(after milliseconds: Int64, at now: Int64) -> [StreamEvent] {
        rest(at: now) + [failure.map { .failed($0, at: now) } ?? .completed(after: milliseconds, at: now)]
    }

    private mutating func rest(at now: Int64) -> [StreamEvent] {
        [OutputStream.standardOutput, .standardError].flatMap { stream in
            texts[stream]!.finish().map { .output(stream, $0, at: now) }
        }
    }
}

extension StreamEvent {
    static func result(_ texts: [String: String], at now: Int64) -> StreamEvent {
        StreamEvent(type: "result", timestamp: now, results: texts)
    }
    static func counted(_ number: Int, at now: Int64) -> StreamEvent {
        StreamEvent(type: "execution_count", timestamp: now, execution_count: number)
    }
    static func failed(_ failure: CodeFailure, at now: Int64) -> StreamEvent {
        StreamEvent(
            type: "error", timestamp: now,
            error: Failure(ename: failure.name, evalue: failure.value, traceback: failure.traceback))
    }
}
