import Foundation
import Glibc
import Logging
import TestSupport
import Testing

@testable import Runtimes

/// Snapshots of real sandboxes, on real overlays.
@Suite(.serialized) struct SnapshotTests {
    /// A runtime, and sandboxes in it by name.
    private struct Yard {
        let test: TestRuntime
        let runtime: LocalRuntime

        init(_ test: TestRuntime) throws {
            self.test = test
            runtime = try test.runtime(NotingGuard(test.runtime))
        }

        /// Starts a sandbox and waits until its script has said that it is done.
        func create(_ id: String, from snapshot: String? = nil, _ script: String) async throws {
            var spec = test.spec(id)
            if let snapshot { spec.source = .snapshot(snapshot) }
            spec.entrypoint = [
                "/bin/sh", "-c", "PATH=/bin; b() { /bin/busybox \"$@\"; }; \(script)\necho done; exec sleep 1000",
            ]
            _ = try await runtime.create(spec) { _ in }
            let isDone = try await eventually { test.log(id).contains("done") }
            #expect(isDone, "\(test.log(id))")
        }

        func says(_ id: String) -> String { test.log(id).replacing("done\n", with: "") }

        /// Waits, since what nobody needs is removed in the background.
        func layers(_ count: Int) async throws -> Bool {
            try await eventually { ControlGroup.entries(of: test.folder + "/snapshots/layers").count == count }
        }

        var unfinished: [String] { ControlGroup.entries(of: test.folder + "/snapshots/work") }
    }

    private func withYard(_ body: (Yard) async throws -> Void) async throws {
        try await TestRuntime.run { test in
            let yard = try Yard(test)
            try await body(yard)
            for id in await test.runtime.list() { try await yard.runtime.delete(id) }
            let isClean = try await eventually { yard.unfinished.isEmpty }
            #expect(isClean && test.traces.isEmpty, "\(test.traces) \(yard.unfinished)")
        }
    }

    @Test func `a restored sandbox has the files of its source, and neither changes the other's`() async throws {
        try await withYard { yard in
            try await yard.create(
                "source-1",
                "echo one > /tmp/file; b chown 7:8 /tmp/file; b ln /tmp/file /linked; b rm /bin/nc; b rm -r /root; b mkdir /root"
            )
            try await yard.runtime.takeSnapshot("snap-1", of: "source-1")
            #expect(await yard.test.runtime.state(of: "source-1") == .running)
            try await yard.runtime.delete("source-1")
            let look =
                "b stat -c '%u-%g-%h' /linked; cat /tmp/file; ls /bin/nc; cat /etc/hostname; echo more >> /tmp/file"
            for id in ["restored-1", "restored-2"] {
                try await yard.create(id, from: "snap-1", look)
                let said = yard.says(id)
                #expect(said.contains("7-8-2\none\n") && said.contains("/bin/nc: No such file"), "\(said)")
                #expect(said.contains("sandbox-restored\n"))
            }
            #expect(try await yard.runtime.snapshots() == ["snap-1"])
            try await yard.runtime.deleteSnapshot("snap-1")
        }
    }

    @Test func `a paused sandbox stays paused, and a running one runs on`() async throws {
        try await withYard { yard in
            try await yard.create("paused-1", "echo x > /x; (while true; do echo tick; sleep 0.02; done) &")
            try await yard.runtime.pause("paused-1")
            try await yard.runtime.takeSnapshot("snap-1", of: "paused-1")
            #expect(await yard.test.runtime.state(of: "paused-1") == .paused)
            try await yard.runtime.resume("paused-1")
            try await yard.runtime.takeSnapshot("snap-2", of: "paused-1")
            let count = yard.says("paused-1").count
            let goesOn = try await eventually { yard.says("paused-1").count > count }
            #expect(goesOn)
            #expect(try await yard.runtime.snapshots() == ["snap-1", "snap-2"])
            for id in ["snap-1", "snap-2"] { try await yard.runtime.deleteSnapshot(id) }
        }
    }

    @Test func `generations of snapshots share their layers, and many become one`() async throws {
        try await withYard { yard in
            let most = LayerStore.maxLayers
            var source: String?
            for number in 0..<most + 2 {
                try await yard.create(
                    "age-\(number)", from: source,
                    "echo \(number) > /age; echo x > /age-\(number); b rm -f /age-\(number - 2)")
                source = "snap-\(number)"
                try await yard.runtime.takeSnapshot("snap-\(number)", of: "age-\(number)")
                try await yard.runtime.delete("age-\(number)")
            }
            let layers = try yard.test.layers()
            #expect(try layers.borrow("snap-\(most - 1)").layers.count == most)
            #expect(try layers.borrow("snap-\(most)").layers.count == 1)
            #expect(try layers.borrow("snap-\(most + 1)").layers.count == 2)
            try await yard.create("last-1", from: source, "cat /age; ls -d /age-*; ls /bin/sh")
            let ages = [most, most + 1].map { "/age-\($0)\n" }.sorted().joined()
            #expect(yard.says("last-1") == "\(most + 1)\n\(ages)/bin/sh\n")
            for number in 0..<most + 1 { try await yard.runtime.deleteSnapshot("snap-\(number)") }
            #expect(try await yard.layers(2), "the last one and that on which it stands")
        }
    }

