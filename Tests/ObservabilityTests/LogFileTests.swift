import Foundation
import System
import TestSupport
import Testing

@testable import Observability

@Suite struct LogFileTests {
    private let folder = TemporaryFolder("log")
    private var path: String { folder.path + "/logs/server.log" }

    private func settings(_ change: (inout LogFileSettings) -> Void = { _ in }) -> LogFileSettings {
        var settings = LogFileSettings()
        (settings.path, settings.maxBytes, settings.backups, settings.compresses) = (path, 1000, 3, false)
        change(&settings)
        return settings
    }

    private func append(_ text: String, to log: inout LogFile) { #expect(log.append(Array(text.utf8)).isEmpty) }

    private func text(_ ending: String = "") throws -> String {
        guard ending.hasSuffix(".gz") else { return try String(contentsOfFile: path + ending, encoding: .utf8) }
        let output = folder.path + "/plain"
        try Command.run("sh", "-c", "gzip -dc \(path)\(ending) >\(output)")
        return try String(contentsOfFile: output, encoding: .utf8)
    }

    private func mode(_ ending: String = "") -> Int? {
        (try? FileManager.default.attributesOfItem(atPath: path + ending))?[.posixPermissions] as? Int
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path + "/logs").sorted()
    }

    @Test(arguments: [false, true]) func `every line is in one file, whole and in order, and only so many are kept`(
        _ compresses: Bool
    ) throws {
        let ending = compresses ? ".gz" : ""
        var log = try LogFile(settings { $0.compresses = compresses })
        for number in 0..<200 { append("line \(number) " + String(repeating: "x", count: 30) + "\n", to: &log) }
        log.finish()
        #expect(
            try names() == ["server.log", "server.log.1" + ending, "server.log.2" + ending, "server.log.3" + ending])
        let parts = try ["", ".1" + ending, ".2" + ending, ".3" + ending].map { try text($0) }
        for part in parts { #expect(part.utf8.count <= 1000 && part.hasPrefix("line ") && part.hasSuffix("x\n")) }
        let lines = parts.reversed().joined().split(separator: "\n").map { $0.split(separator: " ")[1] }
        #expect(lines.count > 60 && lines == (200 - lines.count..<200).map { "\($0)" })
        for ending in ["", ".1" + ending, ".3" + ending] { #expect(mode(ending) == 0o600) }
    }

    @Test func `a line that comes in parts stays in one file`() throws {
        var log = try LogFile(settings())
        append(String(repeating: "a", count: 900), to: &log)
        append(String(repeating: "b", count: 900) + "\n", to: &log)
        append("next\n", to: &log)
        #expect(try text() == "next\n" && text(".1").utf8.count == 1801)
        // One that never ends does not fill the disk.
        for _ in 0..<10 { append(String(repeating: "c", count: 900), to: &log) }
        #expect(try text().utf8.count <= 3000)
    }

    @Test func `a file that is old enough is rotated, by its age and not by the server's`() throws {
        let now = Int64(time(nil))
        let settings = settings { $0.maxAge = 3600 }
        do {
            var log = try LogFile(settings) { now }
            append("first\n", to: &log)
            log.rotateIfOld()
            #expect(try names() == ["server.log"])
        }
        var later = try LogFile(settings) { now + 3700 }
        later.rotateIfOld()
        #expect(try text(".1") == "first\n" && text() == "")
        later.rotateIfOld()
        #expect(try !names().contains("server.log.2"), "an empty file is as new as its first line")
    }

    @Test func `none is kept where none is wanted`() throws {
        var log = try LogFile(settings { ($0.backups, $0.compresses) = (0, true) })
        for number in 0..<100 { append("line \(number) " + String(repeating: "x", count: 30) + "\n", to: &log) }
        #expect(try names() == ["server.log"] && text().hasSuffix("x\n"))
    }

    @Test func `a file that somebody moves away is begun anew`() throws {
        var log = try LogFile(settings())
        append("before\n", to: &log)
        try FileManager.default.moveItem(atPath: path, toPath: path + ".mine")
        append("after\n", to: &log)
        #expect(try text() == "after\n" && text(".mine") == "before\n" && mode() == 0o600)
    }

    @Test func `no link leads out, and no file of another is taken`() throws {
        let other = folder.path + "/other"
        mkdir(folder.path + "/logs", 0o700)
        try "theirs".write(toFile: other, atomically: true, encoding: .utf8)
        func refusal() -> CInt? {
            do throws(SystemCallError) { try LogFile.check(settings()) } catch { return error.code }
            return nil
        }
        symlink(other, path)
        #expect(refusal() == ELOOP)
        unlink(path)
        link(other, path)
        #expect(refusal() == EEXIST)
        unlink(path)
        mkfifo(path, 0o600)
        #expect(refusal() != nil)
        unlink(path)
        mkdir(path, 0o700)
        #expect(refusal() != nil)
        rmdir(path)
        // Nor where a rotation writes.
        for ending in [".1", ".1.gz", ".1.gz.part", ".2"] { symlink(other, path + ending) }
        var log = try LogFile(settings { $0.compresses = true })
        for number in 0..<100 { append("line \(number) " + String(repeating: "x", count: 30) + "\n", to: &log) }
        log.finish()
        #expect(try String(contentsOfFile: other, encoding: .utf8) == "theirs")
        // One process writes it.
        #expect(refusal() == EAGAIN)
    }

    @Test func `what a server left half compressed is compressed, and what was done is not done again`() throws {
        mkdir(folder.path + "/logs", 0o700)
        func put(_ text: String, _ ending: String) throws {
            try text.write(toFile: path + ending, atomically: true, encoding: .utf8)
        }
        try put("left\n", ".1")
        try put("half", ".1.gz.part")
        for _ in 0..<2 {
            var log = try LogFile(settings { $0.compresses = true })
            log.finish()
            #expect(try names() == ["server.log", "server.log.1.gz"] && text(".1.gz") == "left\n")
            // It ended after the new file was whole and before the old one went.
            try put("left\n", ".1")
        }
    }

    @Test func `what a full disk does not take comes back to be said elsewhere`() throws {
        mkdir(folder.path + "/logs", 0o700)
        try Command.run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder.path + "/logs")
        defer { try? Command.run("umount", "-l", folder.path + "/logs") }
        var log = try LogFile(settings { $0.maxBytes = 1 << 30 })
        append(String(repeating: "x", count: 4090), to: &log)
        let left = log.append(Array("not lost\n".utf8))
        #expect(left == Array("st\n".utf8)[...], "a page was full")
    }
}
