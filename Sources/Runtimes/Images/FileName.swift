#if canImport(Glibc)
    import Glibc
#endif

/// A file's name or path in bytes, which need not be UTF-8.
struct FileName: Hashable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// With the final zero.
    var bytes: [CChar]

    init(bytes: some Sequence<CChar>) { self.bytes = Array(bytes) }
    init(stringLiteral text: String) { bytes = Array(text.utf8CString) }
    init(of entry: UnsafeMutablePointer<dirent>) {
        bytes = withUnsafePointer(to: &entry.pointee.d_name) { name in
            name.withMemoryRebound(to: CChar.self, capacity: 256) {
                Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
            }
        }
    }

    static func + (left: FileName, right: FileName) -> FileName { FileName(bytes: left.bytes.dropLast() + right.bytes) }

    /// The name in the folder at this path.
    func appending(_ name: FileName) -> FileName { self == "." ? name : self + "/" + name }

    var description: String { String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) }
}
