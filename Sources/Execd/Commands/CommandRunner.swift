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
        memory: MemoryGroup = MemoryGroup(), meter: Meter? = nil
    ) {
        self.environment = environment
        self.maxLine = maxLine
        self.memory = memory
        self.meter = meter
        storms = StormWatch(memory: memory, registry: registry)
    }

    static func now() -> Int64 { Int64(SystemClock.wallMilliseconds()) }

    /// Starts a command; to be called on a thread of `SpawnThreads`.
    /// - Returns: its record and its events; a background command's output goes to its log.
    func start(_ request: CommandRequest) -> (record: CommandRecord, events: AsyncStream<ProcessEvent>) {
        let (events, continuation) = AsyncStream<ProcessEvent>.makeStream()
        let isBackground = request.background ?? false
        let (log, failure) = isBackground ? Self.makeLog() : (nil, nil)
        storms.commandBegins()
        let record = CommandRecord(
            id: Self.identifier(), content: request.content, startedAt: Self.now(), memory: memory, log: log,
            input: request.hasInput ? CommandInput() : nil)
        registry.add(record)
        measure(record, as: .command)
        do throws(SpawnError) {
            if let failure { throw failure }
            var spec = request.spec(in: environment)
            spec.environment[CommandRecord.marker] = record.id
            let process = try ProcessLoop.shared.start(spec, request.hasInput ? .pipes : .output) { event in
                record.input?.receive(event)
                switch event {
                case .output(_, let bytes):
                    guard !isBackground else { return record.append(bytes) }
                    record.produced(bytes.count)
                    continuation.yield(event)
                case .took, .refusedInput: break
                case .ended(let status):
                    record.ended(status, failure: nil, at: Self.now())
                    continuation.yield(event)
                    continuation.finish()
                }
            }
            record.began(process)
            record.input?.begin(
                process, first: Array((request.stdin ?? "").utf8), ends: !(request.stdin_open ?? false))
            limit(record, milliseconds: request.timeout ?? 0)
        } catch {
            record.ended(nil, failure: error.description, at: Self.now())
            continuation.finish()
        }
        return (record, events)
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
        Identifier.uuid().filter { $0 != "-" }
    }
}
