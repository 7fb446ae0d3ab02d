import Addresses
import JSON
import Netfilter
import NetworkPolicy
import Spelling
import System
import TestSupport
import Testing

@testable import Runtimes

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct ContainerBodyTests {
    private func body(_ limits: ResourceLimits = ResourceLimits(), _ change: (inout ContainerBody) -> Void = { _ in })
        -> JSONValue
    {
        var body = ContainerBody(
            image: "sha256:1", command: ContainerBody.command(user: "node", maxOutputLine: 2048, hasToken: true),
            environment: ["A=b"], labels: ["k": "v"], limits: limits, confinement: ContainerConfinement(),
            maxLog: 1 << 20)
        change(&body)
        return body.json
    }

    @Test func `a container has no network, and starts nothing of its image`() {
        let json = body()
        #expect(json["HostConfig"]?["NetworkMode"] == .string("none"))
        #expect(
            json["Entrypoint"]
                == .array(
                    [
                        "/opt/opensandbox/lib/execd", "--held", "--variables-file", "/opt/opensandbox/variables",
                        "--token-file", "/opt/opensandbox/token", "--longest-line", "2048", "--program-user", "node",
                    ].map { .string($0) }))
        #expect(json["Cmd"] == .array([]) && json["User"] == .string("0:0"))
        #expect(json["HostConfig"]?["RestartPolicy"]?["Name"] == .string("no"))
        #expect(json["Healthcheck"]?["Test"] == .array([.string("NONE")]), "the engine runs it before the policy")
    }

    @Test func `its resolver is the link's, and the engine's where that makes the network, be it later`() {
        #expect(body()["HostConfig"]?["Dns"] == .array([.string("\(SandboxLink.gateway)")]))
        let later = body { $0.isJoinedLater = true }["HostConfig"]
        #expect(later?["NetworkMode"] == .string("none") && later?["Dns"] == nil)
        #expect(body { $0.network = "bridge" }["HostConfig"]?["Dns"] == nil)
    }

    @Test func `limits are the engine's numbers, and swap is not added`() {
        let host = body(ResourceLimits(cpuMillis: 500, memoryBytes: 536_870_912, processes: 64))["HostConfig"]
        #expect(host?["NanoCpus"] == .integer(500_000_000))
        #expect(host?["Memory"] == .integer(536_870_912) && host?["MemorySwap"] == .integer(536_870_912))
        #expect(host?["PidsLimit"] == .integer(64))
        #expect(body(ResourceLimits(cpuMillis: .max))["HostConfig"]?["NanoCpus"] == .integer(.max), "no number traps")
        #expect(
            body(ResourceLimits(diskBytes: 67_108_864))["HostConfig"]?["StorageOpt"]?["size"] == .string("67108864"))
        let none = body()["HostConfig"]
        #expect(none?["StorageOpt"] == nil, "most engines refuse it")
        #expect(none?["NanoCpus"] == nil && none?["Memory"] == nil && none?["PidsLimit"] == .integer(4096))
    }

    @Test func `no setting gives back what could leave the guard`() {
        let host = body {
            $0.confinement.droppedCapabilities = []
            $0.confinement.deniesNewPrivileges = false
        }["HostConfig"]
        #expect(host?["CapDrop"] == .array([.string("NET_ADMIN"), .string("NET_RAW")]))
        #expect(host?["SecurityOpt"] == .array([]))
    }

    @Test func `in the machine's own network execd listens on loopback alone, and root has no port below 1024`() {
        #expect(
            ContainerBody.command(user: nil, maxOutputLine: nil, hasToken: false, port: 40_001)
                == [
                    "/opt/opensandbox/lib/execd", "--held", "--variables-file", "/opt/opensandbox/variables",
                    "--address",
                    "127.0.0.1", "--port", "40001",
                ])
        let host = body {
            $0.network = "host"
            $0.confinement.droppedCapabilities = []
            $0.confinement = $0.confinement.inMachineNetwork
        }["HostConfig"]
        #expect(host?["NetworkMode"] == .string("host") && host?["Dns"] == nil, "names are the machine's")
        #expect(host?["CapDrop"] == .array(["NET_BIND_SERVICE", "NET_ADMIN", "NET_RAW"].map { .string($0) }))
        var twice = ContainerConfinement()
        twice.droppedCapabilities = ["NET_BIND_SERVICE"]
        #expect(twice.inMachineNetwork == twice)
    }

    @Test func `options of security come in the contract's order`() {
        let options = body {
            $0.confinement.appArmor = "mine"
            $0.confinement.seccomp = "{}"
        }["HostConfig"]?["SecurityOpt"]
        #expect(
            options
                == .array([.string("no-new-privileges=true"), .string("apparmor=mine"), .string("seccomp={}")]))
        let open = body { $0.confinement.seccomp = "unconfined" }["HostConfig"]?["SecurityOpt"]
        #expect(open == .array([.string("no-new-privileges=true"), .string("seccomp=unconfined")]))
    }

    @Test func `published ports are bound where the engine is told, and none without`() {
        let json = body {
            $0.network = "bridge"
            $0.bindings = .init(ports: [PublishedPort(port: 8000, at: 40_001)], address: "127.0.0.1")
        }
        #expect(json["ExposedPorts"] == .object(["8000/tcp": .object([:])]))
        let place: JSONValue = .object(["HostIp": .string("127.0.0.1"), "HostPort": .string("40001")])
        #expect(json["HostConfig"]?["PortBindings"] == .object(["8000/tcp": .array([place])]))
        #expect(body()["ExposedPorts"] == nil && body()["HostConfig"]?["PortBindings"] == nil)
    }

    @Test(arguments: [(2, 2), (ResourceLimits.allGPUs, -1)])
    func `graphics processors are asked for by their number, or all of them`(_ asked: Int, _ count: Int) {
        let wanted: JSONValue = .object([
            "Count": .integer(count), "Capabilities": .array([.array([.string("gpu")])]),
        ])
        #expect(body(ResourceLimits(gpus: asked))["HostConfig"]?["DeviceRequests"] == .array([wanted]))
        #expect(body()["HostConfig"]?["DeviceRequests"] == nil)
    }

    @Test func `a request does without a variable of every sandbox, or has another`() {
        var spec = SandboxSpec(
            id: "a", source: .image("tool:1"), entrypoint: ["sleep"], environment: ["COLOUR": "red", "HOME": "/home"],
            policy: .denyAll, labels: SandboxLabels(owner: "me", id: "a"))
        spec.absentVariables = ["SIZE", "JUPYTER_TOKEN"]
        let fleet: [ExactName: String] = ["COLOUR": "blue", "SIZE": "1", "SHAPE": "round", "JUPYTER_TOKEN": "t"]
        let told = DockerRuntime.variables(spec, fleet: fleet)
        let hooks = ExecdVariables.ofHooks
        #expect(told.filter { !hooks.contains($0.0) }.map { "\($0.0)=\($0.1)" } == ["HOME=/home", "SHAPE=round"])
        #expect(told.filter { hooks.contains($0.0) }.allSatisfy { $0.1.isEmpty })
    }

    @Test func `a path with a colon is one path`() {
        let mounts = body {
            $0.mounts = [.init(source: .folder("/a:b"), target: "/c:d", isReadOnly: true)]
        }["HostConfig"]?["Mounts"]
        guard case .array(let list) = mounts else { return #expect(Bool(false)) }
        #expect(list[0]["Source"] == .string("/a:b") && list[0]["Target"] == .string("/c:d"))
        #expect(list[0]["ReadOnly"] == .boolean(true))
    }
}

