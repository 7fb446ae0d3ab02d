import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import TestSupport
import Testing

@testable import HTTPServer

@Suite struct OutputProgressTests {
    /// Whether a client goes on at each look, of what was handed over and is unread by then.
    private func looks(_ first: (Int, Int), _ others: (handed: Int, unread: Int)..., least: Int = 100) -> [Bool] {
        var progress = OutputProgress(handed: first.0, unread: first.1, least: least)
        return others.map { progress.goesOn(handed: $0.handed, unread: $0.unread, least: least) }
    }

    @Test func `who takes enough between two looks goes on, and who does not is stalled`() {
        #expect(looks((1000, 900), (1000, 800)) == [true])
        // What is handed over meanwhile is not taken by that; and it counts from there.
        #expect(looks((1000, 800), (5000, 4799), (5000, 4699)) == [false, true])
    }

    @Test func `the last bytes are enough, however few`() {
        #expect(looks((1000, 3), (1000, 0)) == [true] && looks((1000, 3), (1000, 1)) == [false])
    }

    @Test func `no numbers trap`() {
        for (handed, unread) in [(Int.max, Int.max), (.max, 0), (.min, .max), (0, .min)] {
            var progress = OutputProgress(handed: handed, unread: unread, least: 1)
            _ = progress.goesOn(handed: unread, unread: handed, least: .max)
        }
    }
}

@Suite struct StalledClientTests {
    private static let get = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    private var limits: HTTPLimits {
        var limits = HTTPLimits()
        limits.stallTimeout = .milliseconds(50)
        return limits
    }

    /// More than the kernel keeps for a connection on both sides.
    private static let large = 64 << 20
    private static func pause(_ milliseconds: Int64) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        try await loop.scheduleTask(in: .milliseconds(milliseconds)) {}.futureResult.get()
    }

    /// What its reader does with each part, until it has all or the connection ends.
    private func read(_ address: SocketAddress, each: @Sendable () async throws -> Void) async throws -> Int {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(to: address) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: Self.get))
            var count = 0
            for try await part in inbound {
                count += part.readableBytes
                try await each()
            }
            return count
        }
    }

    @Test(arguments: ["whole", "streamed", "ahead"]) func `a client that leaves a large answer unread is cut off`(
        kind: String
    ) async throws {
        let (ends, end) = AsyncStream<Bool>.makeStream()
        let handler: HTTPHandler = { _, writer in
            do {
                let part = ByteBuffer(repeating: 1, count: kind == "whole" ? Self.large : 1 << 20)
                if kind == "whole" {
                    try await writer.respond(.ok, body: part)
                } else {
                    try await writer.start(.ok)
                    for _ in 0..<64 {
                        if kind == "ahead" { try await writer.writeAhead(part) } else { try await writer.write(part) }
                    }
                    try await writer.finish()
                }
                end.yield(false)
            } catch { end.yield(error as? HTTPBodyError == .clientGone) }
        }
        let wasCut = try await withServer(limits: limits, handler: handler) { address in
            let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.autoRead, value: false).connect(to: address).get()
            try await client.writeAndFlush(ByteBuffer(string: Self.get)).get()
            for await wasCut in ends { return wasCut }
            return false
        }
        #expect(wasCut)
    }

    @Test func `a client that reads slowly gets all of it`() async throws {
        var limits = limits
        // It takes several times as long, and a busy machine is no stalled client.
        limits.stallTimeout = .seconds(2)
        let count = try await withServer(
            limits: limits,
            handler: { _, writer in
                try? await writer.respond(.ok, body: ByteBuffer(repeating: 1, count: 16 << 20))
            }
        ) { address in try await read(address) { try await Self.pause(12) } }
        #expect(count > 16 << 20)
    }

    @Test func `a stream with nothing to say is left alone for as long as it likes`() async throws {
        let text = try await withServer(
            limits: limits,
            handler: { _, writer in
                try? await writer.start(.ok, headers: ["content-type": "text/event-stream"])
                for part in ["data: 1\n\n", "data: 2\n\n"] {
                    try? await writer.write(ByteBuffer(string: part))
                    try? await Self.pause(200)
                }
                try? await writer.finish()
            }
        ) { try await RawClient($0).exchange(Self.get) }
        #expect(text.contains("data: 1") && text.contains("data: 2") && text.hasSuffix("0\r\n\r\n"))
    }
}

@Suite struct BodyRateTests {
    @Test func `a rate is bytes a second over the whole of its time`() {
        var limits = HTTPLimits()
        limits.setBodyRate(512)
        #expect(limits.bodyProgress == 512 * 20 && HTTPLimits().bodyProgress == limits.bodyProgress)
    }

    @Test func `a body that trickles in below the rate is cut, however long it goes on`() async throws {
        let (cuts, cut) = AsyncStream<Bool>.makeStream()
        var limits = HTTPLimits()
        (limits.bodyTimeout, limits.bodyProgress) = (.milliseconds(50), 1000)
        let wasCut = try await withServer(
            limits: limits,
            handler: { request, writer in
                let body = try? await request.body.collect(upTo: 1 << 20)
                cut.yield(body == nil)
                try? await writer.respond(.ok)
            }
        ) { address in
            let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: address)
                .get()
            let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
            try await client.writeAndFlush(ByteBuffer(string: head)).get()
            let trickle = client.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(1)) { _ in
                client.writeAndFlush(ByteBuffer(string: "x"), promise: nil)
            }
            defer { trickle.cancel() }
            for await wasCut in cuts { return wasCut }
            return false
        }
        #expect(wasCut)
    }
}
