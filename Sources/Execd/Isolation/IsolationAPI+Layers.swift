import HTTPServer
import NIOCore
import NIOHTTP1

/// What a session has changed in its overlays: as an archive, and carried over to the folders below.
extension IsolationAPI {
    func addLayers(to http: inout HTTPAPI) {
        http.on(.GET, "/v1/isolated/session/{session_id}/diff") { try await diff($0) }
        http.on(.POST, "/v1/isolated/session/{session_id}/commit") { try await commit($0) }
    }

    private func layers(of session: IsolatedSession) async throws -> [(upper: String, path: String)] {
        guard let host = sessions.host else { throw Self.unavailable(try await sessions.support()) }
        let layers = IsolatedSessions.layers(of: session, on: host)
        guard !layers.isEmpty else {
            throw ExecdError(.notFound, "FILE_NOT_FOUND", "session \(session.id) has no overlay whose changes are kept")
        }
        return layers
    }

    /// `GET …/diff`
    private func diff(_ request: HTTPRequest) async throws -> Reply {
        let session = try await living(request)
        let layers = try await layers(of: session)
        let work = FileWork(), most = sessions.settings.diffMaxBytes
        let archive = try await work {
            var total: Int64 = 0
            for layer in layers {
                guard let size = LayerArchive.size(of: layer.upper, upTo: most), size <= most - total else {
                    throw ExecdError(
                        .payloadTooLarge, "RUNTIME_ERROR",
                        "session \(session.id) has changed more than \(most) bytes")
                }
                total += size
            }
            return try LayerArchive(layers)
        }
        return .stream(.ok, headers: ["content-type": "application/gzip"]) { writer in
            while true {
                let bytes = try await work { try archive.next() }
                guard !bytes.isEmpty else { break }
                try await writer.write(ByteBuffer(bytes: bytes))
            }
        }
    }

    private struct CommitRequest: Decodable {
        var strategy: String?
        var reset_upper_after: Bool?
    }

    /// `POST …/commit`, between two runs.
    private func commit(_ request: HTTPRequest) async throws -> Reply {
        let body = try await request.wholeBody()
        let session = try await living(request)
        let wanted = body.isEmpty ? CommitRequest() : try RequestBody.decode(CommitRequest.self, from: body)
        guard wanted.strategy == nil || wanted.strategy == "overwrite" else {
            throw ExecdError.invalid("strategy must be overwrite, which is the only one")
        }
        // The kernel does not expect an overlay's own side to change under it: what a running session wrote later would be lost.
        guard wanted.reset_upper_after != true else {
            throw ExecdError.invalid("changes cannot be reset while their session lives: delete it and create another")
        }
        let layers = try await layers(of: session)
        let turn = try Self.enter(session)
        defer { session.leave(turn) }
        guard await turn.comes else { throw Self.unknown("session", session.id) }
        let count = try await FileWork()({
            var commit = LayerCommit()
            for layer in layers { try commit.carry(layer.upper, to: layer.path) }
            return commit.count
        })
        return .json(.ok, count)
    }
}
