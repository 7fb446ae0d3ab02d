import NIOCore
import NIOPosix

/// A raw client: what goes over the wire is what the test says, byte for byte.
public final class RawClient: Sendable {
    private let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>

    public init(_ address: SocketAddress) async throws {
        channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: address) {
            channel in
            channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
        }
    }

    /// Sends `text` and closes the connection.
    public func leave(after text: String) async throws {
        try await channel.executeThenClose { _, outbound in try await outbound.write(ByteBuffer(string: text)) }
    }

    /// Sends `text`, then collects until `done` is satisfied or the server closes.
    public func exchange(_ text: String, until done: @escaping @Sendable (String) -> Bool = { _ in false }) async throws
        -> String
    {
        try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            var received = ""
            for try await part in inbound {
                received += String(buffer: part)
                if done(received) { break }
            }
            return received
        }
    }
}
