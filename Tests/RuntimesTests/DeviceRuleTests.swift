import Glibc
import System
import Testing

@testable import Runtimes

@Suite struct DeviceRuleTests {
    @Test(arguments: [
        ("c 5:1 rwm", true), ("c 10:200 rwm", true), ("b 7:0 r", true), ("a *:* rwm", true), ("b *:* rwm", true),
        ("c *:* m", false), ("b *:* m", false), ("c 1:3 rwm", false), ("c 136:* rwm", false), ("c 5:0 rwm", false),
        ("b 1:3 rwm", true), ("", false), ("c", false), ("c 5:1", false),
    ])
    func `what a runtime has added to the list is told from what it was given`(line: String, isAdded: Bool) {
        #expect(DeviceRule.isAdded(line) == isAdded)
    }

    /// Where this machine has control groups of version 2.
    private static let tree = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].first {
        access($0 + "/cgroup.controllers", F_OK) == 0
    }

    @Test(.enabled(if: tree != nil, "this machine has no control groups of version 2"))
    func `the list of a version 2 group holds in the groups below it, which can have programs of their own`() throws {
        let group = "\(Self.tree!)/spt-devices-\(UInt32.random(in: 0 ... .max))", inner = group + "/inner"
        try #require(mkdir(group, 0o755) == 0 && mkdir(inner, 0o755) == 0)
        defer { for folder in [inner, group] { rmdir(folder) } }
        #expect(try opens("/dev/kmsg", in: inner), "control")
        for folder in [group, inner] { #expect(DeviceRule.limitVersion2(folder) == 0) }
        #expect(try !opens("/dev/kmsg", in: inner))
        #expect(try opens("/dev/null", in: inner) && opens("/dev/urandom", in: inner))
    }

    /// Whether a process of a group can open a device.
    private func opens(_ path: String, in group: String) throws -> Bool {
        let members = try FileDescriptor(opening: group + "/cgroup.procs", O_WRONLY)
        var launch = ProcessLaunch(["/bin/sh", "-c", ": < \(path)"], environment: [])
        launch.joined = [members.number]
        return ProcessExit(waitingFor: try launch.start()).code == 0
    }
}
