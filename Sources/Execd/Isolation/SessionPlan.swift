#if canImport(Glibc)
    import Glibc
#endif

/// What a session's first process builds. Written by the server, but not trusted by that process: whoever has the server's memory
/// could write another one, and may gain nothing by it that root in the sandbox does not have.
struct SessionPlan: Codable, Hashable, Sendable {
    struct Mount: Codable, Hashable, Sendable {
        enum Kind: String, Codable, Sendable {
            /// Changes go to a folder of the session.
            case layer
            /// Changes go to memory.
            case memory
            case writable, readOnly
        }
        var path: String
        var kind: Kind
    }

    struct Binding: Codable, Hashable, Sendable {
        var source, target: String
        var isReadOnly: Bool
    }

    /// The name of the session's folder.
    var folder: String
    /// Shallow ones first.
    var mounts: [Mount]
    var bindings: [Binding]
    /// The only places from which `bindings` may come.
    var allowedSources: [String]
    var hasOwnTemporaryFolder: Bool
    var sharesNetwork: Bool
    var user, group: UInt32
    /// Whether user and group are names in a user namespace, and the session remains root's outside.
    var hasOwnUsers: Bool
    /// Bytes of each file system in memory.
    var memoryBytes: Int64
    var shell: [String]
    var environment: [String]
    var directory: String

    /// Where the layer of a mount is in the session's folder, by its place in `mounts`.
    static func layer(_ number: Int) -> (upper: String, work: String) {
        number == 0 ? ("upper", "work") : ("upper-\(number)", "work-\(number)")
    }

    /// Folders of a session's name alone are ever touched.
    static func isFolderName(_ text: String) -> Bool {
        text.utf8.count == 32 && text.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
    }

    /// A file in the session with the one line that runs code, so that it can be left by `return`.
    static func runner(in folder: String) -> String { folder + "/run" }
}

/// Why a session was not built.
struct SessionFailure: Error, Hashable, Sendable, CustomStringConvertible {
    enum Kind: String, Hashable, Sendable {
        /// The caller asked for what may not be.
        case refused
        /// Not with this kernel, or without the rights that this takes.
        case unsupported
        case failed
    }

    var kind: Kind
    var reason: String

    init(_ kind: Kind, _ reason: String) { (self.kind, self.reason) = (kind, reason) }

    init(_ step: String, code: CInt, kind: Kind = .failed) {
        self.init(kind, "\(step): \(String(cString: strerror(code)))")
    }

    var description: String { reason }

    // As a message.

    private static let mark = "failure "
    var message: String { Self.mark + kind.rawValue + " " + reason }
    init?(message: String) {
        let words = message.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count == 3, words[0] + " " == Self.mark, let kind = Kind(rawValue: String(words[1])) else {
            return nil
        }
        self.init(kind, String(words[2]))
    }
}
