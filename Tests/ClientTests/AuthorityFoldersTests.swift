import Foundation
import Testing

@testable import Client

@Suite struct AuthorityFoldersTests {
    @Test func `authorities are what OpenSSL would find in any of the folders`() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/spt-authorities-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (part, names) in [
            ("a", ["0123abcd.0", "0123abcd.1", "ca.pem", "0123ABCD.0", "0123abcd.r0"]),
            ("b", ["ffffffff.0", "fffffff.0", "ffffffff.", "ffffffff"]),
        ] {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(part)", withIntermediateDirectories: true)
            for name in names { try Data().write(to: URL(filePath: "\(folder)/\(part)/\(name)")) }
        }
        let found = AuthorityFolders.files("\(folder)/a:\(folder)/none::\(folder)/b")
        #expect(found == ["a/0123abcd.0", "a/0123abcd.1", "b/ffffffff.0"].map { "\(folder)/\($0)" })
        #expect(AuthorityFolders.files(":") == [])
    }
}
