import HTTPClient
import HTTPServer
import JSON
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import System

/// A terminal of a sandbox that this client holds (docs/execd.md#terminals).
package final class SandboxTerminal: Sendable {
    /// A message can be the whole of what execd keeps of a terminal's output, and its offset.
    private static let maxMessage = 2 << 20
    private static let patience = Duration.seconds(3)

    private let execd: SandboxPort
    private let id: String
    private let socket: WebSocket

    /// Makes one. Its program starts.
    /// - Parameters:
    ///   - words: the program; empty for a shell.
    ///   - variables: of the program.
    package init(
        at execd: SandboxPort, size: TerminalSize, words: [String], folder: String?, variables: JSONValue?
    ) async throws(ClientFailure) {
        self.execd = execd
        var body = JSONObject()
        body.set("cols", .integer(Int(size.columns)))
        body.set("rows", .integer(Int(size.rows)))
        if !words.isEmpty { body.set("command", .string(ShellWords.command(words))) }
        if let folder { body.set("cwd", .string(folder)) }
        if let variables { body.set("envs", variables) }
        let made = try await execd.ask("POST", "/pty", .object(body))
        guard case .string(let id)? = made?["session_id"] else {
            throw ClientFailure(.notUnderstood, "the sandbox made a terminal without an id")
        }
        self.id = id
        do { socket = try await Self.connect(execd, "/pty/\(PercentEncoding.encode(id))/ws") } catch {
            _ = try? await execd.ask("DELETE", "/pty/\(PercentEncoding.encode(id))")
            throw ClientFailure(.unreachable, "cannot connect to the terminal: \(ConnectionFailure.reason(error))")
        }
    }

    private static func connect(_ execd: SandboxPort, _ path: String) async throws -> WebSocket {
        let origin = execd.api.origin, request = execd.request("GET", path)
        var dialer = WebSocketDialer(host: origin.host, port: Int(origin.port))
        dialer.limits.maxMessage = maxMessage
        if origin.isSecure {
            let context = try NIOSSLContext(configuration: authorities())
            // An address is no server name (RFC 6066); a certificate is held to it all the same.
            let isAddress = origin.host.contains(":") || origin.host.utf8.allSatisfy { "0123456789.".utf8.contains($0) }
            dialer.encryption = {
                try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : origin.host)
            }
        }
        var headers: HTTPHeaders = ["host": origin.authority]
        for (name, value) in execd.api.peer.headers + request.headers { headers.add(name: name, value: value) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        return try await dialer.connect(request.target, headers: headers, on: group)
    }

    /// The same that other requests believe (`ClientTLS.authorities`).
    private static func authorities() -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        // Read here: NIOSSL takes one folder at most, and none beside a file.
        let inFolders = ClientTLS.authoritiesFolder.map { list in
            AuthorityFolders.files(list).flatMap { (try? NIOSSLCertificate.fromPEMFile($0)) ?? [] }
        }
        if let file = ClientTLS.authoritiesFile {
            configuration.trustRoots = .file(file)
            if let inFolders { configuration.additionalTrustRoots = [.certificates(inFolders)] }
        } else if let inFolders {
            configuration.trustRoots = .certificates(inFolders)
        }
        return configuration
    }

    /// Calls `body` for each event until the program has ended.
    /// - Returns: its exit status.
    package func follow(_ body: (TerminalEvent) throws -> Void) async throws -> Int32 {
        do {
            for try await message in socket.messages {
                let event =
                    switch message {
                    case .text(let text): TerminalEvent(text: text)
                    case .binary(let bytes): TerminalEvent(binary: Array(bytes.readableBytesView))
                    }
                switch event {
                case .ended(let status): return status
                case .failed(let reason): throw ClientFailure(.refused, reason)
                case .output, .other: try body(event)
                }
            }
        } catch is WebSocketGone {}
        throw ClientFailure(.unreachable, "the connection to the sandbox was cut off")
    }

    /// What is typed. It waits while the sandbox takes no more.
    /// - Returns: whether anybody hears it.
    package func type(_ bytes: [UInt8]) async -> Bool {
        guard !bytes.isEmpty else { return true }
        return (try? await socket.send(.binary(ByteBuffer(bytes: [0] + bytes)))) != nil
    }

    package func resize(_ size: TerminalSize) async { try? await socket.send(.text(size.message)) }

    /// Ends what runs in it, if anybody answers within a few seconds.
    package func end() async {
        let (ends, end) = AsyncStream<Void>.makeStream()
        let asking = Task {
            _ = try? await execd.ask("DELETE", "/pty/\(PercentEncoding.encode(id))")
            await socket.close(within: .seconds(1))
            end.yield()
        }
        let clock = Task {
            try await Task.sleep(for: Self.patience)
            end.yield()
        }
        for await _ in ends { break }
        asking.cancel()
        clock.cancel()
    }
}
