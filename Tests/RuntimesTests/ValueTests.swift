import Addresses
import Foundation
import NetworkPolicy
import Spelling
import Testing

@testable import Runtimes

@Suite struct AddressPoolTests {
    @Test func `every lease is another address inside the pool until none is left`() throws {
        var pool = AddressPool(block: CIDRBlock("10.9.0.0/28")!, blockV6: CIDRBlock("fd00::/64")!)
        var given: Set<IPv4Address> = []
        while let host = pool.lease() {
            #expect(CIDRBlock("10.9.0.0/28")!.contains(.v4(pool.address(host))))
            #expect(given.insert(pool.address(host)).inserted)
        }
        #expect(given.count == pool.capacity && given.count == 13)
        #expect(!given.contains { [0, 1, 15].contains($0.rawValue & 15) })
        pool.release(5)
        #expect(pool.lease() == 5)
    }

    @Test func `a released address rests while others are free`() {
        var pool = AddressPool(block: CIDRBlock("10.9.0.0/24")!, blockV6: CIDRBlock("fd00::/64")!)
        let first = pool.lease()!
        pool.release(first)
        #expect(pool.lease() != first)
    }
}

@Suite struct BundleConfigurationTests {
    private let spec = EngineSpec(
        id: "abc", imageRoot: "/image", entrypoint: ["sleep", "1"], environment: ["A": "b"],
        limits: ResourceLimits(cpuMillis: 500, memoryBytes: 1 << 29, processes: 64))
    private var bundle: BundleConfiguration {
        BundleConfiguration(
            spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/execd",
            files: SandboxFiles(hostname: "h", system: "/sys"))
    }

    /// Where init finds the control groups of its own and of programs, which depends on the machine's version of them.
    private var groups: [String] {
        let numbers = ControlGroup.numbersInside
        func list(_ numbers: [CInt]) -> String { numbers.map(String.init).joined(separator: ",") }
        return ["--own-group", list(numbers.server), "--command-group", list(numbers.programs)]
    }

    @Test func `programs are in a group of their own, and execd beside it`() {
        #expect(bundle.linux.cgroupsPath == "/g/programs")
        let numbers = ControlGroup.numbersInside
        #expect(numbers.server + numbers.programs == (0..<CInt(numbers.server.count * 2)).map { 3 + $0 })
        let group = ControlGroup(path: "/sallyport/a")
        for line in ["4:memory:/sallyport/a/execd", "0::/sallyport/a/programs", "1:cpu:/sallyport/a"] {
            #expect(group.holds(line[...]), "\(line)")
        }
        for line in ["4:memory:/sallyport/ab", "0::/sallyport", "0::/", "", "x/sallyport/a"] {
            #expect(!group.holds(line[...]), "\(line)")
        }
    }

    @Test func `the entrypoint runs under execd, limited and without the kernel's privileges`() {
        #expect(bundle.process.args == ["/opt/opensandbox/execd", "--report", "0"] + groups + ["--", "sleep", "1"])
        #expect(bundle.process.env.contains("A=b"))
        #expect(bundle.process.noNewPrivileges)
        for capability in [
            "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_MKNOD", "CAP_SYS_MODULE",
        ] {
            #expect(!bundle.process.capabilities.bounding.contains(capability))
        }
        #expect(bundle.linux.resources.cpu?.quota == 50_000)
        #expect(bundle.linux.resources.memory?.limit == 1 << 29 && bundle.linux.resources.memory?.swap == 1 << 29)
        #expect(bundle.linux.resources.pids.limit == 64)
    }

    @Test func `the filter comes as a list, and compiled for crun`() throws {
        let data = try #require(bundle.annotations["run.oci.seccomp_bpf_data"].flatMap { Data(base64Encoded: $0) })
        #expect(Array(data) == SeccompProgram(bundle.linux.seccomp).bytes)
    }

