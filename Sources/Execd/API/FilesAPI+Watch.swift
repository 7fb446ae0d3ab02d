import HTTPServer
import NIOCore
import NIOHTTP1
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// `GET /files/watch?path=&recursive=`: what changes in a folder, as a stream of events, until the client goes.
extension FilesAPI {
    private struct FileEvent: Encodable {
        var type: String
        /// Milliseconds since 1970.
        var timestamp: Int64
        var path: String?
        /// The path below the watched folder.
        var name: String?
        var is_directory: Bool?
        var text: String?
    }

    /// Bytes of notices read at a time; one has 272 at most.
    private static let maxNotices = 64 << 10

    func watch(_ request: HTTPRequest) async throws -> Reply {
        let path = try await self.path(request)
        let isRecursive: Bool
        switch request.query("recursive") ?? "" {
        case "", "false": isRecursive = false
        case "true": isRecursive = true
        default: throw FileError.invalidRequest("recursive must be true or false")
        }
        let watch = try await work { try FolderWatch(path, isRecursive: isRecursive) }
        return .stream(.ok, headers: ExecutionStream.headers) { writer in
            let channel = try await channel(try watch.descriptor())
            writer.whenClientGone { channel.channel.close(promise: nil) }
            writer.whenServerEnds { channel.channel.close(promise: nil) }
            try await channel.executeThenClose { notices, _ in
                let events = EventWriter(writer)
                try await events.send(of: FileEvent(type: "init", timestamp: CommandRunner.now(), path: path))
                let pings = StreamPings.begin(events)
                defer { pings.cancel() }
                for try await bytes in notices {
                    let outcomes = try await work { watch.outcomes(of: WatchNotice.parse(bytes.readableBytesView)) }
                    let now = CommandRunner.now()
                    for outcome in outcomes { try await events.send(of: Self.event(outcome, below: path, at: now)) }
                    if outcomes.last == .end { return }
                }
                guard writer.isEnding else { return }
                try await events.send(
                    of: FileEvent(type: "end", timestamp: CommandRunner.now(), path: path, text: "execd is stopping"))
            }
        }
    }

    private static func event(_ outcome: FolderWatch.Outcome, below root: String, at now: Int64) -> FileEvent {
        switch outcome {
        case .change(let change):
            let name = change.path.utf8.dropFirst(root == "/" ? 1 : root.utf8.count + 1)
            return FileEvent(
                type: change.kind.rawValue, timestamp: now, path: change.path,
                name: String(decoding: name, as: UTF8.self),
                is_directory: change.isFolder)
        case .missed(let path):
            return FileEvent(
                type: "overflow", timestamp: now, path: path,
                text: path == nil
                    ? "more happened than could be reported: list the folder again"
                    : "what happens below this folder is not reported: it cannot be watched")
        case .end: return FileEvent(type: "end", timestamp: now, path: root, text: "the folder was moved or deleted")
        }
    }

    /// Reads only as far as what came before has been sent.
    private func channel(_ descriptor: CInt) async throws -> NIOAsyncChannel<ByteBuffer, Never> {
        do {
            let channel = try await NIOPipeBootstrap(group: group)
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.maxNotices))
                .channelOption(.maxMessagesPerRead, value: 1)
                .takingOwnershipOfDescriptor(input: descriptor) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, Never>(
                            wrappingChannelSynchronously: channel,
                            configuration: .init(
                                backPressureStrategy: .init(lowWatermark: 1, highWatermark: 1), outboundType: Never.self
                            ))
                    }
                }
            return channel
        } catch {
            close(descriptor)
            throw error
        }
    }
}
