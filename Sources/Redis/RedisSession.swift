import NIOCore
import NIOPosix
import System

/// One connection to a Redis server: one command at a time.
package struct RedisSession: ~Copyable {
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var reader = RESPReader()

    private static let connectTimeout = TimeAmount.seconds(3)

    private init(
        _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        self.inbound = inbound
        self.outbound = outbound
    }

    /// Connects, authenticates, runs `body`, and closes.
    /// - Parameter silence: how long the server may take to answer a command; longer than any blocking command waits.
    /// - Throws: `RedisError`, or an error of the network.
    package static func with<Result: Sendable>(
        _ address: RedisAddress, silence: TimeAmount,
        _ body: (inout RedisSession) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: address.host, port: address.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls = address.tls {
                        try channel.pipeline.syncOperations.addHandler(try tls.handler(host: address.host))
                    }
                    try channel.pipeline.syncOperations.addHandlers([
                        IdleStateHandler(allTimeout: silence), SilenceWatch(RedisError.silent),
                    ])
                    return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var session = RedisSession(inbound.makeAsyncIterator(), outbound)
            if let password = address.password {
                try await session.send(["AUTH"] + (address.user.map { [$0] } ?? []) + [password])
            }
            if address.database != 0 { try await session.send(["SELECT", String(address.database)]) }
            return try await body(&session)
        }
    }

    /// Sends a command and waits for its answer.
    /// - Throws: `RedisError.server` for an error that the server answers; the connection remains usable.
    @discardableResult
    package mutating func send(_ words: [String]) async throws -> RESPValue {
        try await outbound.write(ByteBuffer(bytes: RESPValue.command(words)))
        while true {
            let value: RESPValue?
            do { value = try reader.next() } catch { throw RedisError.protocolViolation }
            if let value {
                if case .error(let text) = value { throw RedisError.server(text) }
                return value
            }
            guard let bytes = try await inbound.next() else { throw RedisError.ended }
            reader.append(bytes.readableBytesView)
        }
    }
}

extension BackOff {
    /// Between two attempts to connect to a server.
    package static let redis = BackOff(first: 100, longest: 5000)
}
