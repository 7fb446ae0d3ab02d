import NIOCore
import NIOPosix

/// Sends a text, waits until an expected one has come, sends the next, all on one connection.
struct DialogueClient {
    private let address: SocketAddress

    init(_ address: SocketAddress) { self.address = address }

    /// - Parameters:
    ///   - steps: what to send and what must have come, since it was sent, before the next.
    ///   - between: done after the steps, before those of `then`.
    /// - Returns: everything received, also where the server ended early.
    func run(
        _ steps: [(send: String, awaited: String)], between: @Sendable () async throws -> Void = {},
        then: @Sendable () -> [(send: String, awaited: String)] = { [] }
    ) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(to: address) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var received = ""
            var iterator = inbound.makeAsyncIterator()
            func play(_ steps: [(send: String, awaited: String)]) async throws {
                for step in steps {
                    var answer = ""
                    try await outbound.write(ByteBuffer(string: step.send))
                    while !answer.contains(step.awaited) {
                        guard let part = try await iterator.next() else { return received += answer }
                        answer += String(buffer: part)
                    }
                    received += answer
                }
            }
            try await play(steps)
            try await between()
            try await play(then())
            return received
        }
    }
}

extension String {
    /// How often a text occurs.
    func components(separated text: String) -> Int { ranges(of: text).count }
}
