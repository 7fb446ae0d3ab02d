import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct LogFileTests {
    private let folder = TemporaryFolder("log")
    private var path: String { folder.path + "/log" }

    private func line(_ number: Int) -> [UInt8] { Array("line \(number)\n".utf8) }

    @Test func `a log has a bound, and loses its oldest lines alone`() throws {
        try File.write(line(0), to: path, mode: 0o600)
        let log = try LogFile(path, limit: 70)
        for number in 1...100 { log.write(line(number)) }
        let texts = try #require(File.text(path + ".1")) + (try #require(File.text(path)))
        #expect(texts.utf8.count <= 140 && texts.hasSuffix("line 99\nline 100\n"))
        let numbers = texts.split(separator: "\n").compactMap { Int($0.dropFirst(5)) }
        #expect(numbers == Array(numbers[0]...100), "none is missing in between")
        #expect(Set(File.names(in: folder.path) ?? []) == ["log", "log.1"])
    }

    @Test func `a line that is longer than the bound is written whole`() throws {
        let log = try LogFile(path, limit: 4)
        log.write(line(1))
        log.write(line(2))
        #expect(File.text(path) == "line 2\n" && File.text(path + ".1") == "line 1\n")
    }

    @Test func `where nothing can be set aside the file begins anew`() throws {
        mkdir(path + ".1", 0o700)
        mkdir(path + ".1/full", 0o700)
        let log = try LogFile(path, limit: 10)
        for number in 1...5 { log.write(line(number)) }
        #expect(File.text(path) == "line 5\n")
    }

    @Test func `a device has no bound, and a link is not followed`() throws {
        let log = try LogFile("/dev/null", limit: 1)
        for number in 1...5 { log.write(line(number)) }
        #expect(access("/dev/null.1", F_OK) != 0)
        #expect(symlink("/dev/null", path) == 0)
        #expect(throws: SystemCallError(code: ELOOP)) { try LogFile(path) }
    }
}