    @Test func `a snapshot that sandboxes stand on can be deleted, and its files go after them`() async throws {
        try await withYard { yard in
            try await yard.create("source-1", "echo one > /one")
            try await yard.runtime.takeSnapshot("snap-1", of: "source-1")
            try await yard.create(
                "restored-1", from: "snap-1", "cat /one; echo two > /one")
            try await yard.runtime.deleteSnapshot("snap-1")
            #expect(try await yard.runtime.snapshots().isEmpty)
            // Another server on the same folders sees that they are in use, too.
            let second = try yard.test.layers()
            await second.collect { yard.test.runtime.layersInUse }
            try await yard.runtime.takeSnapshot("snap-2", of: "restored-1")
            try await yard.create("restored-2", from: "snap-2", "cat /one")
            #expect(yard.says("restored-2") == "two\n")
            try await yard.runtime.deleteSnapshot("snap-2")
            await #expect(throws: RuntimeError.self) { try await yard.create("restored-3", from: "snap-2", "true") }
            for id in ["restored-1", "restored-2", "source-1"] { try await yard.runtime.delete(id) }
            #expect(try await yard.layers(0))
        }
    }

    @Test func `what a server has left half done is taken away by the next, and a held sandbox is let go`() async throws
    {
        try await withYard { yard in
            try await yard.create("held-1", "(while true; do echo tick; sleep 0.02; done) &")
            let folder = yard.test.sandbox("held-1")
            // What a server leaves that ends while it reads the files.
            try folder.write("", to: "captured")
            #expect(folder.group.setFrozen(true))
            let snapshots = yard.test.folder + "/snapshots"
            for path in ["work/abc/files", "layers/nobodys"] {
                try FileManager.default.createDirectory(
                    atPath: "\(snapshots)/\(path)", withIntermediateDirectories: true)
            }
            #expect(await yard.test.runtime.state(of: "held-1") == .running, "its client did not pause it")
            let second = try LocalEngine(configuration: yard.test.configuration, logger: Logger(label: "test"))
            #expect(!folder.isBeingCaptured && !folder.group.isFrozen)
            let next = try yard.test.layers()
            await next.collect { second.layersInUse }
            #expect(try await yard.layers(0))
            try await second.pause("held-1")
            try await yard.runtime.takeSnapshot("snap-1", of: "held-1")
            #expect(await second.state(of: "held-1") == .paused)
            try await yard.runtime.deleteSnapshot("snap-1")
        }
    }

    @Test func `a capture that is called off leaves the sandbox running and nothing of itself`() async throws {
        try await withYard { yard in
            try await yard.create("many-1", "b mkdir /many; cd /many; b seq 20000 | b xargs touch")
            let capture = Task { () -> RuntimeError? in
                withUnsafeCurrentTask { $0?.cancel() }
                do throws(RuntimeError) { try await yard.runtime.takeSnapshot("snap-1", of: "many-1") } catch {
                    return error
                }
                return nil
            }
            #expect(await capture.value == .cancelled)
            #expect(await yard.test.runtime.state(of: "many-1") == .running)
            #expect(try await yard.runtime.snapshots().isEmpty)
            #expect(try await yard.layers(0))
        }
    }

    @Test func `an image stays as long as a snapshot stands on it`() async throws {
        try await withYard { yard in
            try await yard.create("source-1", "true")
            try await yard.runtime.takeSnapshot("snap-1", of: "source-1")
            let layers = yard.runtime.layers
            #expect(layers.holds(image: yard.test.image) && !layers.holds(image: "/other"))
            #expect(try yard.test.layers().holds(image: yard.test.image), "also for the next server")
            // A create that has begun stands on it, too, until its own record says so.
            let borrowed = try layers.borrow("snap-1")
            try await yard.runtime.deleteSnapshot("snap-1")
            #expect(layers.holds(image: yard.test.image))
            layers.giveBack(borrowed.layers, image: borrowed.image.root)
            #expect(!layers.holds(image: yard.test.image))
        }
    }

    @Test func `a record that was being written when the server was killed is gone with the next`() throws {
        let folder = TemporaryFolder("layers"), records = folder.path + "/records"
        try FileManager.default.createDirectory(atPath: records, withIntermediateDirectories: true)
        for name in ["cut-short.json.new", "other.txt"] {
            #expect(FileManager.default.createFile(atPath: records + "/" + name, contents: Data("{".utf8)))
        }
        let store = try LayerStore(directory: folder.path, logger: Logger(label: "test"))
        #expect(ControlGroup.entries(of: records) == ["other.txt"])
        #expect(!store.holds(image: "/image"), "nothing of it is taken for a snapshot")
    }

    @Test func `a record that nobody can read keeps all layers and images`() async throws {
        let folder = "/tmp/spt-snapshots-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for name in ["layers/other", "records"] {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
        }
        try Data(#"{"version":9}"#.utf8).write(to: URL(filePath: folder + "/records/later.json"))
        let store = try LayerStore(directory: folder, logger: Logger(label: "test"))
        await store.collect { [] }
        #expect(ControlGroup.entries(of: folder + "/layers") == ["other"] && store.holds(image: "/any"))
        #expect(store.ids(of: "ours").isEmpty)
    }

    @Test func `every file that was closed before is in the snapshot`() async throws {
        try await withYard { yard in
            try await yard.create(
                "busy-1", "i=0; (while [ $i -lt 3000 ]; do i=$((i + 1)); echo $i > /n-$i; echo wrote $i; done) &")
            for number in 0..<6 {
                let written = yard.says("busy-1").split(separator: "\n").last { $0.hasPrefix("wrote ") }.map {
                    $0.dropFirst(6)
                }
                try await yard.runtime.takeSnapshot("snap-\(number)", of: "busy-1")
                let layer = try #require(try yard.runtime.layers.borrow("snap-\(number)").layers.first)
                if let written {
                    let text = try String(contentsOfFile: "\(layer)/n-\(written)", encoding: .utf8)
                    #expect(text == written + "\n")
                }
            }
            for number in 0..<6 {
                yard.runtime.layers.giveBack([yard.test.folder + "/snapshots/layers/snap-\(number)"])
                try await yard.runtime.deleteSnapshot("snap-\(number)")
            }
        }
    }
}
