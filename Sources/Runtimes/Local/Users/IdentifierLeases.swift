import System

#if canImport(Glibc)
    import Glibc
#endif

/// Assigns ranges of ids that are unique on this machine. Servers share a folder with a link for each range, named by
/// its first id, that points to the sandbox's folder. A link whose sandbox is gone is free.
struct IdentifierLeases: Sendable {
    /// Cleared by a restart of the machine, like all processes of sandboxes.
    static let sharedFolder = "/run/sallyport-ids"

    let folder: String
    let settings: UserNamespaceSettings
    let foreign: ForeignIdentifiers

    init(_ settings: UserNamespaceSettings, foreign: ForeignIdentifiers, folder: String = sharedFolder) {
        self.folder = folder
        self.settings = settings
        self.foreign = foreign
    }

    /// Leases a range for the sandbox in an existing folder.
    /// - Parameter number: where the search begins; different for each sandbox, so that it is short.
    func lease(for owner: String, near number: UInt32) throws(RuntimeError) -> IdentifierRange {
        try alone { () throws(RuntimeError) in
            for offset in 0..<settings.rangeCount {
                let (sum, _) = number.addingReportingOverflow(offset)
                guard let range = settings.range(sum % settings.rangeCount), !foreign.overlap(range), isFree(range)
                else {
                    continue
                }
                guard symlink(owner, path(range)) == 0 else { throw Self.failure("leasing ids in \(folder)") }
                return range
            }
            throw .noIdentifiersLeft(
                "\(settings.firstID) to \(settings.firstID + (settings.rangeCount * IdentifierRange.size - 1))")
        }
    }

    /// Records the range of an earlier server's sandbox, which is not known after a restart of the machine.
    func occupy(_ range: IdentifierRange, for owner: String) throws(RuntimeError) {
        try alone { () throws(RuntimeError) in if isFree(range) { symlink(owner, path(range)) } }
    }

    func release(_ range: IdentifierRange, of owner: String) {
        try? alone { () throws(RuntimeError) in if self.owner(of: range) == owner { unlink(path(range)) } }
    }

    /// Frees the ids of sandboxes that are gone, and removes the folder if no other sandbox has any.
    func removeIfUnused() {
        try? alone { () throws(RuntimeError) in
            for name in File.names(in: folder) ?? [] {
                if let range = UInt32(name).flatMap({ IdentifierRange(first: $0) }) { _ = isFree(range) }
            }
            rmdir(folder)
        }
    }

    private func path(_ range: IdentifierRange) -> String { "\(folder)/\(range.first)" }

    private func owner(of range: IdentifierRange) -> String? {
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = bytes.withUnsafeMutableBytes {
            readlink(path(range), $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    private func isFree(_ range: IdentifierRange) -> Bool {
        guard let owner = owner(of: range) else { return true }
        return access(owner, F_OK) != 0 && unlink(path(range)) == 0
    }

    private func alone<Result>(_ body: () throws(RuntimeError) -> Result) throws(RuntimeError) -> Result {
        let lock = try lock()
        defer { close(lock) }
        return try body()
    }

    /// - Returns: a descriptor of the folder, which is locked. One that was waited for may have been removed meanwhile.
    private func lock() throws(RuntimeError) -> CInt {
        while true {
            mkdir(folder, 0o700)
            let opened = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
            guard opened >= 0 else { throw Self.failure("opening \(folder)") }
            guard flock(opened, LOCK_EX) == 0 else {
                defer { close(opened) }
                throw Self.failure("locking \(folder)")
            }
            var status = stat()
            if fstat(opened, &status) != 0 || status.st_nlink > 0 { return opened }
            close(opened)
        }
    }

    private static func failure(_ action: String) -> RuntimeError {
        .system(action: action, reason: String(cString: strerror(errno)))
    }
}
