import CLinux
import Foundation
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct WatchValueTests {
    private func notice(_ watch: Int32, _ mask: UInt32, _ name: String = "") -> WatchNotice {
        WatchNotice(watch: watch, mask: mask, name: name)
    }

    /// So that what is expected may change it.
    private final class Folders {
        private var folders: WatchedFolders

        init(isRecursive: Bool) {
            folders = WatchedFolders(root: "/w", isRecursive: isRecursive)
            for (watch, path) in [(1, "/w"), (2, "/w/sub"), (3, "/w/sub/deep")] as [(Int32, String)] {
                folders.add(watch, path)
            }
        }

        func steps(_ notice: WatchNotice) -> [WatchedFolders.Step] { folders.steps(notice) }
    }

    private func folders(isRecursive: Bool = true) -> Folders { Folders(isRecursive: isRecursive) }

    @Test func `notices are read as the kernel writes them`() {
        func bytes(_ numbers: [UInt32], _ name: String, _ length: Int) -> [UInt8] {
            numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian, Array.init) } + Array(name.utf8)
                + [UInt8](repeating: 0, count: length - name.utf8.count)
        }
        let first = bytes([1, LINUX_IN_CREATE, 0, 16], "file", 16)
        let second = bytes([.max, LINUX_IN_Q_OVERFLOW, 0, 0], "", 0)
        #expect(
            WatchNotice.parse(first + second) == [notice(1, LINUX_IN_CREATE, "file"), notice(-1, LINUX_IN_Q_OVERFLOW)])
        for end in 0..<first.count { #expect(WatchNotice.parse(first[..<end]).isEmpty) }
        #expect(WatchNotice.parse(bytes([1, 2, 0, .max], "x", 1)).isEmpty)
    }

    @Test(
        arguments: [
            (LINUX_IN_CREATE, .create), (LINUX_IN_MOVED_TO, .create), (LINUX_IN_MODIFY, .write),
            (LINUX_IN_DELETE, .remove), (LINUX_IN_MOVED_FROM, .rename), (LINUX_IN_ATTRIB, .chmod),
        ] as [(UInt32, WatchedFolders.Change.Kind)])
    func `what happens to a file is told`(_ mask: UInt32, _ kind: WatchedFolders.Change.Kind) {
        let folders = folders()
        #expect(folders.steps(notice(2, mask, "f")) == [.tell(.init(kind: kind, path: "/w/sub/f", isFolder: false))])
    }

    @Test func `a new folder is entered, one that is moved away is left with all below it`() {
        let folders = folders()
        let made = folders.steps(notice(1, LINUX_IN_CREATE | LINUX_IN_ISDIR, "new"))
        #expect(made.last == .enter("/w/new", tells: true))
        #expect(
            folders.steps(notice(1, LINUX_IN_MOVED_TO | LINUX_IN_ISDIR, "in")).last == .enter("/w/in", tells: false))
        let moved = folders.steps(notice(1, LINUX_IN_MOVED_FROM | LINUX_IN_ISDIR, "sub"))
        #expect(moved.dropFirst() == [.leave(2), .leave(3)])
        #expect(folders.steps(notice(3, LINUX_IN_MODIFY, "f")).isEmpty, "its notices are late")
        let flat = self.folders(isRecursive: false)
        #expect(flat.steps(notice(1, LINUX_IN_CREATE | LINUX_IN_ISDIR, "new")).count == 1)
    }

    @Test func `the end of the folder, and lost notices, are told`() {
        for mask in [LINUX_IN_DELETE_SELF, LINUX_IN_MOVE_SELF, LINUX_IN_UNMOUNT, LINUX_IN_IGNORED] {
            let folders = folders()
            #expect(folders.steps(notice(1, mask)) == [.end])
            #expect(folders.steps(notice(2, mask)).isEmpty)
        }
        let folders = folders()
        #expect(folders.steps(notice(-1, LINUX_IN_Q_OVERFLOW)) == [.overflow])
        #expect(folders.steps(notice(9, LINUX_IN_MODIFY, "f")).isEmpty, "a watch that nobody knows")
    }
}

@Suite(.serialized) struct WatchTests {
    private struct Event: Decodable { var type: String, name: String?, path: String?, is_directory: Bool? }

