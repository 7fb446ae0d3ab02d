import NIOCore
import NIOPosix

/// Sends one byte at a time, each in a segment of its own, until the server answers.
struct SlowClient {
    private let address: SocketAddress

    private let pause: Duration?

    /// - Parameter pause: between bytes.
    init(_ address: SocketAddress, pause: Duration? = nil) {
        self.address = address
        self.pause = pause
    }

    func exchange(_ text: String) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(to: address) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            async let sent: Void = {
                for byte in text.utf8 {
                    do { try await outbound.write(ByteBuffer(bytes: [byte])) } catch { return }
                    if let pause { try? await Task.sleep(for: pause) }
                }
            }()
            var received = ""
            do { for try await part in inbound { received += String(buffer: part) } } catch {
                // Who closes with bytes unread resets; the answer has come before.
                guard !received.isEmpty else { throw error }
            }
            await sent
            return received
        }
    }
}
