import Addresses
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Runtimes

/// A runtime with folders, addresses and tables of its own, and an image of one static shell. execd is the real one.
final class TestRuntime: Sendable {
    let runtime: LocalEngine
    let folder: String
    let image: String
    let execd: String
    let tag: String
    let configuration: LocalConfiguration

    /// - Parameters:
    ///   - stateDirectory: where its sandboxes are, if not in its own folder.
    ///   - adjust: what is other in its configuration; it gets its folder.
    init(
        stateDirectory: String? = nil, patience: EndPatience = EndPatience(),
        adjust: (inout LocalConfiguration, String) -> Void = { _, _ in }
    ) throws {
        let number = UInt32.random(in: 0 ... .max)
        tag = "t" + String(number % 46656, radix: 36)
        folder = "/tmp/spt-runtime-\(number)"
        image = folder + "/image"
        try BusyboxImage.create(at: image)
        execd = try #require(BusyboxImage.execd, "make execd builds what sandboxes start with")
        var configuration = LocalConfiguration(
            stateDirectory: stateDirectory ?? folder + "/sandboxes", execdPath: execd,
            addressPool: TestAddresses.pool(231), tag: tag, namespaceDirectory: folder + "/netns")
        adjust(&configuration, folder)
        self.configuration = configuration
        runtime = try LocalEngine(configuration: configuration, patience: patience, logger: Logger(label: "test"))
    }

    /// Takes away what a failed test has left.
    static func run(_ body: (TestRuntime) async throws -> Void) async throws {
        let test = try TestRuntime.init()
        do {
            try await body(test)
        } catch {
            for id in await test.runtime.list() { try? await test.runtime.delete(id) }
            throw error
        }
    }

    deinit {
        try? runtime.uninstall()
        try? FileManager.default.removeItem(atPath: folder)
    }

    func spec(_ id: String, _ script: String, limits: ResourceLimits = ResourceLimits()) -> EngineSpec {
        EngineSpec(id: id, imageRoot: image, entrypoint: ["/bin/sh", "-c", script], limits: limits)
    }

    func started(_ id: String, _ script: String, limits: ResourceLimits = ResourceLimits()) async throws
        -> PreparedSandbox
    {
        let prepared = try await runtime.prepare(spec(id, script, limits: limits))
        try await runtime.start(id)
        return prepared
    }

    func sandbox(_ id: String) -> SandboxFolder {
        SandboxFolder(path: configuration.stateDirectory + "/" + SandboxName.of(id))
    }
    func log(_ id: String) -> String { sandbox(id).logTail(bytes: 20_000) }

    /// Everything of this runtime's that stays on the machine. The kernel takes links apart in its own time.
    var traces: [String] {
        for _ in 0..<6000 {
            if present.isEmpty { return [] }
            usleep(5000)
        }
        return present
    }

    private var present: [String] {
        let links = (try? RouteSocket().links().map(\.name).filter { $0.hasPrefix("spv" + tag.prefix(4)) }) ?? []
        let namespaces = ControlGroup.entries(of: folder + "/netns")
        let mounts =
            (try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8))?.split(separator: "\n")
            .filter { $0.contains(folder) }.map(String.init) ?? []
        let folders = ["", "/.removed"].flatMap { ControlGroup.entries(of: configuration.stateDirectory + $0) }
        return links + namespaces + mounts + folders.filter { $0 != ".removed" }
    }
}

