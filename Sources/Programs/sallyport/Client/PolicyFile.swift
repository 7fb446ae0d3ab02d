import Client
import JSON
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A policy in a file.
enum PolicyFile {
    /// - Parameter path: `-` for standard input.
    static func bytes(_ path: String) throws(ClientFailure) -> [UInt8] {
        do throws(SystemCallError) { return path == "-" ? try File.read(STDIN_FILENO) : try File.read(path) } catch {
            throw ClientFailure(.notFound, "\(path == "-" ? "standard input" : path) cannot be read: \(error)")
        }
    }

    static func json(_ path: String) throws(ClientFailure) -> JSONValue {
        let bytes = try bytes(path)
        do throws(JSONError) { return try JSONValue(bytes) } catch {
            throw ClientFailure(.usage, "\(path) is not JSON: \(error)")
        }
    }
}
