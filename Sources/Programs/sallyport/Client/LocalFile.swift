import Client
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A file of this machine that is copied from or to.
final class LocalFile: Sendable {
    private static let pieceName = ".part"

    private let descriptor: FileDescriptor
    /// Where it is made until it is whole; nil for what is read, and for standard output.
    private let temporary: String?
    private let path: String
    /// Bytes; nil where it does not say.
    let size: Int?
    let mode: UInt16

    var number: CInt { descriptor.number }

    init(reading path: String) throws(ClientFailure) {
        do throws(SystemCallError) {
            descriptor =
                path == "-" ? try FileDescriptor(dup(STDIN_FILENO)) : try FileDescriptor(opening: path, O_RDONLY)
        } catch { throw ClientFailure(.notFound, "\(path) cannot be read: \(error)") }
        var status = stat()
        guard fstat(descriptor.number, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else {
            throw ClientFailure(.usage, "\(path) is a folder; cp copies files: make an archive of it first")
        }
        (temporary, self.path) = (nil, path)
        size = status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
        mode = path == "-" ? 0o644 : UInt16(status.st_mode & 0o777)
    }

    init(writing path: String) throws(ClientFailure) {
        size = nil
        var status = stat()
        let isThere = path != "-" && stat(path, &status) == 0
        guard !isThere || status.st_mode & S_IFMT != S_IFDIR else {
            throw ClientFailure(.usage, "\(path) is a folder: write \(path)/ for a file in it")
        }
        do throws(SystemCallError) {
            // A device, a pipe or a socket is written to, and stays what it is.
            if path == "-" || isThere && status.st_mode & S_IFMT != S_IFREG {
                (temporary, self.path, mode) = (nil, path, 0)
                descriptor =
                    try path == "-" ? FileDescriptor(dup(STDOUT_FILENO)) : FileDescriptor(opening: path, O_WRONLY)
                return
            }
            // What a link leads to is replaced, not the link. Nobody else has a file of this name, whatever folder it is in.
            let target = isThere ? Self.real(path) : path
            let name = target + "." + String(UInt64.random(in: .min ... .max), radix: 36) + Self.pieceName
            descriptor = try FileDescriptor(opening: name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o666)
            (temporary, self.path, mode) = (name, target, UInt16(status.st_mode & 0o777))
            if isThere { fchmod(descriptor.number, status.st_mode & 0o777) }
        } catch { throw ClientFailure(.refused, "\(path) cannot be written: \(error)") }
    }

    private static func real(_ path: String) -> String {
        guard let found = realpath(path, nil) else { return path }
        defer { free(found) }
        return String(cString: found)
    }

    func write(_ bytes: [UInt8]) throws(ClientFailure) {
        do throws(SystemCallError) { try File.write(bytes, to: descriptor.number) } catch {
            throw ClientFailure(.refused, "\(path) cannot be written: \(error)")
        }
    }

    /// Gives it its name, now that it is whole.
    func publish() throws(ClientFailure) {
        guard let temporary else { return }
        guard rename(temporary, path) == 0 else {
            let error = SystemCallError.last
            discard()
            throw ClientFailure(.refused, "\(path) cannot be written: \(error)")
        }
    }

    func discard() {
        if let temporary { unlink(temporary) }
    }
}