    private func events(_ text: String) -> [Event] {
        text.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("{") }.compactMap {
            try? JSONDecoder().decode(Event.self, from: Data($0.utf8))
        }
    }

    /// Watches while `change` runs, until an event of the name `last` has come.
    private func watch(
        _ execd: LiveExecd, _ query: String, until last: @escaping @Sendable (String) -> Bool,
        _ change: @escaping @Sendable () throws -> Void
    ) async throws -> [Event] {
        let started = AsyncStream<Void>.makeStream()
        async let seen = RawClient(execd.address).exchange("GET /files/watch?\(query) HTTP/1.1\r\nHost: x\r\n\r\n") {
            if $0.contains(#""type":"init""#) { started.continuation.finish() }
            return last($0)
        }
        for await _ in started.stream {}
        try change()
        return events(try await seen)
    }

    @Test func `changes are told in their order`() async throws {
        try await Scratch.run { execd, scratch async throws in
            try scratch.file("there")
            let events = try await watch(execd, "path=~", until: { $0.contains(#""name":"last""#) }) {
                try scratch.shell(
                    "echo x > a; chmod 600 a; mv a b; rm b; mkdir -p sub; echo y > sub/unseen; mkdir last")
            }
            let told = events.dropFirst().map { "\($0.type) \($0.name ?? "")" }
            for expected in ["create a", "write a", "chmod a", "rename a", "create b", "remove b", "create sub"] {
                #expect(told.contains(expected), "\(told)")
            }
            let order = ["create a", "write a", "rename a", "create b", "remove b", "create last"].map {
                told.firstIndex(of: $0)!
            }
            #expect(order == order.sorted() && !told.contains { $0.contains("unseen") })
            #expect(events.first?.type == "init" && events.last?.is_directory == true)
            #expect(events.last?.path == scratch.path + "/last")
        }
    }

    @Test func `folders that come are watched, with what is in them by then`() async throws {
        try await Scratch.run { execd, scratch async throws in
            try scratch.shell(
                "mkdir -p a/b ../$(basename $PWD)-outside/in/side; touch ../$(basename $PWD)-outside/in/side/f")
            let events = try await watch(execd, "path=~&recursive=true", until: { $0.contains(#""name":"last""#) }) {
                try scratch.shell(
                    """
                    touch a/b/one; mkdir -p c/d/e; touch c/d/e/two; mv a moved; touch moved/b/three
                    mv ../$(basename $PWD)-outside/in .; touch in/side/four; rmdir ../$(basename $PWD)-outside; mkdir last
                    """)
            }
            let told = Set(events.map { "\($0.type) \($0.name ?? "")" })
            for expected in [
                "create a/b/one", "create c", "create c/d", "create c/d/e", "create c/d/e/two", "rename a",
                "create moved",
                "create in",
            ] {
                #expect(told.contains(expected), "\(told.sorted())")
            }
        }
    }

    @Test func `the watch ends with its folder`() async throws {
        try await Scratch.run { execd, scratch async throws in
            for command in ["rmdir w", "mv w v"] {
                try scratch.shell("rm -rf v; mkdir w")
                let events = try await watch(execd, "path=~/w", until: { $0.contains(#""type":"end""#) }) {
                    try scratch.shell(command)
                }
                #expect(events.last?.type == "end")
            }
        }
    }

    @Test func `a client that does not read loses changes, and is told that it has`() async throws {
        let scratch = Scratch()
        mkdir(scratch.path, 0o755)
        defer { try? FolderChanges.removeTree(scratch.path) }
        let watch = try FolderWatch(scratch.path, isRecursive: false)
        let descriptor = try watch.descriptor()
        defer { close(descriptor) }
        let most = Int(File.text("/proc/sys/fs/inotify/max_queued_events")?.filter(\.isNumber) ?? "") ?? 16384
        // Two notices each, which differ from those before them.
        for number in 0...most / 2 {
            let file = open("\(scratch.path)/f\(number % 100)", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
            unlink("\(scratch.path)/f\(number % 100)")
            close(file)
        }
        var last: FolderWatch.Outcome?
        while let bytes = FileBytes.read(descriptor, upTo: 64 << 10), !bytes.isEmpty {
            last = watch.outcomes(of: WatchNotice.parse(bytes)).last ?? last
        }
        #expect(last == .missed(nil))
    }

    @Test func `bad requests are told so`() async throws {
        try await Scratch.run { execd, scratch async throws in
            try scratch.file("file")
            #expect(try await execd.ask("GET", "/files/watch").code == "MISSING_QUERY")
            #expect(try await execd.ask("GET", "/files/watch?path=~/none").status == 404)
            #expect(try await execd.ask("GET", "/files/watch?path=~/file").code == "INVALID_FILE")
            #expect(try await execd.ask("GET", "/files/watch?path=~&recursive=1").status == 400)
            #expect(try await execd.call("HEAD", "/files/watch?path=~").hasPrefix("HTTP/1.1 200"))
        }
    }
}
