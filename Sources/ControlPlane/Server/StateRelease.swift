import System

#if canImport(Glibc)
    import Glibc
#endif

/// Which release the state is of, in the file `release` of its folder. Records get fields without a migration, so that an older
/// program could read those of a newer one, and would write them back with less in them.
struct StateRelease: Sendable {
    let folder: String
    var running = ReleaseNumber.running

    private static let maxBytes = 64

    private var path: String { folder + "/release" }

    /// Makes the state this release's before anything in it is read. One without a number is from before there was one.
    /// - Throws: where a newer release has used the state, which then stays as it is.
    func claim() throws(ConfigurationError) {
        // A server and its guard may start at once.
        let lock = try opened()
        guard flock(lock.number, LOCK_EX) == 0 else {
            throw ConfigurationError("\(folder) cannot be locked: \(SystemCallError.last)")
        }
        defer { _ = flock(lock.number, LOCK_UN) }
        if let used = try read() {
            guard used <= running else {
                throw ConfigurationError(
                    "release \(used) has used the state in \(folder), and this is \(running): install \(used) or a newer "
                        + "one, or restore a backup of before the upgrade")
            }
            guard used < running else { return }
        }
        do throws(SystemCallError) {
            try File.replace(path, with: Array("\(running)\n".utf8), mode: 0o600, synchronizes: true)
        } catch {
            throw ConfigurationError("\(path) cannot be written: \(error)")
        }
    }

    private func opened() throws(ConfigurationError) -> FileDescriptor {
        do throws(SystemCallError) { return try FileDescriptor(opening: folder, O_RDONLY | O_DIRECTORY) } catch {
            throw ConfigurationError("\(folder) cannot be opened: \(error)")
        }
    }

    /// The number in the file; nil if there is no file.
    private func read() throws(ConfigurationError) -> ReleaseNumber? {
        let bytes: [UInt8]?
        do throws(SystemCallError) { bytes = try File.readIfPresent(path, limit: Self.maxBytes) } catch {
            throw unclear("cannot be read: \(error)")
        }
        guard let bytes else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let number = ReleaseNumber(text.hasSuffix("\n") ? text.dropLast() : text[...]) else {
            throw unclear("is not a release number")
        }
        return number
    }

    private func unclear(_ what: String) -> ConfigurationError {
        ConfigurationError(
            "\(path) \(what): write the newest release that has used this state into it, such as \(running), or restore a "
                + "backup")
    }
}

/// The number of a release, such as `0.2.0`.
struct ReleaseNumber: Comparable, Sendable, CustomStringConvertible {
    /// This program's.
    static let running = ReleaseNumber(Release.version[...])!

    private let parts: [UInt32]

    /// - Returns: nil for anything but three numbers with dots between them.
    init?(_ text: Substring) {
        let words = text.split(separator: ".", omittingEmptySubsequences: false)
        // UInt32 alone would take a sign, too.
        parts = words.compactMap { word in
            word.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt32(word) : nil
        }
        guard words.count == 3, parts.count == 3 else { return nil }
    }

    static func < (one: ReleaseNumber, other: ReleaseNumber) -> Bool {
        one.parts.lexicographicallyPrecedes(other.parts)
    }

    var description: String { parts.map { "\($0)" }.joined(separator: ".") }
}
