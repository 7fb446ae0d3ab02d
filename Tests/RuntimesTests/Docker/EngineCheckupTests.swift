import TestSupport
import Testing

@testable import Runtimes

@Suite struct EngineCheckupTests {
    /// An engine's answer to `GET /info`.
    static func info(
        version: String = "24.0.7", system: String = "linux", driver: String = "btrfs", security: String = "",
        runtimes: String = #""runc": {}"#
    ) -> String {
        #"{"OSType": "\#(system)", "Architecture": "x86_64", "ServerVersion": "\#(version)", "Driver": "\#(driver)", "#
            + #""SecurityOptions": [\#(security)], "Runtimes": {\#(runtimes)}}"#
    }

    private func findings(
        _ info: String, runtime: String? = nil, network: String? = nil
    ) async throws -> [String: CheckupFinding] {
        let engine = try HookServer { request in
            if request.hasPrefix("GET /info ") { return (status: 200, body: info) }
            if request.hasPrefix("GET /networks/there ") { return (status: 200, body: "{}") }
            return (status: 404, body: "")
        }
        let checkup = EngineCheckup(
            try EngineAddress("tcp://127.0.0.1:\(engine.port)"), runtime: runtime, network: network)
        let found = await checkup.findings()
        #expect(engine.requests.allSatisfy { $0.hasPrefix("GET ") })
        return Dictionary(uniqueKeysWithValues: found.map { ($0.place, $0) })
    }

    @Test func `an engine that has everything is fit`() async throws {
        let found = try await findings(
            Self.info(runtimes: #""runsc": {"runtimeArgs": ["--network=host"]}"#), runtime: "runsc", network: "there")
        #expect(found.count == 4 && found.values.allSatisfy { $0.grade == .ok && $0.remedy == nil })
        #expect(found["engine"]?.text.hasPrefix("24.0.7, linux/amd64, at http://127.0.0.1:") == true)
    }

    struct Lack: Sendable {
        var info: String
        var place: String
        var grade: CheckupFinding.Grade
        var remedy: String
    }

    static let lacks: [Lack] = [
        Lack(info: info(version: "19.03.15"), place: "engine", grade: .warning, remedy: "20.10 or later"),
        Lack(info: info(system: "windows"), place: "engine", grade: .problem, remedy: "Linux containers"),
        Lack(info: info(driver: "vfs"), place: "engine's disks", grade: .warning, remedy: "pquota"),
        Lack(info: info(security: #""name=rootless""#), place: "engine's rights", grade: .warning, remedy: "root runs"),
        Lack(info: info(), place: "engine's runtime", grade: .problem, remedy: "apt-get install runsc"),
        Lack(
            info: info(runtimes: #""runsc": {}"#), place: "engine's runtime", grade: .problem, remedy: "--network=host"),
        Lack(info: info(), place: "engine's network", grade: .problem, remedy: "docker network create away"),
        Lack(info: "{}", place: "engine", grade: .problem, remedy: "name a Docker engine"),
        Lack(info: "hello", place: "engine", grade: .problem, remedy: "name a Docker engine"),
    ]

    @Test(arguments: EngineCheckupTests.lacks)
    func `what an engine lacks is said with what to do`(lack: Lack) async throws {
        let found = try await findings(lack.info, runtime: "runsc", network: "away")
        let finding = try #require(found[lack.place])
        #expect(finding.grade == lack.grade && finding.remedy?.contains(lack.remedy) == true, "\(finding)")
    }

    @Test func `an engine that is away, silent or refuses is a problem with what to do, and holds nobody up`()
        async throws
    {
        let folder = TemporaryFolder("engine"), silent = try HookServer(statuses: [])
        let refusing = try HookServer(statuses: [403])
        for (address, word) in [
            ("unix://\(folder.path)/none.sock", "systemctl start docker"),
            ("tcp://127.0.0.1:\(silent.port)", "systemctl start docker"),
            ("tcp://127.0.0.1:\(refusing.port)", "journalctl --unit docker"),
        ] {
            let checkup = EngineCheckup(try EngineAddress(address), runtime: "runsc", patience: 1)
            let found = await checkup.findings()
            #expect(found.map(\.grade) == [.problem] && found[0].remedy?.contains(word) == true, "\(found)")
        }
    }

    @Test(arguments: [
        ("19.03.15", true), ("20.9", true), ("20.10.0", false), ("24.0.7-ce", false), ("dev", false), ("", false),
        ("99999999999999999999.1", false),
    ])
    func `releases before the first that is supported are known by their numbers`(version: String, isOld: Bool) {
        #expect(EngineCheckup.isOld(version) == isOld)
    }
}