@Suite(.serialized) struct LocalEngineTests {
    @Test func `a sandbox runs apart from the host, within its limits and without privileges`() async throws {
        try await TestRuntime.run { test async throws in
            let limits = ResourceLimits(cpuMillis: 500, memoryBytes: 64 << 20, processes: 50)
            let script = """
                id -u; cat /proc/self/status | grep -E 'CapBnd|NoNewPrivs|Seccomp:'; ls -l /proc/1/ns; cat /proc/self/cgroup
                cat /etc/resolv.conf; unshare -n true 2>&1; mount -t tmpfs x /tmp 2>&1
                echo done; exec sleep 1000
                """
            _ = try await test.started("isolated-1", script, limits: limits)
            let ended = try await eventually { test.log("isolated-1").contains("done") }
            #expect(ended)
            let log = test.log("isolated-1")
            #expect(log.contains("NoNewPrivs:\t1") && log.contains("Seccomp:\t2"))
            // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP
            #expect(log.contains("CapBnd:\t00000000800405fb"))
            #expect(log.contains("nameserver 127.0.0.1"))
            #expect(log.contains("unshare: ") && log.contains("mount: "), "\(log)")
            for kind in ["pid", "mnt", "net", "ipc", "uts", "cgroup"] {
                let host = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/\(kind)")
                #expect(log.contains("\(kind):[") && !log.contains(host))
            }
            let group = test.sandbox("isolated-1").group
            #expect(!group.folders.isEmpty)
            try await test.runtime.delete("isolated-1")
            #expect(group.folders.isEmpty)
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `pausing stops it, resuming goes on, and each needs the other's state`() async throws {
        try await TestRuntime.run { test async throws in
            _ = try await test.started("paused-1", "while true; do echo tick; sleep 0.01; done")
            try await test.runtime.pause("paused-1")
            #expect(await test.runtime.state(of: "paused-1") == .paused)
            await #expect(throws: RuntimeError.wrongState(id: "paused-1", state: "paused", needed: "running")) {
                try await test.runtime.pause("paused-1")
            }
            let frozen = test.log("paused-1").count
            try await Task.sleep(for: .milliseconds(60))
            #expect(test.log("paused-1").count == frozen)
            try await test.runtime.resume("paused-1")
            #expect(await test.runtime.state(of: "paused-1") == .running)
            let goesOn = try await eventually { test.log("paused-1").count > frozen }
            #expect(goesOn)
            try await test.runtime.pause("paused-1")
            try await test.runtime.delete("paused-1")
            #expect(test.traces.isEmpty, "a paused sandbox is deleted, too")
        }
    }

    @Test func `sandboxes reach neither each other nor the host, and the host reaches them`() async throws {
        try await TestRuntime.run { test async throws in
            let first = try await test.started("apart-1", "exec sleep 1000")
            let second = try await test.started("apart-2", "exec sleep 1000")
            let inside = NetworkNamespace(existing: first.namespacePath)
            func reaches(_ address: String, _ port: UInt16) throws -> Bool {
                try inside.run { connects(address, port) }
            }
            #expect(connects(first.address.description, 44772) && connects(second.address.description, 44772))
            #expect(try reaches("127.0.0.1", 44772), "control: the sandbox's own port")
            #expect(try !reaches(second.address.description, 44772))
            let listener = listeningSocket()
            defer { close(listener.descriptor) }
            #expect(connects("127.0.0.1", listener.port), "control: the host's own port")
            #expect(try !reaches("169.254.1.1", listener.port))
            try await test.runtime.delete("apart-1")
            try await test.runtime.delete("apart-2")
            #expect(test.traces.isEmpty)
        }
    }

    @Test func `a sandbox fills its own disk, by files, inodes, output or /etc/hosts, and nothing else`() async throws {
        try await TestRuntime.run { test async throws in
            let script = """
                b=/bin/busybox
                $b dd if=/dev/zero of=/tmp/file bs=1M 2>&1 | $b grep -c 'No space left'; $b rm /tmp/file
                i=0; while true 2>/dev/null >/tmp/$i; do i=$((i+1)); [ $i -lt 20000 ] || break; done; echo inodes $i
                $b rm -r /tmp; echo hosts; cat /etc/hosts
                $b dd if=/dev/zero of=/etc/hosts bs=1M 2>&1 | $b grep -c 'No space left'; echo > /etc/hosts
                $b dd if=/dev/zero of=/proc/1/fd/1 bs=1M 2>/dev/null
                until echo done; do sleep 0.1; done 2>/dev/null; exec sleep 1000
                """
            let limits = ResourceLimits(diskBytes: 32 << 20)
            let prepared = try await test.started("filled-1", script, limits: limits)
            let folder = test.sandbox("filled-1")
            // It can print again when its output has been cut.
            let isCut = try await eventually { lstatSize(folder.output.earlier) > 1 << 20 }
            let ended = try await eventually { test.log("filled-1").contains("done\n") }
            #expect(isCut && ended)
            sync()
            #expect(blocks(folder.disk.image) * 512 <= 33 << 20)
            #expect(connects(prepared.address.description, 44772), "it goes on")
            try await test.runtime.delete("filled-1")
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `a sandbox knows its name, address and resolver from files of its own`() async throws {
        try await TestRuntime.run { test async throws in
            // An image whose files lead elsewhere, to the host if anybody followed them there.
            symlink(test.folder + "/victim", test.image + "/etc/resolv.conf")
            let script = """
                cat /etc/resolv.conf /etc/hosts /etc/hostname; echo more >> /etc/hosts; echo own > /etc/resolv.conf
                cat /etc/resolv.conf; echo done; exec sleep 1000
                """
            let prepared = try await test.started("named-1", script)
            let ended = try await eventually { test.log("named-1").contains("done") }
            #expect(ended)
            let log = test.log("named-1")
            #expect(log.contains("nameserver 127.0.0.1") && log.contains("\(prepared.address)\tsandbox-named-1"))
            #expect(log.contains("own\n"))
            #expect(access(test.folder + "/victim", F_OK) != 0)
            try await test.runtime.delete("named-1")
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `what sandboxes nest deeper than a path may be long goes with them`() async throws {
        try await TestRuntime.run { test async throws in
            let name = String(repeating: "n", count: 200)
            let script = """
                i=0; while [ $i -lt 60 ]; do /bin/busybox mkdir \(name) && cd -P \(name); i=$((i+1)); done 2>/dev/null
                echo done; exec sleep 1000
                """
            _ = try await test.started("deep-1", script)
            let ended = try await eventually { test.log("deep-1").contains("done") }
            #expect(ended)
            try await test.runtime.delete("deep-1")
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `an entrypoint that ends is seen, and what fails leaves nothing behind`() async throws {
        try await TestRuntime.run { test async throws in
            _ = try await test.started("ends-1", "sleep 0.3")
            let ended = try await eventually { await test.runtime.state(of: "ends-1") == .exited }
            #expect(ended)
            try await test.runtime.delete("ends-1")
            await #expect(throws: RuntimeError.imageNotFound("/nonexistent")) {
                try await test.runtime.prepare(EngineSpec(id: "none-1", imageRoot: "/nonexistent", entrypoint: ["x"]))
            }
            _ = try await test.runtime.prepare(
                EngineSpec(id: "fails-1", imageRoot: test.image, entrypoint: ["/nonexistent"]))
            await #expect(throws: RuntimeError.self) { try await test.runtime.start("fails-1") }
            await #expect(throws: RuntimeError.alreadyExists("fails-1")) {
                try await test.runtime.prepare(test.spec("fails-1", "true"))
            }
            try await test.runtime.delete("fails-1")
            try await test.runtime.delete("fails-1")
            #expect(test.traces.isEmpty, "\(test.traces)")
            #expect(await test.runtime.state(of: "fails-1") == .missing)
        }
    }

    @Test func `an end is explained: exit code, signal, and memory that ran out`() async throws {
        try await TestRuntime.run { test async throws in
            let small = ResourceLimits(memoryBytes: 64 << 20, processes: 50)
            let hog = "x=x; while :; do x=$x$x; done"
            let cases: [(String, String, EntrypointEnd)] = [
                ("end-code", "exit 3", .exited(3)), ("end-signal", "kill -SEGV $$", .signalled(SIGSEGV)),
                ("end-memory", hog, .signalled(SIGKILL)),
            ]
            for (id, script, _) in cases {
                let waiting = "trap '\(script)' USR1; while :; do sleep 0.02; done"
                _ = try await test.started(id, waiting, limits: small)
            }
            var exits = test.runtime.exits.makeAsyncIterator()
            for (id, _, end) in cases {
                let folder = test.sandbox(id)
                let process = try #require(SandboxProcess(pidFile: folder.pidFile, group: folder.group))
                // Init passes it on.
                kill(process.pid, SIGUSR1)
                let told = await exits.next()
                #expect(told?.id == id && told?.entrypoint == end, "\(String(describing: told))")
                #expect(told?.isOutOfMemory == (id == "end-memory") && told?.memoryLimit == 64 << 20)
                try await test.runtime.delete(id)
            }
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `a start that fails says why`() async throws {
        try await TestRuntime.run { test async throws in
            let cases: [([String], String)] = [
                (["/bin/sh", "-c", "exit 1"], "the entrypoint ended with exit code 1"),
                (
                    ["/bin/sh", "-c", "echo of no use; kill -9 $$"],
                    "signal 9 (SIGKILL); the sandbox printed: of no use"
                ),
                (["/no/program"], "the entrypoint /no/program could not be started: No such file or directory"),
            ]
            for (number, (entrypoint, reason)) in cases.enumerated() {
                let id = "unstarted-\(number)"
                _ = try await test.runtime.prepare(
                    EngineSpec(id: id, imageRoot: test.image, entrypoint: entrypoint))
                do {
                    try await test.runtime.start(id)
                    // It was seen before it ended.
                    #expect(entrypoint[0] != "/no/program")
                } catch {
                    #expect("\(error)".contains(reason), "\(error)")
                }
                try await test.runtime.delete(id)
            }
        }
    }

    @Test func `a rule of the machine's in the way is told from an execd that does not listen`() async throws {
        try await TestRuntime.run { test async throws in
            let sandbox = try await test.started("walled-1", "exec sleep 1000")
            let folder = test.sandbox("walled-1")
            let process = try #require(
                SandboxProcess(pidFile: folder.pidFile, group: folder.group))
            var wait = StartWait(
                address: sandbox.address, namespace: NetworkNamespace(existing: sandbox.namespacePath))
            (wait.milliseconds, wait.unreachedMilliseconds) = (2000, 50)
            #expect(wait.untilReached(process) == .reached)
            let table = "spt_wall_\(test.tag)"
            var wall = Transaction()
            wall.addTable(table)
            wall.addChain("out", table: table, base: BaseChain(.filter, .output, priority: 0, dropsByDefault: false))
            wall.addRule(
                "out", table: table,
                .destination(CIDRBlock(.v4(sandbox.address), prefixLength: 32)!) + [.verdict(.drop)])
            try NetfilterSocket().commit(wall)
            defer {
                var opening = Transaction()
                opening.removeTable(table)
                try? NetfilterSocket().commit(opening)
            }
            guard case .failed(let reason) = wait.untilReached(process) else { return #expect(Bool(false)) }
            #expect(reason.contains("execd listens in the sandbox, but this machine does not reach it"))
            (wait.port, wait.milliseconds) = (44773, 100)
            guard case .failed(let silence) = wait.untilReached(process) else { return #expect(Bool(false)) }
            #expect(silence.contains("execd did not listen on port 44773"))
            process.kill()
            #expect(process.hasEnded(within: 10_000) && wait.untilReached(process) == .ended)
            try await test.runtime.delete("walled-1")
        }
    }

    /// A frozen group is inherited by whatever is started in it, which then never runs.
    @Test func `a control group that a killed run has left, frozen and with a process, is taken away at a start`()
        async throws
    {
        try await TestRuntime.run { test async throws in
            let group = test.sandbox("frozen-1").group
            let left = try Left(in: group)
            defer { left.end() }
            #expect(group.isFrozen)
            _ = try await test.started("frozen-1", "echo runs; exec sleep 1000")
            #expect(left.hasEnded && !group.isFrozen)
            let runs = try await eventually { test.log("frozen-1").contains("runs") }
            #expect(runs)
            try await test.runtime.delete("frozen-1")
            #expect(group.folders.isEmpty && test.traces.isEmpty, "\(test.traces)")
        }
    }

    /// A process in a group that stands still.
    private struct Left {
        let process = Process()

        init(in group: ControlGroup) throws {
            let root = ControlGroup.isVersion2 ? ControlGroup.root : ControlGroup.root + "/freezer"
            try FileManager.default.createDirectory(
                atPath: root + group.programs.path, withIntermediateDirectories: true)
            process.executableURL = URL(fileURLWithPath: "/bin/sleep")
            process.arguments = ["1000"]
            try process.run()
            #expect(
                ControlGroup.write("\(process.processIdentifier)", to: root + group.programs.path + "/cgroup.procs"))
            #expect(group.programs.setFrozen(true) && group.setFrozen(true))
        }

        var hasEnded: Bool {
            process.waitUntilExit()
            return !process.isRunning
        }

        func end() { process.terminate() }
    }

    @Test func `an OCI runtime that does not come to its end is ended, and that is said`() throws {
        let folder = TemporaryFolder("oci-hangs"), program = folder.path + "/runtime"
        try Script.write("#!/bin/sh\necho $$ > \(folder.path)/pid\nexec sleep 1000\n", to: program)
        let runtime = OCIRuntime(executable: program, milliseconds: 500)
        #expect {
            try runtime.delete("any")
        } throws: {
            "\($0)".contains("has not ended within")
        }
        let pid = contents(of: folder.path + "/pid").flatMap { pid_t($0.dropLast()) }
        #expect(pid.map { kill($0, 0) } ?? -1 != 0)
    }

    @Test func `another server finds the sandboxes and their addresses`() async throws {
        try await TestRuntime.run { test async throws in
            let first = try await test.started("kept-1", "exec sleep 1000")
            let second = try LocalEngine(configuration: test.configuration, logger: Logger(label: "test"))
            #expect(await second.list() == ["kept-1"])
            #expect(await second.state(of: "kept-1") == .running)
            let other = try await second.prepare(test.spec("kept-2", "true"))
            #expect(other.address != first.address)
            #expect(connects(first.address.description, 44772))
            try await second.delete("kept-1")
            try await second.delete("kept-2")
            #expect(test.traces.isEmpty)
        }
    }

    @Test func `a sandbox whose record cannot be read runs on, keeps what it has, and can be deleted`() async throws {
        try await TestRuntime.run { test async throws in
            let first = try await test.started("unread-1", "exec sleep 1000")
            let folder = test.sandbox("unread-1")
            let users = try #require(SandboxRecord.read(from: folder.path)).users
            try folder.write("{", to: SandboxRecord.fileName)
            let second = try LocalEngine(configuration: test.configuration, logger: Logger(label: "test"))
            #expect(await second.list() == [] && second.leftovers.isEmpty)
            #expect(await second.state(of: "unread-1") == .running)
            // The first number is the next one again.
            let other = try await second.prepare(test.spec("unread-2", "true"))
            #expect(other.address != first.address)
            #expect(connects(first.address.description, 44772))
            let otherUsers = try #require(SandboxRecord.read(from: test.sandbox("unread-2").path)).users
            #expect(users == nil || otherUsers != users)
            try await second.delete("unread-2")
            try await second.delete("unread-1")
            #expect(test.traces.isEmpty && folder.group.folders.isEmpty, "\(test.traces)")
        }
    }

    @Test func `another program's link is left alone, whatever its name`() async throws {
        try await TestRuntime.run { test async throws in
            let name = SandboxLink(name: "x", host: 2, tag: test.tag, folder: "/x").hostLink
            try Command.run("ip", "link", "add", name, "type", "veth", "peer", "name", name + "x")
            defer { try? Command.run("ip", "link", "del", name) }
            let route = try RouteSocket(), index = try route.index(of: name)
            let error = await #expect(throws: RuntimeError.self) {
                try await test.runtime.prepare(test.spec("foreign-1", "true"))
            }
            #expect("\(error!)".contains("a link \(name) that is not this server's"), "\(error!)")
            #expect(try route.index(of: name) == index)
            _ = try await test.runtime.prepare(test.spec("foreign-2", "true"))
            try await test.runtime.delete("foreign-2")
        }
    }

    /// As systemd starts a service that has `PrivateTmp=` or `ProtectSystem=`: in a mount namespace of its own each time.
    @Test func `a server that does not see the mounts of the one before it keeps its sandboxes`() async throws {
        try await TestRuntime.run { test async throws in
            let first = try await test.started("hidden-1", "exec sleep 1000")
            let folder = SandboxFolder(path: test.folder + "/sandboxes/" + SandboxName.of("hidden-1"))
            let namespace = NetworkNamespace(existing: test.folder + "/netns/" + folder.name)
            for place in [namespace.path, folder.rootfs, folder.system, folder.disk.path] {
                try Command.run("umount", "-l", place)
            }
            #expect(!namespace.exists)
            let second = try LocalEngine(configuration: test.configuration, logger: Logger(label: "test"))
            #expect(await second.state(of: "hidden-1") == .running)
            let inside = try namespace.run { try RouteSocket().index(of: SandboxLink.sandboxLink) }
            #expect(inside > 0 && connects(first.address.description, 44772))
            // A file system that is written to is mounted once.
            try Command.run("sh", "-c", "test $(losetup -nO NAME -j \(folder.disk.image) | wc -l) -le 1")
            try await second.delete("hidden-1")
            #expect(test.traces.isEmpty)
        }
    }
}

private func lstatSize(_ path: String) -> Int {
    var status = stat()
    return lstat(path, &status) == 0 ? Int(status.st_size) : -1
}

private func blocks(_ path: String) -> Int {
    var status = stat()
    return lstat(path, &status) == 0 ? Int(status.st_blocks) : -1
}

@Sendable private func connects(_ address: String, _ port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var limit = timeval(tv_sec: 2, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    let family = withUnsafeBytes(of: sa_family_t(AF_INET)) { Array($0) }
    let bytes =
        family + [UInt8(port >> 8), UInt8(port & 0xff)] + IPv4Address(address)!.bytes + [UInt8](repeating: 0, count: 8)
    return bytes.withUnsafeBytes { connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 16) }
        == 0
}

private func listeningSocket() -> (descriptor: CInt, port: UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    listen(descriptor, 4)
    var name = [UInt8](repeating: 0, count: 16)
    var length = socklen_t(16)
    _ = name.withUnsafeMutableBytes {
        getsockname(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
    }
    return (descriptor, UInt16(name[2]) << 8 | UInt16(name[3]))
}
