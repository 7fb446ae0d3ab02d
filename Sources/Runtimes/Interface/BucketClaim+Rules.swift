extension BucketClaim {
    /// Options that only change how a bucket is read and written. Others name files of the server, users, or what the server
    /// sets itself.
    static let options = [
        "attr_timeout", "close_to_open", "connect_timeout", "dir_mode", "direct_read", "enable_noobj_cache",
        "entry_timeout", "file_mode", "max_dirty_data", "max_stat_cache_size", "memory_data_limit", "multipart_size",
        "multireq_max", "negative_timeout", "oss_negative_cache_timeout", "parallel_count", "readwrite_timeout",
        "region", "retries", "ro", "sigv4", "stat_cache_expire", "storage_class", "umask", "upload_buffer_size",
    ]
    /// What a shell or a file of options could read as something else.
    private static let harmful = Set(";&|`$()<>\r\n".unicodeScalars)

    /// Checks all that the schema of the contract does not, before any of it becomes part of a path or a command.
    /// - Throws: `VolumeProblem`
    package func check(_ keys: BucketKeys, of volume: String) throws(VolumeProblem) {
        guard Self.isBucket(bucket) else {
            throw VolumeProblem(
                .invalidParameter,
                "the bucket of volume \(volume) is not a valid name: write 3 to 63 of a-z, 0-9 and -, with no - at its beginning or end"
            )
        }
        guard Self.isEndpoint(endpoint) else {
            throw VolumeProblem(
                .invalidParameter,
                "the endpoint of volume \(volume) is not valid: write a host, with http:// or https:// before it or a port after it"
            )
        }
        if let region, !(1...32).contains(region.utf8.count) || !SandboxVolume.isName(region, upTo: 32) {
            throw VolumeProblem(
                .invalidParameter, "the region of volume \(volume) is not valid: write up to 32 of a-z, 0-9 and -")
        }
        for option in options { try check(option, of: volume) }
        guard Self.isPlain(keys.id), Self.isPlain(keys.secret), !keys.id.utf8.contains(UInt8(ascii: ":")) else {
            throw VolumeProblem(
                .invalidBucketKeys, "the keys of volume \(volume) have a character that is not allowed in keys")
        }
    }

    private func check(_ option: String, of volume: String) throws(VolumeProblem) {
        guard let first = option.utf8.first, first != UInt8(ascii: "-"), Self.isOneOption(option) else {
            throw VolumeProblem(
                .invalidBucketOption,
                "an option of volume \(volume) is empty, begins with - or has a comma or backslash: give one option each"
            )
        }
        guard option.unicodeScalars.allSatisfy({ !Self.harmful.contains($0) }) else {
            throw VolumeProblem(
                .invalidParameter, "an option of volume \(volume) has a character that is not allowed in options")
        }
        let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard Self.options.contains(String(parts[0])), parts.count == 1 || Self.isPlain(String(parts[1])) else {
            throw VolumeProblem(
                .invalidBucketOption,
                "an option of volume \(volume) is not one that requests may give: use \(Self.options.joined(separator: ", "))"
            )
        }
    }

    static func isBucket(_ text: String) -> Bool {
        (3...63).contains(text.utf8.count) && SandboxVolume.isName(text, upTo: 63)
    }

    /// A host name or address, with a scheme and a port where they are given. Nothing else: it becomes part of a mount option.
    private static func isEndpoint(_ text: String) -> Bool {
        let host = ["http://", "https://"].first { text.hasPrefix($0) }.map { text.utf8.dropFirst($0.utf8.count) }
        let bytes = host ?? text.utf8[...]
        guard let first = bytes.first, first != UInt8(ascii: "-") else { return false }
        return bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: ".:-[]".utf8.contains(byte)
            }
        }
    }

    /// Whether the FUSE library, which splits what follows `-o` at commas that no backslash precedes, reads it as one.
    static func isOneOption(_ text: String) -> Bool {
        !text.utf8.contains { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\\") }
    }

    /// Printable, without blanks and what is harmful, and not empty.
    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty && text.unicodeScalars.allSatisfy { (0x21...0x7e).contains($0.value) && !harmful.contains($0) }
    }
}
