import CLinux
import ServerTLS
import Supervision
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Opens files for a process that may not: at its start, and again whenever one of them has become another. Who supplies does
/// not read them. One of the supervisor's, on its one thread.
final class FileSupply {
    private struct Item {
        let path: String
        /// A file in memory, in the place of one on the disk.
        var memory: CInt?
        /// Of the file that was sent; nil if it has to be sent.
        var stamp: ChangeStamp??
    }

    private var items: [Item]
    private let disk = DiskFiles()
    /// To the process that runs now.
    private var socket: MessageSocket?

    init(paths: [String]) { items = paths.map { Item(path: $0, memory: nil) } }

    /// Adds what is on no disk, or another content of it.
    func add(_ name: String, _ text: String) throws(SupervisionError) {
        let bytes = Array(text.utf8)
        let file = bytes.withUnsafeBytes { linux_memory_file("sallyport-secret", $0.baseAddress, $0.count) }
        guard file >= 0 else { throw SupervisionError("keeping a secret", code: -file) }
        guard let place = items.firstIndex(where: { $0.path == name }) else {
            items.append(Item(path: name, memory: file))
            return
        }
        if let old = items[place].memory { close(old) }
        items[place] = Item(path: name, memory: file)
        refresh()
    }

    /// For a process that starts: all files are on their way.
    /// - Returns: its end, to be inherited; the caller closes it when the process has it.
    func begin() throws(SupervisionError) -> CInt {
        socket?.close()
        let (own, other) = try MessageSocket.pair()
        socket = own
        own.reserve(messages: items.count + 1)
        do throws(SupervisionError) {
            for place in items.indices { try send(place) }
            try own.send(FileMessage.all.bytes)
        } catch {
            close(other.descriptor)
            throw error
        }
        return other.descriptor
    }

    /// Sends what has changed on the disk.
    func refresh() {
        for place in items.indices {
            let stamp = items[place].memory == nil ? disk.stamp(of: items[place].path) : nil
            guard items[place].stamp != .some(stamp) else { continue }
            // Where the process does not keep up, the next look sends it.
            do { try send(place) } catch { items[place].stamp = nil }
        }
    }

    private func send(_ place: Int) throws(SupervisionError) {
        let item = items[place]
        if let memory = item.memory {
            items[place].stamp = .some(nil)
            try socket?.send(FileMessage.file(path: item.path, code: 0).bytes, descriptor: memory)
            return
        }
        items[place].stamp = .some(disk.stamp(of: item.path))
        let descriptor = disk.open(item.path)
        let code = descriptor < 0 ? errno : 0
        defer { if descriptor >= 0 { close(descriptor) } }
        try socket?.send(
            FileMessage.file(path: item.path, code: code).bytes, descriptor: descriptor < 0 ? nil : descriptor)
    }
}

/// One message of a supply.
enum FileMessage: Hashable, Sendable {
    /// A descriptor comes with it, unless the file could not be opened: `code` is the errno then.
    case file(path: String, code: CInt)
    /// Everything has been sent once.
    case all

    var bytes: [UInt8] {
        switch self {
        case .file(let path, let code): [1, UInt8(truncatingIfNeeded: code)] + Array(path.utf8)
        case .all: [0]
        }
    }

    init?(_ bytes: [UInt8]) {
        switch bytes.first {
        case 0 where bytes.count == 1: self = .all
        case 1 where bytes.count > 2:
            self = .file(path: String(decoding: bytes[2...], as: UTF8.self), code: CInt(bytes[1]))
        default: return nil
        }
    }
}

extension FileSupply {
    /// The name of the part's configuration, of which each change is sent.
    static let configuration = "the configuration"
}

/// Files that somebody else has opened.
final class SuppliedFiles: FileSource {
    private struct State: Sendable {
        var descriptors: [String: CInt] = [:]
        var codes: [String: CInt] = [:]
        var observers: [@Sendable (_ path: String) -> Void] = []
    }

    private let socket: MessageSocket
    private let state = Mutex(State())

    /// Returns when all have come for the first time.
    init(descriptor: CInt) throws(SupervisionError) {
        socket = MessageSocket(descriptor: descriptor)
        while let message = try socket.receive() { if take(message) { return } }
        throw SupervisionError("the supervisor has ended", code: ESRCH)
    }

    /// - Parameter observer: told on a thread of its own which file is another now.
    func whenChanged(_ observer: @escaping @Sendable (_ path: String) -> Void) {
        state.withLock { $0.observers.append(observer) }
    }

    /// Takes files until the supervisor ends. A thread's own.
    func follow() {
        while let message = try? socket.receive() { _ = take(message) }
    }

    /// - Returns: whether that was the last of the first ones.
    private func take(_ message: MessageSocket.Message) -> Bool {
        guard case .file(let path, let code)? = FileMessage(message.bytes) else {
            if let descriptor = message.descriptor { close(descriptor) }
            return FileMessage(message.bytes) == .all
        }
        let (old, observers) = state.withLock { state in
            let old = state.descriptors.updateValue(message.descriptor ?? -1, forKey: path)
            state.codes[path] = code
            return (old, state.observers)
        }
        if let old, old >= 0 { close(old) }
        for observer in observers { observer(path) }
        return false
    }

    // MARK: FileSource

    func open(_ path: String) -> CInt {
        // Taken within the lock: the other thread closes what has been replaced.
        let (copy, code) = state.withLock { state -> (CInt, CInt) in
            guard let descriptor = state.descriptors[path], descriptor >= 0 else {
                return (-1, state.codes[path] ?? ENOENT)
            }
            let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
            return (copy, copy < 0 ? errno : 0)
        }
        if copy < 0 { errno = code }
        return copy
    }

    func stamp(of path: String) -> ChangeStamp? {
        state.withLock { $0.descriptors[path].flatMap { ChangeStamp(descriptor: $0) } }
    }

    /// The whole of a file; nil where there is none.
    func content(_ path: String) -> [UInt8]? {
        let descriptor = open(path)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // The descriptor's position is shared with whoever has read it before.
        guard lseek(descriptor, 0, SEEK_SET) == 0 else { return nil }
        return try? File.read(descriptor)
    }

    /// A secret's text, without white space; nil where there is none.
    func secret(_ path: String) -> String? {
        let descriptor = open(path)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let text = String(decoding: bytes[..<count], as: UTF8.self).filter { !$0.isWhitespace }
        return text.isEmpty ? nil : text
    }
}
