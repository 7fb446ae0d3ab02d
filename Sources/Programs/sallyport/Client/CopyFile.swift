import ArgumentParser
import Client
import HTTPClient
import ProgramSupport
import System

#if canImport(Glibc)
    import Glibc
#endif

/// `sallyport sandbox cp`
struct CopyFile: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cp", abstract: "Copy a file into a sandbox, or out of it.",
        discussion: "ID:/path is in a sandbox, - is standard input or output. A name that ends with / is a folder.")

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "What is copied.") var source: String
    @Argument(help: "Where to.") var destination: String

    func run() async throws {
        try await connection.run { api in
            switch (try CopyPlace(source), try CopyPlace(destination)) {
            case (.here(let file), .sandbox(let id, let path)):
                try await Self.upload(file, to: Self.place(path, named: file), in: id, api)
            case (.sandbox(let id, let path), .here(let file)):
                try await Self.download(path, of: id, to: Self.place(file, named: path), api)
            default:
                throw ClientFailure(.usage, "write ID:/path for one side, and a file of this machine for the other")
            }
        }
    }

    /// In a folder it keeps its name.
    private static func place(_ path: String, named source: String) throws(ClientFailure) -> String {
        guard path.hasSuffix("/") else { return path }
        let name = source.split(separator: "/").last.map(String.init) ?? ""
        guard !name.isEmpty, name != "-", name != "..", name != "." else {
            throw ClientFailure(.usage, "name the file after \(path)")
        }
        return path + name
    }

    private static func upload(_ file: String, to path: String, in id: String, _ api: ServerAPI) async throws {
        let source = try LocalFile(reading: file)
        let boundary =
            "sallyport-" + String(UInt64.random(in: 0...(.max)), radix: 36)
            + String(UInt64.random(in: 0...(.max)), radix: 36)
        let form = UploadForm(path: path, mode: source.mode, boundary: boundary)
        let execd = try await SandboxPort(api, sandbox: id, port: SandboxPort.execd)
        let pieces = UploadPieces(form, source)
        let length = source.size.map { form.head.count + $0 + form.tail.count }
        let request = execd.request(
            "POST", "/files/upload", headers: [("Content-Type", form.contentType)],
            body: .stream(length: length) { try await pieces.next() })
        let answer = try await api.stream(request)
        while try await answer.body.next() != nil {}
    }

    private static func download(_ path: String, of id: String, to file: String, _ api: ServerAPI) async throws {
        let execd = try await SandboxPort(api, sandbox: id, port: SandboxPort.execd)
        let answer = try await api.stream(execd.request("GET", "/files/download" + ServerAPI.query([("path", path)])))
        let target = try LocalFile(writing: file)
        do {
            while let piece = try await answer.body.next() { try target.write(piece) }
        } catch {
            target.discard()
            throw error
        }
        try target.publish()
    }
}

/// A form's bytes, piece by piece: its head, the file, its tail.
private actor UploadPieces {
    private enum State { case head, file, done }
    private let form: UploadForm
    private let source: LocalFile
    private let reader = WorkerPool(maxThreads: 1)
    private var state = State.head

    init(_ form: UploadForm, _ source: LocalFile) {
        self.form = form
        self.source = source
    }

    /// - Throws: what cannot be read on: a part of a file is no copy.
    func next() async throws -> [UInt8]? {
        switch state {
        case .head:
            state = .file
            return form.head
        case .file:
            let piece = try await reader.run { [source] () throws(SystemCallError) in
                try InputPiece.next(source.number)
            }
            if !piece.isEmpty { return piece }
            state = .done
            return form.tail
        case .done: return nil
        }
    }
}
