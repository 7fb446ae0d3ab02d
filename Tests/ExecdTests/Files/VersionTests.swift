import Foundation
import HTTPServer
import NIOHTTP1
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct FileVersionTests {
    private static let changed: Int64 = 1_700_000_000

    private static func version(_ change: (inout stat) -> Void = { _ in }, age: UInt64 = 1_000_000_000) -> FileVersion {
        var status = stat()
        (status.st_ino, status.st_size) = (7, 100)
        (status.st_mtim, status.st_ctim) = (
            timespec(tv_sec: Int(changed), tv_nsec: 5), timespec(tv_sec: Int(changed), tv_nsec: 5)
        )
        change(&status)
        return FileVersion(status, now: UInt64(changed) * 1_000_000_000 + 5 + age)
    }

    @Test func `another content has another tag`() {
        let first = Self.version()
        for other in [
            Self.version { $0.st_size = 101 }, Self.version { $0.st_ino = 8 }, Self.version { $0.st_mtim.tv_nsec = 6 },
            Self.version { $0.st_ctim.tv_nsec = 6 },
        ] {
            #expect(other.tag != first.tag)
        }
        #expect(!first.isWeak && first.tag.hasPrefix("\"") && first.modified == "Tue, 14 Nov 2023 22:13:20 GMT")
        #expect(Self.version(age: 1_000_000).isWeak, "one that could change unseen")
        let far = Self.version { $0.st_mtim.tv_sec = .max }
        #expect(far.modified == "Fri, 31 Dec 9999 23:59:59 GMT")
        #expect(Self.version { $0.st_mtim.tv_sec = .min }.modified == "Mon, 01 Jan 0001 00:00:00 GMT")
    }

    @Test(
        arguments: [
            ([:], .met), (["if-match": "*"], .met), (["if-match": "TAG"], .met), (["if-match": "\"x\", TAG"], .met),
            (["if-match": "\"x\""], .failed), (["if-match": "W/TAG"], .failed),
            (["if-none-match": "TAG"], .notModified),
            (["if-none-match": "W/TAG"], .notModified), (["if-none-match": "*"], .notModified),
            (["if-none-match": "\"x\""], .met), (["if-modified-since": "Tue, 14 Nov 2023 22:13:20 GMT"], .notModified),
            (["if-modified-since": "Tue, 14 Nov 2023 22:13:19 GMT"], .met), (["if-modified-since": "yesterday"], .met),
            (["if-unmodified-since": "Tue, 14 Nov 2023 22:13:19 GMT"], .failed),
            (["if-unmodified-since": "Tue, 14 Nov 2023 22:13:20 GMT"], .met),
            // A tag goes before a date.
            (["if-none-match": "\"x\"", "if-modified-since": "Tue, 14 Nov 2023 22:13:20 GMT"], .met),
            (["if-match": "TAG", "if-unmodified-since": "Tue, 14 Nov 2023 22:13:19 GMT"], .met),
        ] as [([String: String], FileConditions.Judgement)])
    func `conditions are judged in their order`(_ headers: [String: String], _ judgement: FileConditions.Judgement) {
        let version = Self.version()
        let headers = HTTPHeaders(headers.map { ($0.key, $0.value.replacing("TAG", with: version.tag)) })
        #expect(FileConditions(headers).judge(version) == judgement)
    }

    @Test func `a range counts for the content that it was begun with`() {
        let version = Self.version(), weak = Self.version(age: 1)
        func allows(_ value: String?, _ version: FileVersion) -> Bool {
            FileConditions(value.map { ["if-range": $0] } ?? [:]).allowsRange(of: version)
        }
        #expect(allows(nil, version) && allows(version.tag, version))
        #expect(!allows("\"x\"", version) && !allows("W/" + version.tag, version) && !allows(weak.tag, weak))
        // Not even its own date: two contents may be of one second.
        for date in ["Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:19 GMT", "x"] {
            #expect(!allows(date, version))
        }
    }

    @Test(
        arguments: [
            "Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
            "Mon, 01 Jan 0001 00:00:00 GMT",
        ])
    func `dates are read as they are written`(_ text: String) throws {
        #expect(HTTPDate.format(try #require(HTTPDate.parse(text))) == text)
    }

    @Test(
        arguments: [
            "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 199x 08:49:37 GMT",
            "Sun, 06 Nov -994 08:49:37 GMT", "Son, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:4937 GMT ",
        ])
    func `other dates are none`(_ text: String) { #expect(HTTPDate.parse(text) == nil) }
}

@Suite(.serialized) struct ResumeTests {
    @Test func `a download that broke off goes on, and begins again if the file is another`() async throws {
        try await Scratch.run { execd, scratch async throws in
            try scratch.file("f", "0123456789")
            let target = "/files/download?path=~/f"
            var first = try await execd.ask("GET", target)
            // Until the tag is one that counts.
            #expect(
                try await eventually {
                    first = try await execd.ask("GET", target)
                    return first.header("etag")?.hasPrefix("\"") == true
                })
            let tag = try #require(first.header("etag"))
            let rest = try await execd.ask("GET", target, headers: "Range: bytes=4-\r\nIf-Range: \(tag)\r\n")
            #expect(rest.status == 206 && rest.body == "456789" && rest.header("etag") == tag)
            let same = try await execd.ask("GET", target, headers: "If-None-Match: \(tag)\r\n")
            #expect(same.status == 304 && same.body.isEmpty && same.header("etag") == tag)
            try scratch.file("f", "another one")
            let whole = try await execd.ask("GET", target, headers: "Range: bytes=4-\r\nIf-Range: \(tag)\r\n")
            #expect(whole.status == 200 && whole.body == "another one")
            let refused = try await execd.ask("GET", target, headers: "Range: bytes=4-\r\nIf-Match: \(tag)\r\n")
            #expect(refused.status == 412 && refused.code == "UNKNOWN")
            let dated = try #require(whole.header("last-modified"))
            let again = try await execd.ask("GET", target, headers: "Range: bytes=0-0\r\nIf-Range: \(dated)\r\n")
            // Two contents may be of one second.
            #expect(again.status == 200 && again.body == "another one")
        }
    }
}
