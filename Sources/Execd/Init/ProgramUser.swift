import System

#if canImport(Glibc)
    import Glibc
#endif

/// Whom the sandbox's program runs as: `name`, `uid`, `name:group` or `uid:gid`, as an image says it (OCI image configuration,
/// `User`), by the image's own passwd(5) and group(5).
struct ProgramUser: Hashable, Sendable {
    var user: UInt32
    var group: UInt32
    /// nil for a number without a line.
    var home: String?

    init(user: UInt32, group: UInt32, home: String?) { (self.user, self.group, self.home) = (user, group, home) }

    /// - Returns: nil for a name that there is not, and for what is no number that the kernel takes.
    init?(_ text: String, users: String, groups: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let user = AccountNames(users)[parts[0]] else { return nil }
        self.user = user
        // The line of the name goes before one of the same number.
        let lines = users.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
            .filter { $0.count >= 6 && UInt32($0[2]) == user }
        let line = lines.first { $0[0] == parts[0] } ?? lines.first
        home = line.map { String($0[5]) }.flatMap { $0.hasPrefix("/") ? $0 : nil }
        if parts.count == 2 {
            guard let group = AccountNames(groups)[parts[1]] else { return nil }
            self.group = group
        } else {
            // As engines have it: a user without a line is of root's group.
            group = line.flatMap { UInt32($0[3]) }.flatMap { $0 == .max ? nil : $0 } ?? 0
        }
    }

    static func current(_ text: String) -> ProgramUser? {
        ProgramUser(
            text, users: File.text("/etc/passwd", limit: limit) ?? "",
            groups: File.text("/etc/group", limit: limit) ?? "")
    }

    /// Bytes of a file of names.
    private static let limit = 4 << 20

    /// Gives standard output and error to the user, as engines do, so that the program may open /dev/stdout again.
    func takeOutput() {
        for descriptor in [STDOUT_FILENO, STDERR_FILENO] {
            var status = stat()
            guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            _ = fchown(descriptor, user, group)
        }
    }
}
