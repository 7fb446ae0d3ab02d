import Logging
import SecureAccess
import System

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
        guard stat(path, &status) == 0, let text = File.text(path)?.filter({ !$0.isWhitespace }) else {
            throw FileError(description: "\(path) cannot be read: \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw FileError(description: "\(path) may be read by others: chmod 600 it")
        }
        guard !text.isEmpty else { throw FileError(description: "\(path) is empty") }
        return text
    }

    /// Keeps `keys` as the file has them until the task is cancelled. A file that cannot be read changes nothing.
    func follow(_ keys: LiveKeys, _ logger: Logger) async {
        var seen: ChangeStamp??
        while !Task.isCancelled {
            let present = ChangeStamp(path)
            if seen != .some(present) {
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
