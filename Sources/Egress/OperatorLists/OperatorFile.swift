import Glibc
import System

/// The files of the operator's folder.
package enum OperatorFile: String, CaseIterable, Sendable {
    case deny = "deny.always"
    case allow = "allow.always"
    /// Names whose denials are not logged.
    case logSkip = "log_skip.always"

    private static let limit = 16 << 20

    /// One of the operator's files, read whole; `nil` if there is no such file.
    package static func read(_ path: String) throws(EgressError) -> [UInt8]? {
        do throws(SystemCallError) {
            return try File.readIfPresent(path, limit: limit)
        } catch {
            guard error.code != EFBIG else { throw .storage(path: path, reason: "it is larger than \(limit) bytes") }
            throw .storage(path, error)
        }
    }
}
