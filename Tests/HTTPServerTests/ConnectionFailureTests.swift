import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct ConnectionFailureTests {
    @Test func `a refused connection is said in the kernel's words, without the functions of a library`() async throws {
        let api = HTTPAPI(.decoded, logger: Logger(label: "test"), render: { _, _ in .empty(.notFound) })
        let port = try await withServer(application: api) { $0.port! }
        let error = await #expect(throws: (any Error).self) {
            try await WebSocketDialer(host: "127.0.0.1", port: port).connect(
                "/ws", headers: ["host": "127.0.0.1"], on: MultiThreadedEventLoopGroup.singleton)
        }
        #expect(error.map { ConnectionFailure.reason($0) } == "Connection refused")
    }

    @Test func `others keep to what a person can use`() {
        let errors: [(any Error, String)] = [
            (IOError(errnoCode: ENOENT, reason: "connect(descriptor:addr:size:)"), "No such file or directory"),
            (ChannelError.connectTimeout(.seconds(2)), "no answer in time"),
            (HTTPParserError.invalidEOFState, "the answer is not HTTP"),
            (ListenError(place: "a:1", code: ENOENT), "cannot listen on a:1: No such file or directory"),
        ]
        for (error, said) in errors { #expect(ConnectionFailure.reason(error) == said) }
    }
}
