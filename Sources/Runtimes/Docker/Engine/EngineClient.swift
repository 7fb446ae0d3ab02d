import HTTPClient
import JSON

/// Talks to one container engine. It remembers nothing: every answer is the engine's present state.
struct EngineClient: Sendable {
    let address: EngineAddress
    private let peer: HTTPPeer
    private let http: HTTPClient

    /// - Parameters:
    ///   - patience: seconds without a byte after which the engine counts as away.
    ///   - total: milliseconds for a whole request; nil for as long as it takes.
    init(_ address: EngineAddress, patience: Int, total: UInt64? = nil, http: HTTPClient = .shared) {
        self.address = address
        self.http = http
        var peer = address.peer(patience: UInt64(clamping: patience) * 1000)
        peer.deadlines.total = total
        self.peer = peer
    }

    /// - Returns: the answer, whose status is one of success or of `call.expected`.
    @discardableResult
    func send(_ call: EngineCall) async throws(EngineFailure) -> ClientResponse {
        let answer: ClientResponse
        do throws(HTTPClientError) { answer = try await http.send(call.request, to: peer) } catch {
            throw EngineFailure(error, engine: "\(address)")
        }
        guard (200..<300).contains(answer.status) || call.expected.contains(answer.status) else {
            throw EngineFailure(status: answer.status, body: answer.body)
        }
        return answer
    }

    /// The same for a call that makes something. An engine that has been asked makes it, whether anybody waits or not: who is
    /// cancelled waits all the same, to know what there is to be removed.
    func make(_ call: EngineCall) async throws(EngineFailure) {
        let outcome = await Task { () -> Result<Void, EngineFailure> in
            do throws(EngineFailure) {
                try await self.send(call)
                return .success(())
            } catch { return .failure(error) }
        }.value
        try outcome.get()
    }

    /// The answer as a value.
    func get<Value: Decodable>(_ call: EngineCall, as type: Value.Type = Value.self) async throws(EngineFailure)
        -> Value
    {
        try Self.read(try await send(call).body)
    }

    /// The same; nil where there is no such thing.
    func find<Value: Decodable>(
        _ call: EngineCall, as type: Value.Type = Value.self
    ) async throws(EngineFailure) -> Value? {
        do throws(EngineFailure) { return try await get(call) } catch {
            guard error.isNotFound else { throw error }
            return nil
        }
    }

    static func read<Value: Decodable>(_ body: [UInt8]) throws(EngineFailure) -> Value {
        do { return try JSONValue(body).decode(Value.self) } catch {
            throw EngineFailure(.malformed, "the engine's answer cannot be read: \(error)")
        }
    }

    /// An answer that is read while it arrives.
    /// - Parameter patience: milliseconds without a byte after which it is given up; nil for as long as for others.
    func stream(_ call: EngineCall, patience: UInt64? = nil) async throws(EngineFailure) -> ResponseStream {
        var peer = peer
        if let patience { peer.deadlines.idle = patience }
        let stream: ResponseStream
        do throws(HTTPClientError) { stream = try await http.stream(call.request, to: peer) } catch {
            throw EngineFailure(error, engine: "\(address)")
        }
        guard (200..<300).contains(stream.status) else {
            var body: [UInt8] = []
            while body.count < Self.maxRefusal, let chunk = (try? await stream.body.next()) ?? nil { body += chunk }
            throw EngineFailure(status: stream.status, body: body)
        }
        return stream
    }

    /// Bytes of a refusal that are read.
    private static let maxRefusal = 64 << 10
}
