import JSON
import System

/// A message of a kernel's WebSocket (Jupyter's messaging protocol 5.3, as jupyter_server relays it: JSON with a `channel`).
struct JupyterMessage: Hashable, Sendable {
    let type: String
    /// The `msg_id` of the request that it answers; nil where it is about the kernel itself.
    let parent: String?
    let content: JSONObject

    static func == (left: JupyterMessage, right: JupyterMessage) -> Bool {
        left.type == right.type && left.parent == right.parent && left.content == right.content
    }
    func hash(into hasher: inout Hasher) { hasher.combine(type) }

    /// - Parameter text: a text frame's bytes. nil: no such message.
    init?(text: some Collection<UInt8>) {
        guard let value = try? JSONValue(text), case .string(let type)? = value["header"]?["msg_type"],
            case .object(let content)? = value["content"] ?? .object(JSONObject())
        else { return nil }
        self.type = type
        self.content = content
        if case .string(let parent)? = value["parent_header"]?["msg_id"] { self.parent = parent } else { parent = nil }
    }

    /// - Parameter binary: a binary frame's bytes: the number of parts and where each begins, as big-endian words of 32
    ///   bits, then the parts, of which the first is the JSON.
    init?(binary bytes: [UInt8]) {
        func word(_ index: Int) -> Int? {
            guard index >= 0, bytes.count >= 4, index <= (bytes.count - 4) / 4 else { return nil }
            return bytes[index * 4..<index * 4 + 4].reduce(0) { $0 << 8 | Int($1) }
        }
        guard let count = word(0), count > 0, let begin = word(1) else { return nil }
        let end = count > 1 ? word(2) : bytes.count
        guard let end, begin <= end, end <= bytes.count else { return nil }
        self.init(text: bytes[begin..<end])
    }

    /// An `execute_request`, as a text frame.
    /// - Parameter isSilent: whether the run is none that counts, and nothing of it is shown.
    static func executeRequest(
        _ id: String, session: String, code: String, isSilent: Bool = false, at now: Int64
    ) -> [UInt8] {
        message(
            "execute_request", id, session: session, channel: "shell", at: now,
            content: [
                "code": .string(code), "silent": .boolean(isSilent), "store_history": .boolean(!isSilent),
                "user_expressions": .object([:]), "allow_stdin": .boolean(false), "stop_on_error": .boolean(true),
            ])
    }

    private static func message(
        _ type: String, _ id: String, session: String, channel: String, at now: Int64, content: JSONObject
    ) -> [UInt8] {
        JSONValue.object([
            "channel": .string(channel),
            "header": .object([
                "msg_id": .string(id), "msg_type": .string(type), "session": .string(session),
                "username": .string("execd"), "version": .string("5.3"),
                "date": .string(InternetTime.text(milliseconds: now)),
            ]),
            "parent_header": .object([:]), "metadata": .object([:]), "buffers": .array([]), "content": .object(content),
        ]).encoded
    }
}

/// One run, as its messages tell of it. Ends when the kernel has both answered and become idle: each comes on a channel of
/// its own, and what was printed comes before the idleness.
struct JupyterExchange: Sendable {
    enum Outcome: Hashable, Sendable {
        case event(KernelEvent)
        /// The kernel's process has ended.
        case died
        /// It waits for somebody to type.
        case asksForInput
    }

    let id: String
    /// Whether the kernel has taken the code; before that it may not heed an interrupt.
    private(set) var hasBegun = false
    private(set) var isIdle = false
    private var hasReply = false

    init(id: String) { self.id = id }

    var isOver: Bool { isIdle && hasReply }

    mutating func take(_ message: JupyterMessage) -> [Outcome] {
        func text(_ name: String) -> String? {
            if case .string(let text)? = message.content[name] { text } else { nil }
        }
        if message.parent != id {
            let state = message.type == "status" ? text("execution_state") : nil
            // Of the kernel as a whole; everything else belongs to another run.
            return message.parent == nil && (state == "restarting" || state == "dead") ? [.died] : []
        }
        switch message.type {
        case "stream":
            guard let printed = text("text") else { return [] }
            return [.event(.output(text("name") == "stderr" ? .standardError : .standardOutput, Array(printed.utf8)))]
        case "execute_result": return count(of: message) + result(of: message)
        case "display_data", "update_display_data": return result(of: message)
        case "error": return [.event(.failed(CodeFailure(kernelError: message.content)))]
        case "execute_reply":
            hasReply = true
            guard text("status") == "ok" else {
                let failure =
                    text("status") == "error"
                    ? CodeFailure(kernelError: message.content) : CodeFailure("Aborted", "the kernel did not run it")
                return count(of: message) + [.event(.failed(failure))]
            }
            return count(of: message)
        case "execute_input":
            hasBegun = true
            return []
        case "status":
            switch text("execution_state") {
            case "idle":
                isIdle = true
                return []
            case "restarting", "dead": return [.died]
            default: return []
            }
        case "input_request": return [.asksForInput]
        default: return []
        }
    }

    private func count(of message: JupyterMessage) -> [Outcome] {
        guard case .integer(let number)? = message.content["execution_count"] else { return [] }
        return [.event(.count(number))]
    }

    private func result(of message: JupyterMessage) -> [Outcome] {
        guard case .object(let data)? = message.content["data"] else { return [] }
        return [.event(.result(ResultBundle(data)))]
    }
}
