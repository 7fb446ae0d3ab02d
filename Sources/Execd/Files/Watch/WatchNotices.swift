import CLinux

/// One notice of inotify(7).
struct WatchNotice: Hashable, Sendable {
    /// The number of the watch; -1 where notices were lost.
    var watch: Int32
    var mask: UInt32
    /// The name in the folder; empty for the folder itself.
    var name: String

    var isOverflow: Bool { has(LINUX_IN_Q_OVERFLOW) }
    var isFolder: Bool { has(LINUX_IN_ISDIR) }

    func has(_ bits: UInt32) -> Bool { mask & bits != 0 }

    /// Reads the notices of one read(2), which has no part of a notice. Stops at what is none.
    static func parse(_ bytes: some RandomAccessCollection<UInt8>) -> [WatchNotice] {
        var rest = Array(bytes)[...]
        func number(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(rest[rest.startIndex + offset + $1]) << (8 * UInt32($1)) }
        }
        var notices: [WatchNotice] = []
        while rest.count >= 16 {
            let length = Int(number(12))
            guard rest.count >= 16 + length else { break }
            let name = rest.dropFirst(16).prefix(length).prefix { $0 != 0 }
            notices.append(
                WatchNotice(
                    watch: Int32(bitPattern: number(0)), mask: number(4), name: String(decoding: name, as: UTF8.self)))
            rest = rest.dropFirst(16 + length)
        }
        return notices
    }
}