@Suite struct StagedArchiveTests {
    @Test func `an entry is a header with its own sum, its content, and zeros up to a block`() {
        var archive = StagedArchive()
        archive.add(file: "token", mode: 0o400, Array("secret".utf8))
        archive.add(link: "execd", to: "lib/execd")
        archive.add(folder: "lib", mode: 0o755)
        let bytes = archive.whole
        #expect(bytes.count == 512 * (1 + 1 + 1 + 1 + 2))
        for start in [0, 1024, 1536] {
            var header = Array(bytes[start..<(start + 512)])
            let said = String(decoding: header[148..<154], as: UTF8.self)
            header.replaceSubrange(148..<156, with: [UInt8](repeating: 32, count: 8))
            #expect(Int(said, radix: 8) == header.reduce(0) { $0 + Int($1) })
            #expect(header[257..<262].elementsEqual("ustar".utf8))
        }
        #expect(bytes[512..<518].elementsEqual("secret".utf8))
        #expect(String(decoding: bytes[124..<135], as: UTF8.self) == "00000000006")
        #expect(String(decoding: bytes[100..<107], as: UTF8.self) == "0000400")
        #expect(bytes[1024 + 156] == UInt8(ascii: "2") && bytes[1536 + 156] == UInt8(ascii: "5"))
    }
}

