import Foundation
import Testing

@testable import Ingress

@Suite struct SpentTokensTests {
    private func nonce(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 10) }

    @Test func `each is used once, until so many are remembered that none can be forgotten`() {
        var list = SpentList(capacity: 2)
        #expect(list.redeem(nonce(1), expires: 10, now: 5) == .first)
        #expect(list.redeem(nonce(1), expires: 10, now: 5) == .again)
        #expect(list.redeem(nonce(2), expires: 20, now: 5) == .first)
        #expect(list.redeem(nonce(3), expires: 20, now: 10) == .full)
        #expect(list.redeem(nonce(1), expires: 10, now: 10) == .again)
        #expect(list.redeem(nonce(3), expires: 20, now: 11) == .first)
    }

    @Test func `a gateway that starts anew knows them, and two cannot share a file`() throws {
        let path = "/tmp/spt-spent-\(UInt32.random(in: 0 ... .max))"
        defer { for end in ["", ".lock", ".new"] { try? FileManager.default.removeItem(atPath: path + end) } }
        func run(_ expected: SpentList.Outcome, _ byte: UInt8, now: UInt64) throws {
            let tokens = try SpentTokens(path: path, capacity: 8, now: now)
            #expect(tokens.redeem(nonce(byte), expires: 100, now: now) == expected)
            #expect(throws: SpentTokens.FileError.self) { try SpentTokens(path: path, now: now) }
        }
        try run(.first, 255, now: 1)
        try run(.again, 255, now: 100)
        try run(.first, 7, now: 100)
        // A line that a dying process has left half written is passed over.
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.seekToEnd()
        try file.write(contentsOf: Data("0a0b".utf8))
        try file.close()
        try run(.again, 7, now: 100)
        // What has expired is dropped from the file.
        _ = try SpentTokens(path: path, now: 101)
        #expect(try String(contentsOfFile: path, encoding: .utf8).isEmpty)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func `who only asks what has been used needs no lock, and is told where there is nothing to read`() throws {
        let path = "/tmp/spt-spent-\(UInt32.random(in: 0 ... .max))"
        defer { for end in ["", ".lock", ".new"] { try? FileManager.default.removeItem(atPath: path + end) } }
        #expect(SpentTokens.contains(nonce(1), inFile: path, now: 5) == nil)
        let tokens = try SpentTokens(path: path, now: 5)
        #expect(tokens.redeem(nonce(1), expires: 10, now: 5) == .first)
        #expect(SpentTokens.contains(nonce(1), inFile: path, now: 5) == true)
        #expect(SpentTokens.contains(nonce(2), inFile: path, now: 5) == false)
        withExtendedLifetime(tokens) {}
    }

    @Test func `a file that cannot be written is an error`() {
        #expect(throws: SpentTokens.FileError.self) { try SpentTokens(path: "/nonexistent/x", now: 1) }
    }
}
