import Spelling
import TestSupport
import Testing

@testable import Runtimes

@Suite struct FirstSnapshotTests {
    private let state: FirstState

    init() throws { state = try FirstState() }

    @Test func `the first snapshot on the disk is what it was`() throws {
        let record = try #require(
            SnapshotRecord.read(state.path + "/snapshots/records/0f1e2d3c.json", id: "0f1e2d3c"))
        #expect(record.owner == "00112233445566778899aabbccddeeff" && record.layers == ["0f1e2d3c", "00aa11bb"])
        #expect(
            record.image
                == SandboxImage(
                    reference: "sallyport/base:latest", root: "/var/lib/sallyport/base", command: ["bash"],
                    environment: ["PATH": "/usr/bin:/bin"], workingDirectory: "/root"))
    }

    @Test func `the first volume is its operator's`() {
        #expect(
            VolumeRecord.read(from: state.path + "/volumes/data")
                == VolumeRecord(name: "data", createdAt: 1_760_000_000, bytes: 1 << 30, madeBy: .operator))
    }
}