    @Test func `a busy machine's processors are shared in proportion to the limits`() {
        let shares = [0, 1, 500, 1000, 4000, .max].map { ProcessorShare(millis: $0).shares }
        #expect(shares == [2, 2, 512, 1024, 4096, 262_144])
        #expect([0, 1000, 4000, .max].map { ProcessorShare(millis: $0).weight } == [1, 39, 157, 10_000])
        #expect(ProcessorShare(millis: -1) == ProcessorShare(millis: 0))
    }

    @Test func `execd cannot be written to, and no file of the host can be`() throws {
        let files = bundle.mounts.filter { $0.type == "bind" }
        #expect(files.map(\.destination).contains("/opt/opensandbox/execd"))
        for file in files { #expect(file.options.contains("ro"), "\(file.destination)") }
    }

    @Test func `execd's token comes as a file, never as an argument`() throws {
        let files = SandboxFiles(
            hostname: "h", system: "/sys", token: "/host/token")
        let bundle = BundleConfiguration(
            spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/execd", files: files)
        #expect(
            bundle.process.args
                == ["/opt/opensandbox/execd", "--report", "0"] + groups
                + ["--token-file", "/opt/opensandbox/token", "--", "sleep", "1"])
        let mount = try #require(bundle.mounts.first { $0.destination == "/opt/opensandbox/token" })
        #expect(mount.source == "/host/token" && mount.options.contains("ro"))
    }

    @Test func `execd is told how long a line may wait for its break`() {
        let files = SandboxFiles(hostname: "h", system: "/sys")
        let bundle = BundleConfiguration(
            spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/execd", files: files, maxOutputLine: 2048)
        #expect(bundle.process.args.suffix(5) == ["--longest-line", "2048", "--", "sleep", "1"])
    }

    @Test(arguments: [(64 << 20, 10922), (256 << 20, 43690), (1 << 30, 65536), (nil, 65536)] as [(Int64?, Int)])
    func `files in memory leave half of a small sandbox's memory to its processes`(_ memory: Int64?, _ size: Int) {
        let files = SandboxFiles(hostname: "h", system: "/sys")
        let spec = EngineSpec(
            id: "a", imageRoot: "/i", entrypoint: ["x"], limits: ResourceLimits(memoryBytes: memory))
        let bundle = BundleConfiguration(
            spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/execd", files: files)
        let mounts = bundle.mounts.filter { $0.type == "tmpfs" }
        #expect(mounts.count == 3 && mounts.allSatisfy { $0.options.contains("size=\(size)k") })
    }

    @Test func `isolated sessions add seven calls, two capabilities and a folder, and nothing else`() {
        func bundle(_ isolation: String?) -> BundleConfiguration {
            BundleConfiguration(
                spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/execd",
                files: SandboxFiles(hostname: "h", system: "/sys", isolation: isolation))
        }
        let (without, with) = (bundle(nil), bundle("/i"))
        func allowed(_ bundle: BundleConfiguration) -> Set<String> {
            Set(
                bundle.linux.seccomp.syscalls.filter { $0.action == "SCMP_ACT_ALLOW" && $0.args.isEmpty }.flatMap(
                    \.names))
        }
        #expect(
            allowed(with).subtracting(allowed(without)) == [
                "unshare", "setns", "mount", "mount_setattr", "move_mount", "open_tree", "sethostname",
            ])
        let capabilities = Set(with.process.capabilities.bounding).subtracting(without.process.capabilities.bounding)
        #expect(capabilities == ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"])
        #expect(with.mounts.filter { !without.mounts.contains($0) }.map(\.destination) == ["/var/lib/execd/isolation"])
        // clone makes no namespaces in either.
        #expect(
            with.linux.seccomp.syscalls.filter { $0.names == ["clone"] }
                == without.linux.seccomp.syscalls.filter { $0.names == ["clone"] })
        let compiled = with.annotations["run.oci.seccomp_bpf_data"].flatMap { Data(base64Encoded: $0) }
        #expect(compiled.map(Array.init) == SeccompProgram(with.linux.seccomp).bytes)
        #expect(!without.process.args.contains("--isolation") && with.process.args.contains("--isolation"))
    }

    @Test func `without a user namespace there are no isolated sessions`() {
        var record = SandboxRecord(
            spec: EngineSpec(id: "a", imageRoot: "/i", entrypoint: ["x"], isolates: true),
            link: SandboxLink(name: "n", host: 1, tag: "t", folder: "/f"))
        #expect(!record.isolates)
        record.users = IdentifierRange(first: 1 << 20)
        #expect(record.isolates)
        record.spec.isolates = nil
        #expect(!record.isolates)
    }

    @Test func `the bundle survives its JSON`() throws {
        #expect(try JSONDecoder().decode(BundleConfiguration.self, from: JSONEncoder().encode(bundle)) == bundle)
    }
}

@Suite struct SandboxEndTests {
    @Test(
        arguments: [
            ("exited 3\n", EntrypointEnd.exited(3)), ("signalled 11\n", .signalled(11)),
            ("failed 2 /no such/program\n", .notStarted(2, program: "/no such/program")),
            ("exited 1\nexited 2\n", .exited(2)), ("rubbish\nsignalled 9\nhal", .signalled(9)),
            ("", nil), ("exited 3", nil), ("exited\n", nil), ("exited 256\n", nil), ("exited -1\n", nil),
            ("signalled 0\n", nil), ("signalled 65\n", nil), ("exited 99999999999999999999\n", nil),
            ("failed 2\n", nil),
            ("failed 0 x\n", nil), ("exited 3 4\n", nil), ("exited 1\n\n", nil), ("\u{0}\u{1b}[2J\n", nil),
        ] as [(String, EntrypointEnd?)])
    func `a report is read to the letter, whoever wrote it`(_ text: String, _ end: EntrypointEnd?) {
        #expect(EntrypointEnd(report: Array(text.utf8)) == end)
    }

