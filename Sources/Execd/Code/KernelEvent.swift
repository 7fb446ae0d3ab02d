/// What runs the code of one context, one run at a time.
protocol CodeKernel: AnyObject, Sendable {
    /// Begins a run. The caller reads the events to their end before it begins another.
    func execute(_ code: String) async -> KernelRun
    /// Ends the present run, if there is one: soon, and at the cost of the kernel's state where it does not obey. Does not
    /// wait.
    func interrupt()
    /// Ends it, and the present run with it.
    func close() async
}

/// One run. The stream ends when the kernel is free for the next.
struct KernelRun: Sendable {
    let events: AsyncStream<KernelEvent>
    /// To be called for each event that was read: a client that does not read must not make execd hold what a program prints.
    let consumed: @Sendable (KernelEvent) -> Void
}

/// What comes of a run.
enum KernelEvent: Hashable, Sendable {
    case output(OutputStream, [UInt8])
    /// A value to be shown, by MIME type.
    case result(ResultBundle)
    /// The number of the run, as the kernel counts.
    case count(Int)
    /// Why it did not succeed. More output may follow.
    case failed(CodeFailure)

    /// How much of execd's memory it takes, in bytes.
    var size: Int {
        switch self {
        case .output(_, let bytes): bytes.count
        case .result(let bundle): bundle.size
        case .count: 64
        case .failed(let failure):
            failure.traceback.reduce(64 + failure.name.utf8.count + failure.value.utf8.count) { $0 + $1.utf8.count }
        }
    }
}

/// An error as the language tells of it. What came is cut to what an event may hold.
struct CodeFailure: Hashable, Sendable {
    let name: String
    let value: String
    let traceback: [String]

    private static let maxName = 256, maxValue = 16 << 10, maxLines = 100, maxLine = 4096

    init(_ name: String, _ value: String, traceback: [String] = []) {
        let name = name.isEmpty ? "Error" : Self.cut(name, Self.maxName)
        self.name = name
        // A bare number would be taken for the exit code of a command.
        self.value = Int(value) == nil ? Self.cut(value, Self.maxValue) : "\(name): \(value)"
        // The last lines say what was wrong.
        self.traceback = traceback.suffix(Self.maxLines).map { Self.cut($0, Self.maxLine) }
    }

    private static func cut(_ text: String, _ length: Int) -> String {
        text.utf8.count <= length ? text : String(text.unicodeScalars.prefix(length))
    }

    static func kernelDied(_ reason: String) -> CodeFailure {
        CodeFailure("KernelDied", "\(reason); variables are lost, and the next run begins afresh")
    }

    static let interrupted = CodeFailure("KeyboardInterrupt", "the run was interrupted")
}
