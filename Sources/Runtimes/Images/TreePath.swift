import System

/// A path below a folder, in bytes, which need not be UTF-8.
struct TreePath: Hashable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// With the final zero.
    var bytes: [CChar]

    init(bytes: some Sequence<CChar>) { self.bytes = Array(bytes) }
    init(stringLiteral text: String) { bytes = Array(text.utf8CString) }
    init(_ name: FileName) { bytes = name.cString }

    static func + (left: TreePath, right: TreePath) -> TreePath { TreePath(bytes: left.bytes.dropLast() + right.bytes) }

    /// The name in the folder at this path.
    func appending(_ name: TreePath) -> TreePath { self == "." ? name : self + "/" + name }

    var description: String { String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) }
}
