import Foundation
import Testing

@testable import Observability

@Suite struct ResourceUseTests {
    private func withRoot(_ files: [String: String], _ body: (String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.path + "/spt-use-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: root) }
        try write(files, root)
        try body(root)
    }

    private func write(_ files: [String: String], _ root: String) throws {
        for (path, text) in files {
            let url = URL(filePath: root + path)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
        }
    }

    private func values(_ use: ResourceUse) -> [String: Double] {
        Dictionary(uniqueKeysWithValues: use.samples().map { ($0.key.label, $0.value) })
    }

    private let machine = [
        "/proc/meminfo": "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     400 kB\n",
        "/proc/stat": "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n",
    ]

    @Test func `the machine and a group of version 2`() throws {
        let files = [
            "/proc/self/cgroup": "0::/system.slice/guard.service\n",
            "/sys/fs/cgroup/system.slice/guard.service/memory.current": "4096\n",
            "/sys/fs/cgroup/system.slice/guard.service/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        ]
        try withRoot(machine.merging(files) { $1 }) { root in
            let use = ResourceUse(prefix: "egress", root: root)
            #expect(
                values(use) == [
                    "egress.system.memory.usage_bytes": 600 * 1024, "egress.system.cpu.utilization": 0.2,
                    "egress.process.memory.usage_bytes": 4096, "egress.process.cpu.time": 2.5,
                ])
            // Of 200 further ticks a quarter was idle.
            try write(["/proc/stat": "cpu  200 0 150 740 110 0 0 0 0 0\n"], root)
            #expect(values(use)["egress.system.cpu.utilization"] == 0.75)
        }
    }

    @Test func `a group of version 1, in a container's own root`() throws {
        let files = [
            "/proc/self/cgroup": "12:memory:/\n7:cpu,cpuacct:/\n0::/\n",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes": "8192\n",
            "/sys/fs/cgroup/cpuacct/cpuacct.usage": "1500000000\n",
        ]
        try withRoot(files) { root in
            #expect(
                values(ResourceUse(prefix: "x", root: root)) == [
                    "x.process.memory.usage_bytes": 8192, "x.process.cpu.time": 1.5,
                ])
        }
    }

    @Test func `what cannot be read has no series`() throws {
        try withRoot(["/proc/meminfo": "MemTotal: 1000 kB\n", "/proc/stat": "cpu 1 2\n"]) { root in
            #expect(ResourceUse(prefix: "x", root: root).samples().isEmpty)
        }
    }
}
