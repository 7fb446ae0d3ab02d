import CLinux
import Foundation
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct StormTests {
    @Test(
        arguments: [
            ([0, 30, 60, 90, 120], true),
            // As it was seen with 1500 processes that wait for memory.
            ([7, 7, 8, 8, 9, 12, 16], true),
            // A program that is too large ends with its children, and another some time later.
            ([0, 1, 1, 1, 1, 7, 7, 7], false), ([300, 301, 302], false), ([5], false),
            // Workers that are started again and again are few.
            ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false),
            // No more than 3 s count, and a file that was replaced says nothing.
            ([0, 4, 4, 4, 4, 4, 4, 4, 8], false), ([90, 0, 7, 7, 7, 7, 7], false),
        ] as [([UInt64], Bool)])
    func `a storm is many ended processes in a short time`(_ kills: [UInt64], _ isOne: Bool) {
        var judge = StormJudge()
        #expect(kills.map { judge.isStorm($0) }.contains(true) == isOne)
    }

    @Test(
        arguments: [
            ("7 (python3) R 1 40 40 0 -1\n", 40), ("7 (a) (b) R 1 2) S 3 41 40\n", 41), ("7 () R 1 42", 42),
            ("7 (x R 1 2 3", nil), ("7 (x) R 1", nil), ("", nil), ("7 (x) R 1 none 3", nil),
        ] as [(String, pid_t?)])
    func `a process's group is read behind its name, whatever that is`(_ text: String, _ group: pid_t?) {
        #expect(ProcessStat.group(in: text) == group)
    }

    @Test func `only processes of commands are counted`() throws {
        let folder = "/tmp/spt-proc-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (pid, score, group) in [
            (1, 500, 1), (2, 600, 2), (3, 750, 3), (4, 750, 3), (5, 1000, 5), (6, 1000, 5), (7, 1000, 7),
        ] {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(pid)", withIntermediateDirectories: true)
            try Data("\(score)\n".utf8).write(to: URL(filePath: "\(folder)/\(pid)/oom_score_adj"))
            try Data("\(pid) (x) R 1 \(group) 1\n".utf8).write(to: URL(filePath: "\(folder)/\(pid)/stat"))
        }
        try FileManager.default.createDirectory(atPath: folder + "/8", withIntermediateDirectories: true)
        #expect(CommandProcesses.groups(in: folder) == [5: 2, 7: 1])
    }

    @Test func `commands and sessions move to their group before they run, and say why they cannot`() async throws {
        let path = "/tmp/spt-members-\(UInt32.random(in: 0 ... .max))"
        defer { unlink(path) }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        let closed = open(path, O_RDONLY | O_CLOEXEC)
        defer { for descriptor in [descriptor, closed] { close(descriptor) } }
        func run(in group: MemberFiles) async -> CommandRecord {
            let runner = CommandRunner(environment: CommandEnvironment([:], group: group))
            let (record, events) = runner.start(CommandRequest(command: "cat \(path); echo \(descriptor) > /dev/null"))
            for await _ in events {}
            return record
        }
        #expect(await run(in: MemberFiles([descriptor, descriptor])).current.exit == .exited(0))
        #expect(File.text(path) == "00")
        let failed = await run(in: MemberFiles([closed])).current
        #expect(failed.exit == nil && failed.failure?.contains("Bad file descriptor") == true)
    }

    @Test(arguments: [true, false])
    func `what a command left behind ends with it when the kernel chose its first process`(
        _ memoryRanOut: Bool
    ) async throws {
        let folder = "/tmp/spt-memory-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try "oom_kill 3\n".write(toFile: folder + "/memory.events", atomically: true, encoding: .utf8)
        #expect(mkfifo(folder + "/go", 0o600) == 0)
        let runner = CommandRunner(environment: CommandEnvironment([:]), memory: MemoryGroup(folder: folder))
        let (record, events) = runner.start(
            CommandRequest(
                command: """
                    sleep 600 >/dev/null 2>&1 & echo $!
                    read go < \(folder)/go
                    echo oom_kill \(memoryRanOut ? 4 : 3) > \(folder)/memory.events
                    kill -KILL $$
                    """))
        var left: pid_t?, descriptor: CInt = -1
        for await event in events {
            guard case .output(_, let bytes) = event, left == nil else { continue }
            left = pid_t(String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
            descriptor = linux_pidfd_open(try #require(left))
            try "\n".write(toFile: folder + "/go", atomically: false, encoding: .utf8)
        }
        defer { close(descriptor) }
        #expect(record.current.exit == .signalled(SIGKILL) && descriptor >= 0)
        var end = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        #expect(poll(&end, 1, memoryRanOut ? 60_000 : 200) == (memoryRanOut ? 1 : 0))
        if let left, !memoryRanOut { kill(left, SIGKILL) }
    }

    @Test(arguments: [("3", [3]), ("3,4,1023", [3, 4, 1023])] as [(String, [CInt])])
    func `a group is a list of descriptors`(_ text: String, _ descriptors: [CInt]) throws {
        let files = try #require(MemberFiles(text))
        #expect(files.descriptors == descriptors && files.description == text)
        #expect(files.passed.descriptors == descriptors.indices.map { CInt(3 + $0) })
    }

    @Test(arguments: [
        "", ",", "3,", "2", "-1", "x", "3,,4", "1024", "99999999999", "3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19",
    ])
    func `other texts are none`(_ text: String) { #expect(MemberFiles(text) == nil) }
}
