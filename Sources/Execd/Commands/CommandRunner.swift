import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Runs commands: starts them, turns their output into events, and ends them at their time limit.
final class CommandRunner: Sendable {
    let registry = CommandRegistry()
    let environment: CommandEnvironment
    /// The longest line, in bytes, that is held until its line break.
    let maxLine: Int
    let memory: MemoryGroup
    /// nil where nothing is exported.
    let meter: Meter?
    private let storms: StormWatch

    /// How long a command may take to end after TERM before it is killed.
    static let patience = Duration.seconds(3)

    init(
        environment: CommandEnvironment, maxLine: Int = TextAssembler.defaultLongestLine,
        memory: MemoryGroup = .own, meter: Meter? = nil
    ) {
        self.environment = environment
        self.maxLine = maxLine
        self.memory = memory
        self.meter = meter
        storms = StormWatch(memory: memory, registry: registry)
    }

    static func now() -> Int64 { Int64(SystemClock.wallMilliseconds()) }

    /// Starts a command for a client that gets its output as it comes; to be called on a thread of `SpawnThreads`.
    func stream(_ request: CommandRequest) -> ExecutionOutput {
        let output = ExecutionOutput(makeRecord(request), maxLine: maxLine)
        let hasBegun = begin(request, output.record, output: output.take) { event in
            if case .ended = event { output.end() }
        }
        if !hasBegun { output.end() }
        return output
    }

    /// Starts a command; to be called on a thread of `SpawnThreads`.
    /// - Returns: its record and its events; a background command's output goes to its log.
    func start(_ request: CommandRequest) -> (record: CommandRecord, events: AsyncStream<ProcessEvent>) {
        let (events, continuation) = AsyncStream<ProcessEvent>.makeStream()
        let isBackground = request.background ?? false
        let (log, failure) = isBackground ? Self.makeLog() : (nil, nil)
        let record = makeRecord(request, log)
        let hasBegun = begin(request, record, failure) { event in
            switch event {
            case .output(_, let bytes):
                guard !isBackground else { return record.append(bytes) }
                record.produced(bytes.count)
                continuation.yield(event)
            case .took, .refusedInput: break
            case .ended:
                continuation.yield(event)
                continuation.finish()
            }
        }
        if !hasBegun { continuation.finish() }
        return (record, events)
    }

    private func makeRecord(_ request: CommandRequest, _ log: CommandLog? = nil) -> CommandRecord {
        storms.commandBegins()
        let record = CommandRecord(
            id: Self.identifier(), content: request.content, startedAt: Self.now(), memory: memory, log: log,
            input: request.hasInput ? CommandInput() : nil)
        registry.add(record)
        measure(record, as: .command)
        return record
    }

    /// - Parameters:
    ///   - failure: why it cannot be started.
    ///   - deliver: told of its end when the record knows of it.
    /// - Returns: whether it has been started; if not, the record has the failure.
    private func begin(
        _ request: CommandRequest, _ record: CommandRecord, _ failure: SpawnError? = nil,
        output: ProcessLoop.OutputDelivery? = nil, deliver: @escaping ProcessLoop.Delivery
    ) -> Bool {
        do throws(SpawnError) {
            if let failure { throw failure }
            var spec = request.spec(in: environment)
            spec.environment[CommandRecord.marker] = record.id
            let wires: Connection = request.hasInput ? .pipes : .output
            let process = try ProcessLoop.shared.start(spec, wires, output: output) { event in
                record.input?.receive(event)
                if case .ended(let status) = event { record.ended(status, failure: nil, at: Self.now()) }
                deliver(event)
            }
            record.began(process)
            record.input?.begin(
                process, first: Array((request.stdin ?? "").utf8), ends: !(request.stdin_open ?? false))
            limit(record, milliseconds: request.timeout ?? 0)
            return true
        } catch {
            record.ended(nil, failure: error.description, at: Self.now())
            return false
        }
    }

    private static func makeLog() -> (CommandLog?, SpawnError?) {
        do throws(SystemCallError) { return (try CommandLog(), nil) } catch {
            return (nil, SpawnError(program: "a file for the command's output", code: error.code))
        }
    }

    /// A record for what starts now in a process that others have before and after it.
    func record(of content: String) -> CommandRecord {
        storms.commandBegins()
        return CommandRecord(
            id: Self.identifier(), content: content, startedAt: Self.now(), memory: memory, sharesProcess: true)
    }

    /// Has its time counted when it ends.
    func measure(_ record: CommandRecord, as execution: Meter.Execution) {
        guard let meter else { return }
        record.whenEnded { meter.note(execution, isSuccess: $0, milliseconds: $1) }
    }

    /// Sends TERM to all that the command has started, and KILL to what is left after `patience`.
    /// - Returns: false when the command is unknown or has ended.
    func interrupt(_ id: String) async -> Bool {
        guard let record = registry[id], let found = await record.terminate() else { return false }
        Task {
            try? await Task.sleep(for: Self.patience)
            record.finishOff(found)
        }
        return true
    }

    /// Kills the command after its time limit; 0 is no limit.
    func limit(_ record: CommandRecord, milliseconds: Int64) {
        guard milliseconds > 0 else { return }
        // A command that has ended is not kept, with its log, for as long as it might have run.
        Task { [weak record] in
            try? await Task.sleep(for: .milliseconds(milliseconds))
            record?.kill(because: "the command ran into its time limit of \(milliseconds) ms")
        }
    }

    static func identifier() -> String {
        String(decoding: Identifier.uuid().utf8.filter { $0 != UInt8(ascii: "-") }, as: UTF8.self)
    }
}
