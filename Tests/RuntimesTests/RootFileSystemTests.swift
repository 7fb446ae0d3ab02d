import Foundation
import Glibc
import Logging
import NIOCore
import TestSupport
import Testing

@testable import Runtimes

/// execd is put into images that have no library to rely on, and perhaps no shell: it starts as the first process in all of
/// them, whichever program makes the containers.
@Suite(.serialized) struct RootFileSystemTests {
    enum Tree: String, CaseIterable {
        /// A static shell and its links.
        case busybox
        /// A list of users and one static program.
        case bare
        /// Programs for musl, and its loader.
        case musl
        /// Programs for glibc, and its loader.
        case glibc
    }

    private static let runtimes: [String] = ["crun", "runc"].filter { (try? OCIRuntime.find($0)) != nil }

    @Test(arguments: Tree.allCases, runtimes)
    func `execd starts, is asked, and ends`(tree: Tree, runtime name: String) async throws {
        try await TestRuntime.run { test async throws in
            let image = test.folder + "/tree"
            try make(tree, at: image)
            var configuration = test.configuration
            configuration.ociRuntime = name
            let runtime = try LocalEngine(configuration: configuration, logger: Logger(label: "test"))
            let id = "\(tree.rawValue)-\(name)"
            let prepared = try await runtime.prepare(
                EngineSpec(id: id, imageRoot: image, entrypoint: ["/busybox", "sleep", "1000"]))
            try await runtime.start(id)
            // A program of the image, and no shell.
            let body = #"{"argv":["/busybox","echo","hello"]}"#
            let address = try SocketAddress(ipAddress: "\(prepared.address)", port: 44772)
            let answer = try await RawClient(address).exchange(
                "POST /command HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            )
            #expect(answer.contains(#""text":"hello""#) && answer.contains("execution_complete"), "\(answer)")
            #expect(await runtime.state(of: id) == .running)
            try await runtime.delete(id)
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `execd asks for no loader and no library`() throws {
        let file = try Data(contentsOf: URL(filePath: try #require(BusyboxImage.execd)))
        // The kinds of an ELF file's segments: 2 is what a loader reads, 3 names the loader.
        let start = Int(file[32]) | Int(file[33]) << 8, size = Int(file[54]), count = Int(file[56])
        let kinds = (0..<count).map { file[start + $0 * size] }
        #expect(!kinds.contains(3) && kinds.contains(1), "\(kinds)")
    }

    private func make(_ tree: Tree, at root: String) throws {
        switch tree {
        case .busybox:
            try BusyboxImage.create(at: root)
            try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: root + "/busybox")
        case .bare:
            try folders(root, ["etc"])
            try Data("root:x:0:0::/:/busybox\n".utf8).write(to: URL(filePath: root + "/etc/passwd"))
            try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: root + "/busybox")
        case .musl:
            try folders(root, ["lib"])
            try compile(with: "musl-gcc", to: root + "/busybox")
            // The loader is the library.
            let loader = try #require(
                try FileManager.default.contentsOfDirectory(atPath: "/lib").first { $0.hasPrefix("ld-musl-") })
            try FileManager.default.copyItem(
                atPath: URL(filePath: "/lib/" + loader).resolvingSymlinksInPath().path(),
                toPath: root + "/lib/" + loader)
        case .glibc:
            try folders(root, ["lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"])
            try compile(with: "cc", to: root + "/busybox")
            for path in [
                "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/ld-linux-aarch64.so.1",
                "/lib/aarch64-linux-gnu/libc.so.6",
            ] where access(path, R_OK) == 0 {
                try FileManager.default.copyItem(
                    atPath: URL(filePath: path).resolvingSymlinksInPath().path(), toPath: root + path)
            }
        }
    }

    private func folders(_ root: String, _ names: [String]) throws {
        for name in names {
            try FileManager.default.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true)
        }
    }

    /// A program that needs its C library's loader: it says words, or sleeps.
    private func compile(with compiler: String, to path: String) throws {
        let source = path + ".c"
        let text = """
            #include <stdio.h>
            #include <stdlib.h>
            #include <string.h>
            #include <unistd.h>
            int main(int count, char **words) {
                if (count > 2 && !strcmp(words[1], "sleep")) return (int)sleep((unsigned)atoi(words[2]));
                return count > 2 ? puts(words[2]) < 0 : 1;
            }

            """
        try Data(text.utf8).write(to: URL(filePath: source))
        defer { unlink(source) }
        try Command.run(compiler, "-o", path, source)
    }
}
