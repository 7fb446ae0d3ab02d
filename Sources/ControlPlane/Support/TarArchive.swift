/// A tar archive of small files (POSIX.1-1988, ustar), as bytes.
struct TarArchive {
    private(set) var bytes: [UInt8] = []
    private let folder: String
    private let time: Int64
    private static let block = 512

    /// - Parameters:
    ///   - folder: what all files are in.
    ///   - time: of all files, in Unix seconds.
    init(folder: String, time: Int64) { (self.folder, self.time) = (folder, time) }

    /// - Parameter name: of this program's own, of at most 60 bytes.
    mutating func add(_ name: String, _ content: [UInt8]) {
        var header = [UInt8](repeating: 0, count: Self.block)
        func put(_ text: String, at place: Int, length: Int) {
            for (offset, byte) in text.utf8.prefix(length).enumerated() { header[place + offset] = byte }
        }
        func number(_ value: Int64, at place: Int, length: Int) {
            let digits = String(max(0, value), radix: 8)
            put(
                String(repeating: "0", count: max(0, length - 1 - digits.utf8.count)) + digits, at: place,
                length: length)
        }
        put("\(folder)/\(name)", at: 0, length: 100)
        number(0o600, at: 100, length: 8)
        number(0, at: 108, length: 8)
        number(0, at: 116, length: 8)
        number(Int64(content.count), at: 124, length: 12)
        number(time, at: 136, length: 12)
        put("        0", at: 148, length: 9)
        put("ustar", at: 257, length: 6)
        put("00", at: 263, length: 2)
        let sum = header.reduce(0) { $0 + Int64($1) }
        number(sum, at: 148, length: 7)
        header[154] = 0
        bytes += header + content
        bytes += [UInt8](repeating: 0, count: (Self.block - content.count % Self.block) % Self.block)
    }

    /// With its end.
    var finished: [UInt8] { bytes + [UInt8](repeating: 0, count: 2 * Self.block) }
}
