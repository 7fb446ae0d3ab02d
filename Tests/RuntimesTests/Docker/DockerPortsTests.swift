import Addresses
import Foundation
import JSON
import Logging
import System
import Testing

@testable import Runtimes

@Suite struct DockerPortsTests {
    private func folder() throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "ports-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    private func ports(_ folder: String, size: UInt16 = 2, holds: Bool = true) throws -> DockerPorts {
        try DockerPorts(
            PortConfiguration(range: 61_200...(61_200 + size - 1)), folder: folder, holds: holds,
            logger: Logger(label: "test"))
    }

    @Test func `who has which port is known after a restart, and a port that is released is another's`() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let sources = SourceList(allow: [CIDRBlock("10.0.0.0/8")!])
        let lease: DockerPorts.Lease
        do {
            let ports = try ports(folder)
            try ports.lease("one", PortRequest(ports: [80, 90], sources: sources), host: 7)
            lease = try #require(ports["one"])
            #expect(lease.host == 7 && lease.sources == sources && Set(lease.ports.map(\.at)) == [61_200, 61_201])
            try ports.lease("none", nil, host: 8)
            #expect(ports["none"] == nil)
        }
        let again = try ports(folder)
        #expect(again.all == ["one": lease])
        #expect(throws: RuntimeError.noPortLeft(range: "61200 to 61201")) {
            try again.lease("two", PortRequest(ports: [80]), host: 9)
        }
        again.release("one")
        try again.lease("two", PortRequest(ports: [80]), host: 9)
        #expect(File.names(in: folder) == ["two"])
    }

    @Test func `a file that is no lease publishes nothing, and other files are left alone`() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (name, text) in [("one", "{"), ("two", "{\"ports\":[{\"port\":70000,\"at\":1}]}"), ("a.b", "x")] {
            try text.write(toFile: folder + "/" + name, atomically: false, encoding: .utf8)
        }
        #expect(try ports(folder).all.isEmpty)
        #expect(File.names(in: folder)?.count == 3)
    }

    @Test func `what a killed server was writing goes, and other files stay`() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for name in ["one.new", "a.b.new", "new"] {
            try "{".write(toFile: folder + "/" + name, atomically: false, encoding: .utf8)
        }
        #expect(try ports(folder).all.isEmpty)
        #expect(Set(File.names(in: folder) ?? []) == ["a.b.new", "new"])
    }

    @Test func `a server that publishes nothing says so`() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let none = try DockerPorts(nil, folder: folder, holds: true, logger: Logger(label: "test"))
        let error = try #require(throws: RuntimeError.self) {
            try none.lease("one", PortRequest(ports: [80]), host: nil)
        }
        #expect("\(error)".contains("[local.ports]"))
    }

    @Test func `an engine is told of lists that it can enforce, and of no other`() {
        #expect(SourceList.machine.engineAddress == "127.0.0.1")
        #expect(SourceList(allow: CIDRBlock.everything.reversed()).engineAddress == "")
        #expect(SourceList(allow: CIDRBlock.everything, deny: [CIDRBlock("10.0.0.1")!]).engineAddress == nil)
        #expect(SourceList(allow: [CIDRBlock("10.0.0.0/8")!]).engineAddress == nil)
        #expect(SourceList(allow: []).engineAddress == nil)
    }

    @Test(
        arguments: [
            (#"{"runc":{}}"#, "only runc"), ("null", "no runtime"),
            (#"{"runsc":{"runtimeArgs":null}}"#, "--network=host"),
            (#"{"runsc":{"runtimeArgs":["--network=sandbox"]}}"#, "--network=host"),
            (#"{"runsc":{"runtimeArgs":["--platform=ptrace","--network=host"]}}"#, nil),
        ] as [(String, String?)])
    func `gVisor is taken from an engine whose runtime leaves the network to the guard`(
        _ runtimes: String, _ word: String?
    ) throws {
        let text = #"{"OSType":"linux","Architecture":"x86_64","ServerVersion":"1","Runtimes":\#(runtimes)}"#
        let obstacle = try JSONValue(Array(text.utf8)).decode(EngineInfo.self).obstacle(to: "runsc")
        #expect(word.map { obstacle?.contains($0) == true } ?? (obstacle == nil), "\(obstacle ?? "none")")
    }

    @Test(
        arguments: [
            ("btrfs", "[]", nil), ("zfs", "null", nil), ("overlay2", #"[["Backing Filesystem","xfs"]]"#, nil),
            ("overlay2", #"[["Backing Filesystem","extfs"]]"#, "overlay2 on extfs"),
            ("overlay2", "[[]]", "overlay2 on something else"), ("vfs", "null", "driver is vfs"),
            ("overlayfs", #"[["driver-type","io.containerd.snapshotter.v1"]]"#, "driver is overlayfs"),
        ] as [(String, String, String?)])
    func `disks are limited by drivers that can, and others are named`(
        _ driver: String, _ status: String, _ words: String?
    ) throws {
        let text = #"{"Driver":"\#(driver)","DriverStatus":\#(status)}"#
        let obstacle = try JSONValue(Array(text.utf8)).decode(EngineStorage.self).obstacle
        #expect(words.map { obstacle?.contains($0) == true } ?? (obstacle == nil), "\(obstacle ?? "none")")
    }

    @Test func `another program's port is told from other refusals`() {
        func refusal(_ text: String) -> RuntimeError { .startFailed(id: "a", reason: text) }
        #expect(refusal("Bind for 127.0.0.1:40000 failed: port is already allocated").isOfAPort)
        #expect(refusal("listen tcp4 0.0.0.0:80: bind: address already in use").isOfAPort)
        #expect(!refusal("no such image").isOfAPort && !RuntimeError.cancelled.isOfAPort)
    }
}
