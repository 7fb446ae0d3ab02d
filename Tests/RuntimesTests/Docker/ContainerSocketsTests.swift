import Addresses
import Glibc
import Netfilter
import System
import TestSupport
import Testing

@testable import Runtimes

/// A control group with the name of a container, in which processes are the container's.
private final class Container {
    let id = (0..<64).map { _ in String(UInt8.random(in: 0..<16), radix: 16) }.joined()
    private let folder: String
    private var processes: [pid_t] = []

    init() throws {
        let root = ControlGroup.isVersion2 ? ControlGroup.root : ControlGroup.root + "/freezer"
        folder = root + "/" + id
        try #require(mkdir(folder, 0o755) == 0)
    }

    deinit {
        for process in processes { end(process) }
        while rmdir(folder) != 0, errno == EBUSY { usleep(1000) }
    }

    /// Starts a process in it that holds these.
    func start(holding descriptors: [CInt] = []) throws -> pid_t {
        let members = try FileDescriptor(opening: folder + "/cgroup.procs", O_WRONLY)
        var launch = ProcessLaunch(["/bin/sleep", "60"], environment: [])
        (launch.passed, launch.joined, launch.endsWithThread) = (descriptors, [members.number], false)
        let process = try launch.start()
        processes.append(process)
        return process
    }

    func end(_ process: pid_t) {
        // Its number may be another's once it has been waited for.
        processes.removeAll { $0 == process }
        kill(process, SIGKILL)
        _ = ProcessExit(waitingFor: process)
    }
}

@Suite struct ContainerSocketsTests {
    /// A socket that listens on a port of loopback, and the port.
    private func listening() throws -> (socket: CInt, port: UInt16) {
        let listeners = SharedListeners()
        let port = try listeners.lease("a").execd
        let socket = fcntl(try #require(listeners.descriptor(of: "a")), F_DUPFD_CLOEXEC, 0)
        try #require(listen(socket, 1) == 0)
        return (socket, port)
    }

    @Test func `a socket is a container's while one of its processes holds it, whoever else does`() throws {
        let (socket, port) = try listening()
        defer { close(socket) }
        let own = try Container(), other = try Container()
        let first = try own.start(), sockets = try #require(ContainerSockets(own.id, first: first))
        let others = try #require(ContainerSockets(other.id, first: try other.start()))
        #expect(!sockets.serve(port) && sockets.copy(atPort: port) == nil, "it is this process's alone")
        _ = try own.start(holding: [socket])
        #expect(sockets.serve(port) && !others.serve(port))
        let copy = try #require(sockets.copy(atPort: port))
        defer { close(copy) }
        var (mine, its) = (stat(), stat())
        #expect(fstat(socket, &mine) == 0 && fstat(copy, &its) == 0 && mine.st_ino == its.st_ino)
        #expect(fcntl(copy, F_GETFD) & FD_CLOEXEC != 0 && others.copy(atPort: port) == nil)
    }

    @Test func `a connection is a container's that the container has accepted, or nobody yet`() throws {
        let (socket, port) = try listening()
        defer { close(socket) }
        let container = try Container()
        let sockets = try #require(ContainerSockets(container.id, first: try container.start()))
        let client = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(client) }
        #expect(!sockets.serve(connection: client), "it is not connected")
        try #require(RawSocketAddress(.v4(SharedNetwork.address), port: port).connect(client) == 0)
        #expect(sockets.serve(connection: client))
        let accepted = accept(socket, nil, nil)
        try #require(accepted >= 0)
        #expect(!sockets.serve(connection: client), "this process has accepted it")
        _ = try container.start(holding: [accepted])
        close(accepted)
        #expect(sockets.serve(connection: client))
    }

    @Test func `a port where nothing listens is nobody's`() throws {
        let listeners = SharedListeners(), container = try Container()
        let port = try listeners.lease("a").execd
        let process = try container.start(holding: [try #require(listeners.descriptor(of: "a"))])
        let sockets = try #require(ContainerSockets(container.id, first: process))
        #expect(!sockets.serve(port) && sockets.copy(atPort: port) == nil)
    }

    @Test func `what a container's execd listened on stays taken when that has ended, and is not the container's`()
        async throws
    {
        let listeners = SharedListeners()
        let (socket, port) = try listening()
        do {
            let container = try Container()
            let process = try container.start(holding: [socket])
            close(socket)
            let sockets = try #require(ContainerSockets(container.id, first: process))
            listeners.keep(try #require(sockets.copy(atPort: port)), for: "a")
            container.end(process)
            #expect(!sockets.serve(port))
        }
        let lost = SharedNetwork(execd: port, code: port)
        #expect(!SharedListeners().takeBack("b", lost, from: nil), "it is held")
        listeners.release("a")
        // A child that another test starts meanwhile has this process's descriptors until it comes to its exec.
        #expect(try await eventually { SharedListeners().takeBack("b", lost, from: nil) })
    }

    @Test func `a process of no container has no sockets of one`() throws {
        let container = try Container()
        #expect(ContainerSockets(container.id, first: getpid()) == nil && ContainerSockets("", first: 0) == nil)
    }

    @Test func `members are listed where the groups of either version are`() {
        let id = String(repeating: "0123456789abcdef", count: 4)
        #expect(
            ContainerSockets.files(id, groups: "0::/system.slice/docker-\(id).scope\n")
                == ["", "/unified"].map { "/sys/fs/cgroup\($0)/system.slice/docker-\(id).scope/cgroup.procs" })
        #expect(
            ContainerSockets.files(id, groups: "4:cpu,cpuacct:/docker/\(id)\n3:name=systemd:/docker/\(id)\n1:pids:/\n")
                == ["cpu,cpuacct", "systemd"].map { "/sys/fs/cgroup/\($0)/docker/\(id)/cgroup.procs" })
        #expect(ContainerSockets.files(id, groups: "0::/docker/other\n").isEmpty)
    }
}
