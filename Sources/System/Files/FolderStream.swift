#if canImport(Glibc)
    import Glibc
#endif

/// A name in a folder as the kernel has it: any bytes but 0 and a slash. It need not be UTF-8.
package struct FileName: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// With the 0 at its end, as C takes it.
    package let cString: [CChar]

    package init(_ text: String) { cString = Array(text.utf8CString) }

    fileprivate init(_ pointer: UnsafePointer<CChar>) {
        cString = Array(UnsafeBufferPointer(start: pointer, count: strlen(pointer) + 1))
    }

    package var bytes: [UInt8] { cString.dropLast().map(UInt8.init(bitPattern:)) }

    /// nil where it is not UTF-8.
    package var text: String? { String(validating: bytes, as: UTF8.self) }

    /// For messages: what is not UTF-8 is replaced.
    package var description: String { String(decoding: bytes, as: UTF8.self) }

    package static func < (left: FileName, right: FileName) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

/// The names in a folder, one after the other as the kernel gives them, without `.` and `..`: however many there are, few are held
/// at a time. Closed with its last reference; for one thread at a time.
package final class FolderStream: Sequence, IteratorProtocol {
    let stream: OpaquePointer

    package init(_ path: String) throws(SystemCallError) {
        guard let stream = opendir(path) else { throw .last }
        self.stream = stream
    }

    /// - Parameter folder: an open folder. It is opened anew, so that it can be read more than once.
    package init(of folder: CInt) throws(SystemCallError) {
        let own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0 else { throw .last }
        guard let stream = fdopendir(own) else {
            let error = SystemCallError.last
            close(own)
            throw error
        }
        self.stream = stream
    }

    deinit { closedir(stream) }

    /// nil at the end. What the kernel cannot read is taken for the end: whoever must see every name asks `read`.
    package func next() -> FileName? { try? read() }

    /// nil at the end.
    /// - Throws: if the kernel cannot read the folder, so that there may be more.
    package func read() throws(SystemCallError) -> FileName? {
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw .last }
                return nil
            }
            let name = (UnsafeRawPointer(entry) + Self.offsetOfName).assumingMemoryBound(to: CChar.self)
            if strcmp(name, ".") != 0, strcmp(name, "..") != 0 { return FileName(name) }
        }
    }

    private static let offsetOfName = MemoryLayout<dirent>.offset(of: \dirent.d_name)!
}
