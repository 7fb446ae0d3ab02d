import CLinux
import Glibc
import System
import TestSupport
import Testing

@Suite struct ProcessLaunchTests {
    private func output(_ launch: ProcessLaunch) throws -> (text: String, status: ProcessExit) {
        var ends: [CInt] = [-1, -1]
        try #require(linux_pipe(&ends) == 0)
        let reader = try FileDescriptor(ends[0])
        var launch = launch
        let pid: pid_t
        do {
            let writer = try FileDescriptor(ends[1])
            launch.output = writer.number
            pid = try launch.start()
        }
        let bytes = try File.read(reader.number)
        return (String(decoding: bytes, as: UTF8.self), ProcessExit(waitingFor: pid))
    }

    @Test func `a program gets its arguments and environment, and nothing else of ours`() throws {
        let launch = ProcessLaunch(["/usr/bin/env", "-u", "none"], environment: ["A=1", "B=two words"])
        let found = try output(launch)
        #expect(found.text == "A=1\nB=two words\n" && found.status == .exited(0))
    }

    @Test func `a name is looked up in the path that is given`() throws {
        var launch = ProcessLaunch(["sh", "-c", "exit 3"], environment: [])
        launch.searchPath = "/none:/bin:/usr/bin"
        #expect(try output(launch).status == .exited(3))
        launch.searchPath = "/none"
        #expect(throws: SystemCallError(code: ENOENT)) { try launch.start() }
    }

    @Test func `a hidden folder is empty for the program, and keeps nothing of what it makes there`() throws {
        let temporary = TemporaryFolder("hidden"), folder = temporary.path
        #expect(mkdir(folder + "/ours", 0o700) == 0)
        let script = "mkdir -p \(folder)/made/below && ls \(folder)"
        var launch = ProcessLaunch(["/bin/sh", "-c", script], environment: ["PATH=/bin"])
        launch.mounts = ProcessLaunch.Mounts()
        launch.mounts?.hidden = folder
        #expect(try output(launch).text == "made\n")
        #expect(access(folder + "/ours", F_OK) == 0 && access(folder + "/made", F_OK) != 0)
    }

    @Test func `an end by a signal is told apart, with the code that shells give it`() throws {
        let status = try output(ProcessLaunch(["/bin/sh", "-c", "kill -TERM $$"], environment: [])).status
        #expect(status == .signalled(SIGTERM) && status.code == 128 + SIGTERM)
    }

    @Test func `a helper does not outlive the thread that started it, and who is told to does`() throws {
        for endsWithThread in [true, false] {
            let started = try CommandQueue<pid_t>()
            try DetachedThread.start {
                var launch = ProcessLaunch(["/bin/sleep", "600"], environment: [])
                launch.endsWithThread = endsWithThread
                started.send((try? launch.start()) ?? -1)
            }
            var entry = pollfd(fd: started.descriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&entry, 1, 60_000) == 1)
            let pid = try #require(started.take().first)
            try #require(pid > 0)
            if !endsWithThread { kill(pid, SIGTERM) }
            #expect(ProcessExit(waitingFor: pid) == .signalled(endsWithThread ? SIGKILL : SIGTERM))
        }
    }
}
