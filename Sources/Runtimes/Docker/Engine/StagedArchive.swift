/// Files that are put into a container before it starts, as a tar archive (POSIX ustar). All of them are root's.
struct StagedArchive: Hashable, Sendable {
    private(set) var bytes: [UInt8] = []

    /// ustar has eight octal digits for a mode, twelve for a size, and a name of 100 bytes; all of ours are shorter.
    static let maxName = 99

    mutating func add(folder name: String, mode: UInt16) { add(name + "/", mode, type: "5", []) }
    mutating func add(file name: String, mode: UInt16, _ content: [UInt8]) { add(name, mode, type: "0", content) }
    mutating func add(link name: String, to target: String) { add(name, 0o777, type: "2", [], target: target) }

    /// Two empty blocks end an archive.
    var whole: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    private mutating func add(
        _ name: String, _ mode: UInt16, type: Unicode.Scalar, _ content: [UInt8], target: String = ""
    ) {
        precondition(name.utf8.count <= Self.maxName && target.utf8.count <= Self.maxName, "a name of ours is short")
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: some Collection<UInt8>, at offset: Int) {
            header.replaceSubrange(offset..<(offset + text.count), with: text)
        }
        func octal(_ number: Int, digits: Int) -> [UInt8] {
            let text = String(number, radix: 8)
            return Array((String(repeating: "0", count: max(0, digits - text.utf8.count)) + text).utf8)
        }
        put(name.utf8, at: 0)
        put(octal(Int(mode), digits: 7), at: 100)
        for owner in [108, 116] { put(octal(0, digits: 7), at: owner) }
        put(octal(content.count, digits: 11), at: 124)
        put(octal(0, digits: 11), at: 136)
        put([UInt8](repeating: UInt8(ascii: " "), count: 8), at: 148)
        header[156] = UInt8(ascii: type)
        put(target.utf8, at: 157)
        put("ustar".utf8, at: 257)
        put("00".utf8, at: 263)
        put(octal(header.reduce(0) { $0 + Int($1) }, digits: 6) + [0], at: 148)
        bytes += header + content + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }
}
