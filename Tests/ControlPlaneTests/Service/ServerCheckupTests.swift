import Foundation
import TestSupport
import Testing

@testable import ControlPlane
@testable import Runtimes

@Suite struct ServerCheckupTests {
    private let folder = TemporaryFolder("doctor")

    private func findings(_ more: String = "", state: String = "state") async throws -> [String: CheckupFinding] {
        let file = folder.path + "/server.toml"
        let text = """
            \(more)
            [local]
            state_dir = "\(folder.path)/\(state)"
            run_dir = "\(folder.path)/run"
            """
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        let checkup = await ServerCheckup(path: file, environment: ["HOME": folder.path])
        for finding in checkup.findings {
            #expect((finding.grade == .ok) == (finding.remedy == nil), "\(finding)")
            #expect(finding.remedy?.isEmpty != true, "\(finding)")
        }
        return Dictionary(checkup.findings.map { ($0.place, $0) }, uniquingKeysWith: { first, _ in first })
    }

    @Test func `a look leaves nothing on the machine`() async throws {
        let found = try await findings()
        #expect(found["configuration"]?.grade == .ok && found["kernel"]?.grade == .ok, "\(found)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["server.toml"])
    }

    @Test func `a configuration that cannot be read is all that is found`() async throws {
        let found = try await findings("[server]\nprot = 1")
        #expect(found.count == 1 && found["configuration"]?.grade == .problem)
    }

    @Test func `a store that was written in the future says that the clock is behind`() async throws {
        try Command.run("mkdir", folder.path + "/state")
        try Command.run("touch", "-d", "2100-01-01", folder.path + "/state/sallyport.db")
        let clock = try #require(try await findings()["clock"])
        #expect(clock.grade == .problem && clock.text.contains("sallyport.db"), "\(clock)")
    }

    @Test func `a disk that is nearly full, of bytes and of files, is said before a server starts`() async throws {
        try Command.run("mkdir", folder.path + "/small")
        try Command.run(
            "mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=100", "tmpfs", folder.path + "/small")
        defer { try? Command.run("umount", "-l", folder.path + "/small") }
        let found = try await findings(state: "small/state")
        #expect(found["disk"]?.grade == .warning && found["files"]?.grade == .warning, "\(found)")
    }

    @Test func `pools that overlap a network of the machine are a problem with what to set`() {
        var networks = HostNetworks()
        networks.addRoutes("Iface\ntun0\t0000C80A\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0")
        let finding = ServerCheckup.addresses(Settings().local, networks)
        #expect(finding.grade == .problem && finding.text.contains("10.200.0.0/16 overlaps"), "\(finding)")
        #expect(finding.remedy == "set local.address_pool to a block that is not in use")
        #expect(ServerCheckup.addresses(Settings().local, HostNetworks()).grade == .ok)
    }

    @Test func `with the Docker runtime the engine is asked, and not what the local runtime alone needs`()
        async throws
    {
        let found = try await findings(
            "[runtime]\ntype = \"docker\"\n[docker]\nhost = \"unix://\(folder.path)/none.sock\"")
        #expect(found["engine"]?.grade == .problem && found["kernel"] != nil && found["execd"] != nil)
        #expect(found["OCI runtime"] == nil && found["skopeo"] == nil)
    }

    @Test func `where runsc is missing the remedy is runsc`() async throws {
        let found = try await findings("[secure_runtime]\ntype = \"gvisor\"\npath = \"/no/such\"")
        #expect(found["OCI runtime"]?.remedy == "apt-get install runsc, or name it in secure_runtime.path")
    }

    @Test func `certificates of the engine that are missing are named`() async throws {
        let found = try await findings(
            "[runtime]\ntype = \"docker\"\n[docker]\nhost = \"tcp://127.0.0.1\"\ntls_dir = \"/no/such\"")
        #expect(found["docker"]?.text.contains("/no/such/ca.pem") == true)
    }
}
