import Foundation
import NetworkPolicy
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
    private let spec = SandboxSpec(
        id: "abc", imageRoot: "/image", entrypoint: ["sleep", "1"], environment: ["A": "b"],
        limits: ResourceLimits(cpuMillis: 500, memoryBytes: 1 << 29, processes: 64))
    private var bundle: BundleConfiguration {
        BundleConfiguration(
            spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/execd",
            files: SandboxFiles(hostname: "h", system: "/sys"))
    }

    @Test func `the entrypoint runs under execd, limited and without the kernel's privileges`() {
        #expect(bundle.process.args == ["/opt/opensandbox/execd", "--", "sleep", "1"])
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
                == ["/opt/opensandbox/execd", "--token-file", "/opt/opensandbox/token", "--", "sleep", "1"])
        let mount = try #require(bundle.mounts.first { $0.destination == "/opt/opensandbox/token" })
        #expect(mount.source == "/host/token" && mount.options.contains("ro"))
    }

    @Test func `execd is told how long a line may wait for its break`() {
        let files = SandboxFiles(hostname: "h", system: "/sys")
        let bundle = BundleConfiguration(
            spec, rootfs: "/r", group: ControlGroup(path: "/g"), execd: "/execd", files: files, longestOutputLine: 2048)
        #expect(bundle.process.args == ["/opt/opensandbox/execd", "--longest-line", "2048", "--", "sleep", "1"])
    }

    @Test func `the bundle survives its JSON`() throws {
        #expect(try JSONDecoder().decode(BundleConfiguration.self, from: JSONEncoder().encode(bundle)) == bundle)
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
        #expect(!LocalRuntime.isIdentifier(text))
    }
}
