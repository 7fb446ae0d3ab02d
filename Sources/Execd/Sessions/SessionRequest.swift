/// The body of `POST /session` (docs/wire.md#sessions); clients may send none.
struct SessionRequest: Decodable, Hashable, Sendable {
    var cwd: String?

    static func decode(_ body: [UInt8]) throws(RequestBodyError) -> SessionRequest {
        body.isEmpty ? SessionRequest() : try RequestBody.decode(SessionRequest.self, from: body)
    }
}

/// The body of `POST /session/{id}/run`.
struct SessionRunRequest: Decodable, Hashable, Sendable {
    var command: String
    /// The folder to change to before the run, and stay in.
    var cwd: String?
    /// Milliseconds; 0 or absent is no limit.
    var timeout: Int64?

    static func decode(_ body: [UInt8]) throws(RequestBodyError) -> SessionRunRequest {
        let request = try RequestBody.decode(SessionRunRequest.self, from: body)
        guard request.command.contains(where: { !$0.isWhitespace }) else { throw RequestBodyError("command is empty") }
        guard !request.command.utf8.contains(0) else {
            throw RequestBodyError("a NUL byte cannot be passed to a process")
        }
        try TimeLimit.check(request.timeout)
        return request
    }
}
