import System

/// Where OpenSSL looks for authorities: files that are called by a hash, `0123abcd.0`, as `openssl rehash` makes them.
enum AuthorityFolders {
    /// - Parameter list: as in `SSL_CERT_DIR`, with colons between. As with OpenSSL, a folder that cannot be read has none.
    static func files(_ list: String) -> [String] {
        list.split(separator: ":").flatMap { folder -> [String] in
            guard let names = try? FolderStream(String(folder)) else { return [] }
            return names.compactMap { $0.text }.filter { isHashed($0) }.sorted().map { "\(folder)/\($0)" }
        }
    }

    private static func isHashed(_ name: String) -> Bool {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 2 && parts[0].utf8.count == 8 && !parts[1].isEmpty
            && parts[0].utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
            && parts[1].utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
}
