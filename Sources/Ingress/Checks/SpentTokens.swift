import SecureAccess
import Synchronization
import System

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
package final class SpentTokens: Sendable {
    package struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
        package let description: String
        /// Whether another gateway uses the file.
        package var isTaken = false
    }

    private struct State: ~Copyable, Sendable {
        var list: SpentList
        let file: FileDescriptor
        let lock: FileDescriptor
    }

    private let state: Mutex<State>

    /// - Parameters:
    ///   - path: a file that only this gateway uses; created with mode 0600 if missing.
    ///   - capacity: the most routes that are remembered.
    /// - Throws: `FileError` if it cannot be read and written, or another gateway uses it.
    package init(path: String, capacity: Int = 65536, now: UInt64) throws(FileError) {
        func problem(_ what: String, _ error: SystemCallError = .last) -> FileError {
            FileError(description: "\(path) \(what): \(error)")
        }
        let lock: FileDescriptor
        do throws(SystemCallError) {
            lock = try FileDescriptor(opening: path + ".lock", O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
        } catch {
            throw problem("cannot be opened", error)
        }
        guard FileLock.take(lock.number) else {
            throw FileError(description: "\(path) belongs to another gateway", isTaken: true)
        }
        var list = SpentList(capacity: capacity)
        // Read all of it, however long: a route that is not read could be used again.
        if let text = File.text(path, limit: .max) { list.read(text, now: now) }
        do throws(SystemCallError) {
            // Keep only unexpired entries. The file is replaced as a whole.
            let lines = list.expiries.map { SpentList.line($0, $1) }.joined()
            try File.replace(path, with: Array(lines.utf8), mode: 0o600)
            let file = try FileDescriptor(opening: path, O_WRONLY | O_APPEND | O_NOFOLLOW)
            state = Mutex(State(list: list, file: file, lock: lock))
        } catch {
            throw problem("cannot be written", error)
        }
    }

    /// Whether a gateway has written to its file that the route was used, for who only asks: without the lock, which that
    /// gateway holds.
    /// - Returns: nil if no such file can be read.
    package static func contains(_ nonce: [UInt8], inFile path: String, now: UInt64) -> Bool? {
        guard let text = File.text(path, limit: .max) else { return nil }
        var list = SpentList(capacity: .max)
        list.read(text, now: now)
        return list.expiries[nonce] != nil
    }

    func redeem(_ nonce: [UInt8], expires: UInt64, now: UInt64) -> SpentList.Outcome {
        state.withLock { state in
            let outcome = state.list.redeem(nonce, expires: expires, now: now)
            guard outcome == .first else { return outcome }
            let line = SpentList.line(nonce, expires).utf8
            return (try? File.write(line, to: state.file.number)) == nil ? .full : .first
        }
    }
}
