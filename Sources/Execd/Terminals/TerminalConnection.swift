import HTTPServer
import NIOCore

/// One client's WebSocket to a terminal, from its handshake to its end.
struct TerminalConnection: Sendable {
    let terminal: Terminal
    let query: TerminalQuery
    let socket: WebSocket

    /// - Throws: the close frame that ends it, or `WebSocketGone`.
    func serve() async throws {
        let client = try await attach()
        try await withThrowingTaskGroup(of: Void.self) { group in
            // What waits to be sent to the client ends with it.
            defer { terminal.detach(client) }
            if query.role == .holder { try await launch(for: client) }
            group.addTask { try await deliver(to: client) }
            for try await message in socket.messages {
                guard terminal.take(TerminalMessage(message), from: client) else { continue }
                await terminal.inputSettles()
            }
        }
    }

    private func attach() async throws -> Terminal.ClientID {
        do {
            return try terminal.attach(query) { close, time in
                Task { await socket.close(close, within: TimeAmount(time)) }
            }
        } catch let refusal as TerminalRefusal {
            // Others were quicker than this one's handshake.
            let error = ExecdError(refusal, terminal.id)
            try await say(.error(error.code, error.message))
            throw WebSocketClose(1013, error.code)
        }
    }

    private func launch(for client: Terminal.ClientID) async throws {
        do throws(SpawnError) { try await terminal.launch(for: client, query.mode) } catch {
            try await say(.error("START_FAILED", "\(error)"))
            throw WebSocketClose(1011, "START_FAILED")
        }
    }

    private func deliver(to client: Terminal.ClientID) async throws {
        while true {
            switch await terminal.next(for: client) {
            case .bytes(let bytes): try await socket.send(.binary(bytes))
            case .connected(let mode, let role): try await say(.connected(terminal.id, mode, role))
            case .notice(let notice): try await say(notice)
            case .end(.exited(let exit)):
                try await say(.exit(exit))
                return await socket.close(WebSocketClose(1000, "process exited"))
            case .end(.inputFailed(let reason)):
                try await say(.error("STDIN_WRITE_FAILED", reason))
                return await socket.close(WebSocketClose(1011, "STDIN_WRITE_FAILED"))
            case .end(.readOnly): return await socket.close(WebSocketClose(1008, "READ_ONLY"))
            // Whoever has taken its place closes it.
            case .end(.takenOver), .end(.gone): return
            }
        }
    }

    private func say(_ notice: TerminalNotice) async throws { try await socket.send(.text(notice.text)) }
}

extension TerminalMessage {
    init(_ message: WebSocketMessage) {
        switch message {
        case .text(let text): self.init(text: text)
        case .binary(let bytes): self.init(binary: Array(bytes.readableBytesView))
        }
    }
}

extension TimeAmount {
    fileprivate init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .milliseconds(seconds * 1000 + attoseconds / 1_000_000_000_000_000)
    }
}
