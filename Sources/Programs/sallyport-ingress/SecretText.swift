import FoundationEssentials
import Logging
import SecureAccess

#if canImport(Glibc)
    import Glibc
#endif

/// A secret in a file that only its owner may read.
struct SecretText {
    struct FileError: Error, CustomStringConvertible {
        let description: String
    }

    let path: String

    /// - Throws: `FileError` if it cannot be read, is empty, or is readable by others.
    func read() throws -> String {
        var status = stat()
        guard stat(path, &status) == 0, let data = FileManager.default.contents(atPath: path) else {
            throw FileError(description: "\(path) cannot be read: \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw FileError(description: "\(path) may be read by others: chmod 600 it")
        }
        let text = String(decoding: data, as: UTF8.self).filter { !$0.isWhitespace }
        guard !text.isEmpty else { throw FileError(description: "\(path) is empty") }
        return text
    }

    /// File attributes that change with the file.
    private var stamp: [Int] {
        var status = stat()
        guard stat(path, &status) == 0 else { return [] }
        return [Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    }

    /// Updates `keys` when the file changes, until the task is cancelled. A file that cannot be read changes nothing.
    func follow(_ keys: LiveKeys, _ logger: Logger) async {
        var seen: [Int]?
        while !Task.isCancelled {
            let present = stamp
            if present != seen {
                seen = present
                do {
                    let ring = try KeyRing.parse(try read())
                    if ring != keys.current {
                        keys.replace(with: ring)
                        logger.info("signing keys changed", metadata: ["keys": "\(ring.ids.count)"])
                    }
                } catch {
                    logger.error(
                        "the key file cannot be used; the previous signing keys stay in force",
                        metadata: ["error": "\(error)"])
                }
            }
            try? await Task.sleep(for: .milliseconds(500))
        }
    }
}
