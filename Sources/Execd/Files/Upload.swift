import Synchronization

/// One upload: pairs of a metadata and a file part, in this order. All files are put in place together when the whole
/// body has arrived; until then none is visible. Every call may block on the disk.
final class Upload: @unchecked Sendable {
    /// A metadata part (docs/wire.md#files).
    private struct Metadata: Decodable {
        var path: String
        var rights: FileRights

        private enum Key: CodingKey { case path }

        init(from decoder: any Decoder) throws {
            path = try decoder.container(keyedBy: Key.self).decode(String.self, forKey: .path)
            rights = try FileRights(from: decoder)
        }
    }

    private enum Part {
        case metadata([UInt8])
        case file(StagedFile, FileRights.Resolved)
        case other
    }

    private struct State {
        var parser: MultipartParser
        /// Metadata of the files that have not arrived yet.
        var metadata: [(path: String, rights: FileRights.Resolved)] = []
        var part: Part?
        var complete: [StagedFile] = []
    }

    /// The longest metadata part, in bytes.
    static let maxMetadata = 64 << 10

    private let expansion: PathExpansion
    private let names: Accounts
    /// Held whenever `state` is touched.
    private let lock = Mutex(())
    private var state: State

    init(boundary: String, expansion: PathExpansion, names: Accounts) {
        self.expansion = expansion
        self.names = names
        state = State(parser: MultipartParser(boundary: boundary))
    }

    /// Consumes the next bytes of the body.
    func consume(_ bytes: UnsafeRawBufferPointer) throws {
        try lock.withLock { _ in
            var parser = state.parser
            do {
                try parser.push(bytes, handle)
                state.parser = parser
            } catch let error as MultipartParser.MultipartError {
                throw FileError.invalidFile(error.description)
            }
        }
    }

    /// Call at the end of the body: puts the files in place.
    func finish() throws {
        try lock.withLock { _ in
            do throws(MultipartParser.MultipartError) {
                try state.parser.finish()
            } catch {
                throw FileError.invalidContent(error.description)
            }
            guard state.metadata.isEmpty else { throw FileError.invalidFile("a metadata part has no file part") }
            guard !state.complete.isEmpty else { throw FileError.invalidFile("the form has no files") }
            while let file = state.complete.first {
                try file.commit()
                state.complete.removeFirst()
            }
        }
    }

    /// Removes everything that is not in place yet.
    func discard() {
        lock.withLock { _ in
            state.part = nil
            // The last one first, since it may be in a folder that was made for an earlier one.
            while !state.complete.isEmpty { state.complete.removeLast() }
        }
    }

    private func handle(_ event: MultipartParser.Event) throws {
        switch (event, state.part) {
        case (.part(let headers), _): state.part = try begin(headers)
        case (.bytes(let bytes), .metadata(let earlier)):
            guard earlier.count + bytes.count <= Self.maxMetadata else {
                throw FileError.invalidMetadata("metadata is longer than \(Self.maxMetadata) bytes")
            }
            state.part = .metadata(earlier + bytes)
        case (.bytes(let bytes), .file(let file, _)): try file.write(bytes)
        case (.partEnded, .metadata(let bytes)):
            state.metadata.append(try decode(bytes))
            state.part = nil
        case (.partEnded, .file(let file, let rights)):
            defer {
                state.part = nil
                state.complete.append(file)
            }
            try file.complete(rights)
        case (_, .other), (_, nil): break
        }
    }

    private func begin(_ headers: MultipartHeaders) throws -> Part {
        switch headers.name {
        case "metadata": return .metadata([])
        case "file":
            guard !state.metadata.isEmpty else {
                throw FileError.invalidFile("a file part has no metadata before it")
            }
            let (path, rights) = state.metadata.removeFirst()
            return .file(try StagedFile(path), rights)
        default: return .other
        }
    }

    private func decode(_ bytes: [UInt8]) throws -> (String, FileRights.Resolved) {
        do {
            let metadata = try RequestBody.decode(Metadata.self, from: bytes)
            return (try expansion(metadata.path), try metadata.rights.resolved(names))
        } catch let error as RequestBodyError {
            throw FileError.invalidMetadata("metadata: \(error)")
        } catch FileError.invalidRequest(let text) {
            throw FileError.invalidMetadata("metadata: \(text)")
        }
    }
}
