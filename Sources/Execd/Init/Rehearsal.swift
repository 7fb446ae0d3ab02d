import System

#if canImport(Glibc)
    import Glibc
#endif

/// Does once, in a sandbox that was made ahead of its use, what its use will ask for first. The first time costs milliseconds: the
/// kernel maps pages of the program, and the runtime searches it for types.
enum Rehearsal {
    /// - Parameter port: where execd listens.
    static func run(_ environment: CommandEnvironment, port: Int, program: String = "/proc/self/exe") async {
        readTold()
        let question = Array(#"{"command":"none","envs":{"A":"b"}}"#.utf8)
        guard var command = try? CommandRequest.decode(question) else { return }
        // This program, since nothing of the sandbox's runs before its use.
        (command.command, command.argv) = (nil, [program, "--version"])
        let spec = command.spec(in: environment)
        let (events, continuation) = AsyncStream<ProcessEvent>.makeStream()
        let started = try? await SpawnThreads.run {
            try ProcessLoop.shared.start(spec, .output) { event in
                continuation.yield(event)
                if case .ended = event { continuation.finish() }
            }
        }
        guard started != nil else { return }
        var texts = TextAssembler()
        for await case .output(_, let bytes) in events { _ = texts.append(bytes) }
        for text in texts.finish() { _ = StreamEvent.output(.standardOutput, text, at: 0).record }
        _ = StreamEvent.completed(after: 1, at: 0).record
        try? await SpawnThreads.run { ask(port) }
    }

    /// What init does as well, once it is told.
    static func readTold() {
        _ = try? InitRequest.decode(
            Array(#"{"sandboxId":"none","generation":1,"envs":{"A":"b"},"entrypoint":["none"]}"#.utf8))
    }

    /// Gets an answer over HTTP. To connect to no address is to connect to this machine.
    private static func ask(_ port: Int) {
        guard let port = UInt16(exactly: port),
            let connection = try? FileDescriptor(socket(AF_INET, Self.stream, 0)),
            RawSocketAddress(everywhereIPv4: true, port: port).connect(connection.number) == 0
        else { return }
        let question = "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        try? File.write(question.utf8, to: connection.number)
        guard FileDescriptor.isReadable(connection.number, within: 1000) else { return }
        _ = try? File.read(connection.number)
    }

    private static let stream = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
}
