import System

/// What is mounted where, from the kernel's list (proc(5), mountinfo).
struct MountTable: Hashable, Sendable {
    struct Entry: Hashable, Sendable {
        /// The folder or file of the file system that is mounted.
        var root: String
        var path: String
        var type: String
        var isReadOnly: Bool
    }

    var entries: [Entry]

    init(_ text: String) {
        entries = text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            guard fields.count > 6, let end = fields.firstIndex(of: "-"), end + 1 < fields.count else { return nil }
            return Entry(
                root: Self.unescaped(fields[3]), path: Self.unescaped(fields[4]), type: String(fields[end + 1]),
                isReadOnly: fields[5].split(separator: ",").contains("ro"))
        }
    }

    /// This process's; never empty, since what is not in it would not be hidden.
    static func current() throws(SessionFailure) -> MountTable {
        let table = MountTable(File.text("/proc/self/mountinfo") ?? "")
        guard !table.entries.isEmpty else { throw SessionFailure(.failed, "the list of mounts cannot be read") }
        return table
    }

    /// What is mounted below a folder, in the order of mounting.
    func below(_ folder: String) -> [Entry] {
        entries.filter { FilePath.isInside($0.path, folder) && $0.path != folder }
    }

    /// Spaces and the like are `\040`.
    private static func unescaped(_ field: Substring) -> String {
        guard field.contains("\\") else { return String(field) }
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            guard byte == UInt8(ascii: "\\"), digits.count == 3,
                let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            else {
                bytes.append(byte)
                continue
            }
            bytes.append(code)
            rest = rest.dropFirst(3)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
