import Synchronization

/// One upload: pairs of a metadata and a file part, by their order. The files take their places together, when the whole
/// body has come; until then nothing is to be seen of them. Every call may block on the disk.
final class Upload: Sendable {
    /// What the metadata part says (`FileMetadata` of the contract).
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
        /// Of the files that are still to come.
        var metadata: [(path: String, rights: FileRights.Resolved)] = []
        var part: Part?
        var complete: [StagedFile] = []
    }

    /// Bytes of one metadata part.
    static let maxMetadata = 64 << 10

    private let expansion: PathExpansion
    private let names: Accounts
    private let state: Mutex<State>

    init(boundary: String, expansion: PathExpansion, names: Accounts) {
        self.expansion = expansion
        self.names = names
        state = Mutex(State(parser: MultipartParser(boundary: boundary)))
    }

    /// Takes the next bytes of the body.
    func consume(_ bytes: [UInt8]) throws {
        try state.withLock { state in
            do {
                for event in try state.parser.push(bytes) { try handle(event, &state) }
            } catch let error as MultipartParser.MultipartError {
                throw FileError.invalidFile(error.description)
            }
        }
    }

    /// The body has ended: puts the files in their places.
    func finish() throws {
        try state.withLock { state in
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

    /// Takes everything away that is not in its place yet.
    func discard() {
        state.withLock { state in
            if case .file(let file, _) = state.part { file.discard() }
            for file in state.complete.reversed() { file.discard() }
            (state.part, state.complete) = (nil, [])
        }
    }

    private func handle(_ event: MultipartParser.Event, _ state: inout State) throws {
        switch (event, state.part) {
        case (.part(let headers), _): state.part = try begin(headers, &state)
        case (.bytes(let bytes), .metadata(let earlier)):
            guard earlier.count + bytes.count <= Self.maxMetadata else {
                throw FileError.invalidMetadata("metadata is longer than \(Self.maxMetadata) bytes")
            }
            state.part = .metadata(earlier + bytes)
        case (.bytes(let bytes), .file(let file, _)): try file.write(bytes)
        case (.partEnded, .metadata(let bytes)):
            state.metadata.append(try decode(bytes))
            state.part = nil
        case (.partEnded, .file(var file, let rights)):
            defer {
                state.part = nil
                state.complete.append(file)
            }
            try file.complete(rights)
        case (_, .other), (_, nil): break
        }
    }

    private func begin(_ headers: MultipartHeaders, _ state: inout State) throws -> Part {
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
