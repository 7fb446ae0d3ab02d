/// The body of `POST /code/context` (docs/wire.md#code).
struct CodeContextRequest: Decodable, Hashable, Sendable {
    /// Absent or empty: python.
    var language: String?
    /// The folder that its process starts in; made where it is missing.
    var cwd: String?

    static func decode(_ body: [UInt8]) throws(RequestBodyError) -> CodeContextRequest {
        body.isEmpty ? CodeContextRequest() : try RequestBody.decode(CodeContextRequest.self, from: body)
    }
}

/// The body of `POST /code`.
struct RunCodeRequest: Decodable, Hashable, Sendable {
    struct Context: Decodable, Hashable, Sendable {
        /// nil: the language's default context.
        var id: String?
        var language: String?
        /// The folder of a default context that this run makes.
        var cwd: String?
    }

    var code: String
    var context: Context?

    static func decode(_ body: [UInt8]) throws(RequestBodyError) -> RunCodeRequest {
        var request = try RequestBody.decode(RunCodeRequest.self, from: body)
        guard request.code.contains(where: { !$0.isWhitespace }) else { throw RequestBodyError("code is empty") }
        if request.context?.id?.isEmpty == true { request.context?.id = nil }
        return request
    }
}
