import Spelling

/// The body of `POST /pty` (docs/execd.md#terminals); clients may send none.
struct TerminalRequest: Decodable, Hashable, Sendable {
    /// Made with its parents where it is missing.
    var cwd: String?
    /// For the shell's `-c`; absent for one that asks.
    var command: String?
    var envs: [ExactName: String]?
    var uid: UInt32?
    var gid: UInt32?
    var cols: UInt16?
    var rows: UInt16?

    static func decode(_ body: [UInt8]) throws(RequestBodyError) -> TerminalRequest {
        guard !body.isEmpty else { return TerminalRequest() }
        let request = try RequestBody.decode(TerminalRequest.self, from: body)
        try CommandRequest.checkIdentity(request.uid, request.gid)
        try CommandRequest.checkTexts(envs: request.envs, [request.cwd, request.command].compactMap { $0 })
        guard request.cols != 0, request.rows != 0 else {
            throw RequestBodyError("cols and rows must be from 1 to 65535")
        }
        return request
    }

    var size: TerminalSize {
        TerminalSize(columns: cols ?? TerminalSize.standard.columns, rows: rows ?? TerminalSize.standard.rows)
    }
}

/// How a client wants to be connected: the query of `GET /pty/{id}/ws`.
struct TerminalQuery: Hashable, Sendable {
    var mode = TerminalMode.pty
    /// The offset of the first byte that it wants.
    var since = 0
    var takesOver = false
    var role = TerminalRole.holder

    init() {}

    init(_ query: (String) -> String?) {
        if query("pty") == "0" { mode = .pipe }
        takesOver = query("takeover") == "1"
        if query("mode") == "viewer" { role = .viewer }
        since = Self.offset(query("since") ?? "")
    }

    /// The digits at the beginning; 0 for anything else. What is negative is before the oldest byte, as 0 is or is not.
    private static func offset(_ text: String) -> Int {
        var offset = 0
        for byte in text.utf8 {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { break }
            let (product, overflows) = offset.multipliedReportingOverflow(by: 10)
            let (sum, overflowsToo) = product.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
            guard !overflows, !overflowsToo else { return .max }
            offset = sum
        }
        return offset
    }
}
