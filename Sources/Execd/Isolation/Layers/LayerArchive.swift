import CLinux
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What a session has changed in its folders, as an archive: a layer as images have them (OCI image specification, layer.md), whose
/// names count from the root. Read piece by piece, through descriptors, as the session may go on changing it; every call may block
/// on the disk.
final class LayerArchive: Sendable {
    /// Bytes of content, beyond which there is no archive.
    static let maxBytes: Int64 = 4 << 30
    /// Folders in folders.
    private static let maxDepth = 512
    private static let piece = 256 << 10

    private struct Folder {
        let descriptor: CInt
        let path: [UInt8]
        let names: FolderStream
    }

    private struct State {
        var folders: [Folder]
        var gzip = GzipStream()
        /// What is being sent of a file, and how much of it is left.
        var file: CInt = -1
        var left: Int64 = 0
        var padding = 0
        var hasBegun = false, hasEnded = false
    }

    private let state: Mutex<State>

    /// - Parameter layers: the upper folder and the path of each.
    /// - Throws: `FileError.notFound` where there are none.
    init(_ layers: [(upper: String, path: String)]) throws(FileError) {
        var folders: [Folder] = []
        do throws(FileError) {
            for layer in layers.reversed() {
                let descriptor = LayerChange.folder(FileName(layer.upper), in: AT_FDCWD)
                guard descriptor >= 0 else { throw .call("open", layer.upper) }
                // Names in an archive do not begin with a slash.
                folders.append(try Self.open(descriptor, Array(layer.path.utf8.dropFirst())))
            }
        } catch {
            for folder in folders { close(folder.descriptor) }
            throw error
        }
        state = Mutex(State(folders: folders))
    }

    deinit {
        state.withLock { state in
            for folder in state.folders { close(folder.descriptor) }
            if state.file >= 0 { close(state.file) }
        }
    }

    /// - Parameter descriptor: closed if it cannot be read.
    private static func open(_ descriptor: CInt, _ path: [UInt8]) throws(FileError) -> Folder {
        do throws(FileError) {
            let names = try LayerChange.names(in: descriptor, String(decoding: path, as: UTF8.self))
            return Folder(descriptor: descriptor, path: path, names: names)
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Bytes of all files in a folder; nil beyond a limit.
    static func size(of upper: String, upTo most: Int64 = maxBytes) -> Int64? {
        func size(_ folder: CInt, _ depth: Int) -> Int64? {
            var total: Int64 = 0
            guard let names = try? LayerChange.names(in: folder, upper) else { return 0 }
            for name in names {
                guard let change = LayerChange(name, in: folder) else { continue }
                var part = Int64(TarBlock.size)
                if change.kind == .file { part += max(0, Int64(change.status.st_size)) }
                if case .folder = change.kind, depth < maxDepth {
                    let inner = LayerChange.folder(name, in: folder)
                    guard inner >= 0 else { continue }
                    defer { close(inner) }
                    guard let inside = size(inner, depth + 1) else { return nil }
                    part += inside
                }
                let (sum, overflows) = total.addingReportingOverflow(part)
                guard !overflows, sum <= most else { return nil }
                total = sum
            }
            return total
        }
        let folder = LayerChange.folder(FileName(upper), in: AT_FDCWD)
        guard folder >= 0 else { return 0 }
        defer { close(folder) }
        return size(folder, 0)
    }

    /// - Returns: the next bytes; empty at the end.
    func next() throws(FileError) -> [UInt8] {
        try state.withLock { (state) throws(FileError) in
            guard !state.hasEnded else { return [] }
            var text: [UInt8] = state.hasBegun ? [] : GzipStream.head
            state.hasBegun = true
            while text.count < Self.piece {
                if state.file >= 0 {
                    try Self.readFile(&state, into: &text)
                } else if !(try Self.nextEntry(&state, into: &text)) {
                    text += state.gzip.append(TarBlock.end) + state.gzip.finish()
                    state.hasEnded = true
                    break
                }
            }
            return text
        }
    }

    /// A file that has become shorter is filled up with zeros: its size has been sent.
    private static func readFile(_ state: inout State, into text: inout [UInt8]) throws(FileError) {
        guard state.left > 0 else {
            text += state.gzip.append([UInt8](repeating: 0, count: state.padding))
            close(state.file)
            state.file = -1
            return
        }
        let wanted = Int(min(state.left, Int64(piece)))
        guard var bytes = FileBytes.read(state.file, upTo: wanted) else {
            throw .system("read a changed file", code: errno)
        }
        if bytes.isEmpty { bytes = [UInt8](repeating: 0, count: wanted) }
        state.left -= Int64(bytes.count)
        text += state.gzip.append(bytes)
    }

    /// - Returns: false when there is none left.
    private static func nextEntry(_ state: inout State, into text: inout [UInt8]) throws(FileError) -> Bool {
        guard let folder = state.folders.last else { return false }
        guard let name = folder.names.next() else {
            close(folder.descriptor)
            state.folders.removeLast()
            return true
        }
        guard let change = LayerChange(name, in: folder.descriptor) else { return true }
        let path = folder.path + slash + name.bytes
        var entry = TarEntry(name: "", kind: .file), target: [UInt8] = []
        entry.mode = change.status.st_mode & 0o7777
        (entry.user, entry.group) = (change.status.st_uid, change.status.st_gid)
        entry.modified = Int64(change.status.st_mtim.tv_sec)
        switch change.kind {
        case .removed:
            text += state.gzip.append(mark(folder.path, Array(".wh.".utf8) + name.bytes))
            return true
        // Archives of execd have none.
        case .fifo: return true
        case .symlink:
            guard let link = LayerChange.link(name, in: folder.descriptor) else { return true }
            (entry.kind, target) = (.symbolicLink(""), link.dropLast().map(UInt8.init(bitPattern:)))
        case .file:
            let file = LayerChange.file(name, in: folder.descriptor)
            guard file >= 0 else { return true }
            (state.file, state.left) = (file, max(0, Int64(change.status.st_size)))
            entry.size = state.left
            state.padding = TarBlock.padding(behind: entry.size)
        case .folder(let hidesLower):
            let inner = LayerChange.folder(name, in: folder.descriptor)
            guard inner >= 0 else { return true }
            guard state.folders.count < maxDepth else {
                close(inner)
                throw .system("read \(name)", code: ELOOP)
            }
            state.folders.append(try open(inner, path))
            entry.kind = .folder
            text += state.gzip.append(TarWriter.header(entry, name: path + slash))
            if hidesLower { text += state.gzip.append(mark(path, Array(".wh..wh..opq".utf8))) }
            return true
        }
        text += state.gzip.append(TarWriter.header(entry, name: path, target: target))
        return true
    }

    private static let slash = [UInt8(ascii: "/")]

    /// An empty file whose name says what is gone.
    private static func mark(_ folder: [UInt8], _ name: [UInt8]) -> [UInt8] {
        TarWriter.header(TarEntry(name: "", kind: .file, mode: 0), name: folder + slash + name)
    }
}
