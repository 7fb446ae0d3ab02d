import SecureAccess
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Which one-time routes have been used, until they expire. A value without I/O.
struct SpentList: Hashable, Sendable {
    enum Outcome: Hashable, Sendable {
        case first
        case again
        /// The list is full; no further route is accepted until some expire.
        case full
    }

    private(set) var expiries: [[UInt8]: UInt64] = [:]
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    /// - Parameter expires: seconds since 1970, as `now`.
    mutating func redeem(_ nonce: [UInt8], expires: UInt64, now: UInt64) -> Outcome {
        if expiries[nonce] != nil { return .again }
        if expiries.count >= capacity { expiries = expiries.filter { $0.value >= now } }
        guard expiries.count < capacity else { return .full }
        expiries[nonce] = expires
        return .first
    }

    static func line(_ nonce: [UInt8], _ expires: UInt64) -> String {
        nonce.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + " \(expires)\n"
    }

    /// Reads the entries of a file. Broken lines, as the last one may be, are skipped.
    mutating func read(_ text: String, now: UInt64) {
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            guard parts.count == 2, parts[0].utf8.count == 2 * RouteScope.nonceLength, let expires = UInt64(parts[1]),
                expires >= now
            else { continue }
            var nonce: [UInt8] = [], rest = parts[0]
            while !rest.isEmpty {
                guard let byte = UInt8(rest.prefix(2), radix: 16) else { break }
                nonce.append(byte)
                rest = rest.dropFirst(2)
            }
            if nonce.count == RouteScope.nonceLength { expiries[nonce] = expires }
        }
    }
}

/// Records in a file which one-time routes have been used, so that a restarted gateway knows them. A use is written
/// before the request is passed on; if it cannot be written, the request is refused.
public final class SpentTokens: Sendable {
    public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
        /// Whether another gateway uses the file.
        public var isTaken = false
    }

    private struct State: Sendable {
        var list: SpentList
        var descriptor: CInt
        let lock: CInt
    }

    private let state: Mutex<State>

    /// - Parameters:
    ///   - path: a file that only this gateway uses; created with mode 0600 if missing.
    ///   - capacity: the most routes that are remembered.
    /// - Throws: `FileError` if it cannot be read and written, or another gateway uses it.
    public init(path: String, capacity: Int = 65536, now: UInt64) throws(FileError) {
        func problem(_ what: String) -> FileError {
            FileError(description: "\(path) \(what): \(String(cString: strerror(errno)))")
        }
        let lock = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw problem("cannot be opened") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw FileError(description: "\(path) belongs to another gateway", isTaken: true)
        }
        var list = SpentList(capacity: capacity)
        if let text = Self.text(of: path) { list.read(text, now: now) }
        // Rewrite the file with valid entries only, atomically.
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0, Self.write(list.expiries.map { SpentList.line($0, $1) }.joined(), to: descriptor),
            rename(temporary, path) == 0
        else {
            let failure = problem("cannot be written")
            if descriptor >= 0 { close(descriptor) }
            close(lock)
            throw failure
        }
        state = Mutex(State(list: list, descriptor: descriptor, lock: lock))
    }

    deinit {
        state.withLock { state in
            close(state.descriptor)
            close(state.lock)
        }
    }

    func redeem(_ nonce: [UInt8], expires: UInt64, now: UInt64) -> SpentList.Outcome {
        state.withLock { state in
            let outcome = state.list.redeem(nonce, expires: expires, now: now)
            guard outcome == .first else { return outcome }
            return Self.write(SpentList.line(nonce, expires), to: state.descriptor) ? .first : .full
        }
    }

    private static func write(_ text: String, to descriptor: CInt) -> Bool {
        let bytes = Array(text.utf8)
        return Glibc.write(descriptor, bytes, bytes.count) == bytes.count
    }

    private static func text(of path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = [], chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
