import HTTPServer
import NIOHTTP1
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What tells one content of a file from another towards clients: `ETag` and `Last-Modified` (RFC 9110, section 8.8).
struct FileVersion: Hashable, Sendable {
    /// With its quotes, and `W/` in front where a later content could have the same.
    let tag: String
    let modifiedAt: Int

    var modified: String { HTTPDate.format(modifiedAt) }
    var isWeak: Bool { tag.hasPrefix("W/") }

    /// The kernel's clock for files goes on in steps of up to 10 ms: two changes in one step look like one.
    private static let step: Int64 = 20_000_000

    init(_ status: stat, now: UInt64 = SystemClock.wallNanoseconds()) {
        func nanoseconds(_ time: timespec) -> Int64 {
            Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ Int64(time.tv_nsec)
        }
        let changed = nanoseconds(status.st_ctim)
        let parts = [
            UInt64(status.st_ino), UInt64(bitPattern: Int64(status.st_size)),
            UInt64(bitPattern: nanoseconds(status.st_mtim)), UInt64(bitPattern: changed),
        ]
        let text = "\"" + parts.map { String($0, radix: 16) }.joined(separator: "-") + "\""
        let age = Int64(bitPattern: now) &- changed
        tag = age >= Self.step || age < -Self.step ? text : "W/" + text
        modifiedAt = Int(status.st_mtim.tv_sec)
    }
}

/// Under which conditions a client wants a file (RFC 9110, section 13). A value without I/O.
struct FileConditions: Hashable, Sendable {
    enum Judgement: Hashable, Sendable {
        case met
        /// The client has it already.
        case notModified
        /// It is another one than the client thinks.
        case failed
    }

    private let match: String?
    private let noneMatch: String?
    private let modifiedSince: Int?
    private let unmodifiedSince: Int?
    private let ifRange: String?

    init(_ headers: HTTPHeaders) {
        func list(_ name: String) -> String? {
            let values = headers[canonicalForm: name]
            return values.isEmpty ? nil : values.joined(separator: ",")
        }
        match = list("if-match")
        noneMatch = list("if-none-match")
        modifiedSince = headers.first(name: "if-modified-since").flatMap(HTTPDate.parse)
        unmodifiedSince = headers.first(name: "if-unmodified-since").flatMap(HTTPDate.parse)
        ifRange = headers.first(name: "if-range")
    }

    /// In the order of section 13.2.2.
    func judge(_ file: FileVersion) -> Judgement {
        if let match {
            guard Self.has(match, file, isStrong: true) else { return .failed }
        } else if let unmodifiedSince, file.modifiedAt > unmodifiedSince {
            return .failed
        }
        if let noneMatch {
            return Self.has(noneMatch, file, isStrong: false) ? .notModified : .met
        }
        if let modifiedSince, file.modifiedAt <= modifiedSince { return .notModified }
        return .met
    }

    /// Whether a `Range` counts: without `If-Range`, or if that names this very content.
    func allowsRange(of file: FileVersion) -> Bool {
        guard let ifRange else { return true }
        // A date does not do: two contents may be of one second, and a file may keep the date of another (section 13.1.5).
        return !file.isWeak && ifRange == file.tag
    }

    private static func has(_ list: String, _ file: FileVersion, isStrong: Bool) -> Bool {
        let tags = list.split(separator: ",").map { $0.drop { $0 == " " || $0 == "\t" } }
            .map { $0.prefix { $0 != " " && $0 != "\t" } }
        func opaque(_ tag: some StringProtocol) -> String { String(tag.hasPrefix("W/") ? tag.dropFirst(2) : tag[...]) }
        return tags.contains { tag in
            if tag == "*" { return true }
            return isStrong ? !file.isWeak && tag == file.tag : opaque(tag) == opaque(file.tag)
        }
    }
}
