import FoundationEssentials
import NIOCore
import NIOHTTP1

extension HTTPResponseWriter {
    /// Sends a value as JSON, absent optionals left out.
    public func respondJSON(
        _ status: HTTPResponseStatus, _ value: some Encodable & Sendable, headers: HTTPHeaders = [:]
    ) async throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        var headers = headers
        headers.replaceOrAdd(name: "content-type", value: "application/json")
        try await respond(status, headers: headers, body: ByteBuffer(bytes: encoder.encode(value)))
    }

    /// Sends plain text.
    public func respondText(_ status: HTTPResponseStatus, _ text: String, headers: HTTPHeaders = [:]) async throws {
        var headers = headers
        headers.replaceOrAdd(name: "content-type", value: "text/plain; charset=utf-8")
        try await respond(status, headers: headers, body: ByteBuffer(string: text))
    }

    /// Sends an error in the contract's shape: `{"code","message"}`.
    public func respondError(
        _ status: HTTPResponseStatus, code: String, message: String, headers: HTTPHeaders = [:]
    ) async throws {
        try await respondJSON(status, ErrorEnvelope(code: code, message: message), headers: headers)
    }
}

/// The contract's error body.
public struct ErrorEnvelope: Codable, Sendable, Equatable {
    public var code: String
    public var message: String

    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }
}