    @Test func `a program's name in a report has a bound`() {
        let report = Array("failed 7 \(String(repeating: "é", count: 100_000))\n".utf8)
        guard case .notStarted(7, let program)? = EntrypointEnd(report: report) else { return #expect(Bool(false)) }
        #expect(program.unicodeScalars.count == 256)
    }

    @Test func `an end says its exit code, its signal, what was missing, and that memory ran out`() {
        func text(_ end: EntrypointEnd?, _ kills: UInt64 = 0, limit: Int64? = 256 << 20) -> String {
            SandboxEnd(id: "a", entrypoint: end, memoryKills: kills, memoryLimit: limit).description
        }
        #expect(text(.exited(0), 4) == "the entrypoint ended with exit code 0")
        #expect(text(.signalled(11)) == "the entrypoint was ended by signal 11 (SIGSEGV)")
        #expect(
            text(.notStarted(ENOENT, program: "/x"))
                == "the entrypoint /x could not be started: No such file or directory")
        #expect(
            text(.signalled(9), 1)
                == "the entrypoint was ended by signal 9 (SIGKILL); the memory limit of 256 MiB was reached, and "
                + "the kernel ended a process")
        #expect(text(nil, 2, limit: nil).hasSuffix("the machine's memory ran out, and the kernel ended 2 processes"))
        for (end, isOut) in [(.signalled(9), true), (.exited(137), true), (nil, true), (.exited(1), false)]
            as [(EntrypointEnd?, Bool)]
        {
            #expect(SandboxEnd(id: "a", entrypoint: end, memoryKills: 1).isOutOfMemory == isOut)
            #expect(!SandboxEnd(id: "a", entrypoint: end).isOutOfMemory)
        }
    }
}

@Suite struct SandboxNameTests {
    @Test func `the name of a sandbox is what a shell makes of its id, too`() {
        #expect(SandboxName.of("abc") == "ba7816bf8f01cfea414140de5dae2223")
    }
}

@Suite struct IdentifierTests {
    @Test(arguments: ["", "../x", "a/b", "A", "-a", ".", "a b", "a\0", String(repeating: "a", count: 64)])
    func `what could be a path is no identifier`(text: String) {
        #expect(!LocalEngine.isIdentifier(text))
    }
}
