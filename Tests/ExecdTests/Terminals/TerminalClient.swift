import FoundationEssentials
import NIOCore
import TestSupport
import Testing

@testable import Execd

/// A client of one terminal, which keeps count of where it is as the contract says.
struct TerminalClient {
    private var socket: WebSocketClient
    /// Output so far; of a terminal, with plain line breaks.
    private(set) var bytes: [UInt8] = []
    private(set) var errors: [UInt8] = []
    /// The offset of the next byte; nil before the first frame that says one.
    private(set) var position: Int
    /// Offsets of frames that had one, and how long they were.
    private(set) var offsets: [(at: Int, count: Int)] = []
    private(set) var largest = 0
    /// How often the server has asked for a sign of life, which it does when nothing has come for half a minute.
    private var silences = 0
    private(set) var notices: [TerminalNotice] = []
    private(set) var close: WebSocketClient.Frame?

    init(_ socket: WebSocketClient, since: Int = 0) {
        self.socket = socket
        position = since
    }

    /// Without what bash tells the terminal about pasting.
    var text: String {
        String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "\n")
            .replacing("\u{1b}[?2004l\r", with: "").replacing("\u{1b}[?2004h", with: "")
    }
    var closing: String? {
        close.map { "\($0.closeCode ?? 0) " + String(decoding: $0.payload.dropFirst(2), as: UTF8.self) }
    }

    func type(_ text: String) async throws { try await socket.send(.init(2, [0] + Array(text.utf8))) }
    func say(_ json: String) async throws { try await socket.send(.text(json)) }
    func send(_ frame: WebSocketClient.Frame) async throws { try await socket.send(frame) }

    /// - Returns: false once the server has ended the connection.
    mutating func read() async throws -> Bool {
        guard let frame = try await socket.next() else { return false }
        var payload = frame.payload[...]
        switch frame.opcode {
        case 1: notices.append(try JSONDecoder().decode(TerminalNotice.self, from: Data(payload)))
        case 2:
            let kind = payload.removeFirst()
            if kind == 3 {
                let offset = payload.prefix(8).reduce(0) { $0 << 8 | Int($1) }
                payload = payload.dropFirst(8)
                offsets.append((offset, payload.count))
                position = offset
            } else {
                largest = max(largest, payload.count)
            }
            if kind == 2 { errors += payload } else { bytes += payload }
            position += payload.count
        case 8:
            close = frame
            try await socket.send(frame)
        case 9:
            silences += 1
            try await socket.send(.init(10, frame.payload))
        default: break
        }
        return true
    }

    /// Reads until the condition holds.
    /// - Returns: false if the server ended the connection first.
    mutating func read(until condition: (TerminalClient) -> Bool) async throws -> Bool {
        while !condition(self) {
            guard silences < 2, try await read() else { return false }
        }
        return true
    }

    mutating func read(until text: String) async throws {
        let found = try await read { $0.text.contains(text) }
        #expect(found, "\(self.text) has no \(text)")
    }

    mutating func readToEnd() async throws { while try await read() {} }
}

extension TerminalNotice: Decodable {
    private enum Key: String, CodingKey { case type, session_id, mode, role, exit_code, signal, error, code }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        self.init(
            type: try values.decode(String.self, forKey: .type),
            session_id: try values.decodeIfPresent(String.self, forKey: .session_id),
            mode: try values.decodeIfPresent(String.self, forKey: .mode).flatMap(TerminalMode.init),
            role: try values.decodeIfPresent(String.self, forKey: .role).flatMap(TerminalRole.init),
            exit_code: try values.decodeIfPresent(Int32.self, forKey: .exit_code),
            signal: try values.decodeIfPresent(String.self, forKey: .signal),
            error: try values.decodeIfPresent(String.self, forKey: .error),
            code: try values.decodeIfPresent(String.self, forKey: .code))
    }
}

extension LiveExecd {
    func terminal(_ body: String = "") async throws -> String {
        struct Created: Decodable { var session_id: String }
        let answer = try await call("POST", "/pty", body)
        #expect(answer.hasPrefix("HTTP/1.1 201 "), "\(answer)")
        let json = answer.split(separator: "\r\n\r\n", maxSplits: 1).last ?? ""
        return try JSONDecoder().decode(Created.self, from: Data(json.utf8)).session_id
    }

    /// The status line of a handshake that is refused.
    func refusal(_ id: String, _ query: String = "") async throws -> String {
        try await WebSocketClient.with(address, WebSocketClient.handshake("/pty/\(id)/ws\(query)")) { _, head in
            String(head.prefix { $0 != "\r\n" })
        }
    }

    func connect<Result>(
        _ id: String, _ query: String = "", since: Int = 0, _ body: (inout TerminalClient) async throws -> Result
    ) async throws -> Result {
        try await WebSocketClient.with(address, WebSocketClient.handshake("/pty/\(id)/ws\(query)")) { socket, head in
            #expect(head.hasPrefix("HTTP/1.1 101 "), "\(head)")
            var client = TerminalClient(socket, since: since)
            return try await body(&client)
        }
    }
}
