import NIOCore
import Spelling
import System

@testable import Execd

/// What clients of terminals send, and a terminal's state under any order of events.
enum TerminalFuzz {
    static func terminal(_ bytes: UnsafeRawBufferPointer) {
        guard let kind = bytes.first else { return }
        let rest = Array(bytes.dropFirst())
        switch kind & 7 {
        case 0: message(TerminalMessage(binary: rest), longest: rest.count)
        case 1: message(TerminalMessage(text: String(decoding: rest, as: UTF8.self)), longest: rest.count * 3)
        case 2: query(String(decoding: rest, as: UTF8.self))
        case 3:
            if let request = try? TerminalRequest.decode(rest) {
                promise(request.size.columns > 0 && request.size.rows > 0, "a terminal without a size")
                _ = VariableReferences.expand(request.cwd ?? "", ["HOME": "/root"])
            }
        default: steps(rest)
        }
    }

    private static func message(_ message: TerminalMessage, longest: Int) {
        switch message {
        case .input(let bytes): promise(!bytes.isEmpty && bytes.count <= longest, "input from nowhere")
        case .resize(let size): promise(size.columns > 0 && size.rows > 0, "a terminal without a size")
        case .signal(let number): promise(TerminalMessage.signals.values.contains(number), "a signal of its own")
        case .unknown(let type): promise(type.count <= 64, "a long echo")
        case .ping, .nothing: break
        }
    }

    private static func query(_ text: String) {
        let pairs = text.split(separator: "&").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
        let query = TerminalQuery { name in pairs.first { $0.first == name }.map { $0.count > 1 ? $0[1] : "" } }
        promise(query.since >= 0, "an offset before the first byte")
    }

    /// Each byte is a step. Every client's bytes have to be those of the output from its offset on.
    private static func steps(_ bytes: [UInt8]) {
        var state = TerminalState(), output: [UInt8] = [], places: [TerminalState.ClientID: Int] = [:]
        var launch: Int?, left = 64 << 10
        for byte in bytes {
            let argument = Int(byte >> 3)
            switch byte & 7 {
            case 0, 1, 2, 3:
                let count = argument * argument + 1
                let new = (0..<count).map { UInt8(truncatingIfNeeded: output.count + $0) }
                output += new
                state.append(new, of: byte & 1 == 0 ? .standardOutput : .standardError) { wanted in
                    guard wanted <= left else { return false }
                    left -= wanted
                    return true
                }
            case 4:
                var query = TerminalQuery()
                (query.takesOver, query.since) = (argument & 1 == 1, output.count - argument)
                if argument & 2 == 2 { query.role = .viewer }
                query.since = max(0, query.since)
                guard let (client, _) = try? state.attach(query) else { continue }
                places[client] = query.since
                if query.role == .holder { launch = state.launch(for: client, .pipe) ?? launch }
            case 5: if let number = launch { _ = state.launched(number) }
            case 6: argument & 1 == 0 ? state.ended(.exited(0)) : state.failInput("")
            default: places.keys.sorted().first.map { argument & 1 == 0 ? state.detach($0) : state.tell($0, .pong) }
            }
            promise(state.ring.end == output.count, "bytes that were not counted")
            for client in places.keys { deliver(&state, client, &places, output) }
        }
    }

    private static func deliver(
        _ state: inout TerminalState, _ client: TerminalState.ClientID,
        _ places: inout [TerminalState.ClientID: Int], _ output: [UInt8]
    ) {
        while let delivery = state.next(for: client) {
            switch delivery {
            case .connected, .notice: break
            case .end:
                state.detach(client)
                places[client] = nil
                return
            case .bytes(var frame):
                let kind = frame.readInteger(as: UInt8.self)
                if kind == 3 {
                    let offset = Int(frame.readInteger(as: Int64.self) ?? -1)
                    promise(offset >= places[client]!, "bytes that it has had")
                    places[client] = offset
                }
                let start = places[client]!, payload = Array(frame.readableBytesView)
                promise(!payload.isEmpty && start + payload.count <= output.count, "a frame of nothing")
                promise(Array(output[start..<start + payload.count]) == payload, "other bytes")
                places[client] = start + payload.count
            }
        }
        promise(state.clients[client] == nil || places[client] == output.count, "bytes that never come")
    }
}
