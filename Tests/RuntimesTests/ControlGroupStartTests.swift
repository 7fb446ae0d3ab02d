import Foundation
import Glibc
import System
import TestSupport
import Testing

@testable import Runtimes

/// Control groups of version 1 that a container is started in.
@Suite(.enabled(if: !ControlGroup.isVersion2, "this machine has no control groups of version 1"))
struct ControlGroupStartTests {
    private let folder = TemporaryFolder("group")

    /// What a shell prints that joins the programs' part of a new group.
    private func output(_ group: ControlGroup, _ limits: ResourceLimits, _ script: String) throws -> String {
        defer { #expect(group.remove()) }
        try group.make(limits)
        try group.makePrograms(limits)
        let joined = try group.openPrograms()
        defer { for descriptor in joined { close(descriptor) } }
        let path = folder.path + "/output"
        let file = try FileDescriptor(opening: path, O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
        var launch = ProcessLaunch(["/bin/sh", "-c", script], environment: ["PATH=/usr/bin:/bin"])
        (launch.output, launch.joined) = (file.number, joined)
        #expect(ProcessExit(waitingFor: try launch.start()) == .exited(0))
        return try String(contentsOfFile: path, encoding: .utf8)
    }

    private var group: ControlGroup {
        ControlGroup(path: "\(ControlGroup.sandboxesPath)/spt-\(UInt32.random(in: 0 ... .max))")
    }

    @Test func `who joins is in the programs' part of every hierarchy`() throws {
        let group = group
        let lines = try output(group, ResourceLimits(), "cat /proc/self/cgroup").split(separator: "\n")
        // Version 2, where it is beside version 1, is left as it was.
        let inside = lines.filter { !$0.hasPrefix("0::") }
        #expect(!inside.isEmpty && inside.allSatisfy { $0.hasSuffix(":" + group.programs.path) }, "\(lines)")
    }

    @Test func `what it may use is limited before it is there`() throws {
        let group = group, root = ControlGroup.root
        let script = """
            cat \(root)/memory\(group.programs.path)/memory.limit_in_bytes \(root)/pids\(group.programs.path)/pids.max
            cat \(root)/cpu\(group.programs.path)/cpu.cfs_quota_us
            : < /dev/null && echo null
            (: < /dev/kmsg) 2>/dev/null || echo no kmsg
            """
        let limits = ResourceLimits(cpuMillis: 500, memoryBytes: 64 << 20, processes: 50)
        let printed = try output(group, limits, script).split(separator: "\n")
        #expect(printed == ["67108864", "50", "50000", "null", "no kmsg"])
    }

    @Test func `nothing is started in a group that stands still`() throws {
        let group = group
        defer { #expect(group.remove()) }
        try group.make(ResourceLimits())
        try group.makePrograms(ResourceLimits())
        #expect(group.setFrozen(true))
        #expect {
            _ = try group.openPrograms()
        } throws: {
            "\($0)".contains("is frozen")
        }
    }

    @Test func `its list of devices is the one that the OCI runtime is given`() {
        let lines = DeviceRule.version1Lines
        #expect(lines.first?.file == "deny" && lines.first?.line == "a")
        #expect(lines.count == DeviceRule.sandbox.count)
        #expect(lines.dropFirst().allSatisfy { $0.file == "allow" && !DeviceRule.isAdded($0.line) })
    }
}