@Suite struct ContainerProcessTests {
    private let id = String(repeating: "0123456789abcdef", count: 4)

    @Test func `a process is in a container where its groups say so`() {
        #expect(ContainerProcess.isOf(id, groups: "0::/docker/\(id)\n"))
        #expect(ContainerProcess.isOf(id, groups: "5:memory:/system.slice/docker-\(id).scope\n1:cpu:/\n"))
        #expect(ContainerProcess.isOf(id, groups: "0::/docker/\(id)/programs\n"))
    }

    @Test(arguments: ["", "0::/\n", "0::/docker/", "0::/user.slice\n"])
    func `a process of this machine that is in none is not entered`(_ groups: String) {
        #expect(!ContainerProcess.isOf(id, groups: groups))
        #expect(!ContainerProcess.isOf("", groups: "0::/docker/\n"))
        #expect(!ContainerProcess.isOf("docker", groups: "0::/docker/x\n"), "an id that is no id proves nothing")
    }

    @Test func `an engine's number for another machine's process leads nowhere`() throws {
        #expect(throws: RuntimeError.self) { try ContainerProcess(0, of: id) }
        #expect(throws: RuntimeError.self) { try ContainerProcess(1, of: id) }
        let own = try ContainerProcess(getpid(), of: id)
        #expect(throws: RuntimeError.self) { try own.check() }
    }

    @Test func `a process in another network is told from one in this`() throws {
        try ContainerProcess(getpid(), of: id).checkSharesNetwork()
        let folder = TemporaryFolder("netns")
        let namespace = try NetworkNamespace.create(named: "other", in: folder.path)
        defer { try? namespace.delete() }
        var launch = ProcessLaunch(["/bin/sleep", "60"], environment: [])
        launch.networkNamespace = namespace.path
        let process = try launch.start()
        defer {
            kill(process, SIGKILL)
            _ = ProcessExit(waitingFor: process)
        }
        #expect(throws: RuntimeError.self) { try ContainerProcess(process, of: id).checkSharesNetwork() }
    }

    @Test func `a namespace that turns out to be another's is left as it is`() throws {
        let folder = TemporaryFolder("adopt")
        let link = SandboxLink(name: "adopted", host: 77, tag: "zq9", folder: folder.path)
        defer { try? link.delete() }
        let pool = AddressPool(block: CIDRBlock("10.213.0.0/24")!, blockV6: CIDRBlock("fd5a:9::/64")!)
        #expect(throws: NetfilterError.self) { try link.adopt(getpid(), pool: pool) { false } }
        #expect(try !RouteSocket().links().contains { $0.name == link.hostLink })
        try link.delete()
        #expect(!link.namespace.exists)
    }
}
