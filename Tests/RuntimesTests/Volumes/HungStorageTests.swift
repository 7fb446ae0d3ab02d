import Foundation
import Glibc
import Logging
import TestSupport
import Testing

@testable import Runtimes

/// A bucket whose program takes a read and never answers it: who waits for it ends by no signal.
@Suite(.serialized, .enabled(if: access("/dev/fuse", R_OK | W_OK) == 0, "the machine has no /dev/fuse"))
struct HungStorageTests {
    private static let program = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Faults/hanging_files.py").path

    private func adjust(_ configuration: inout LocalConfiguration, _ folder: String) {
        configuration.storage.bucketRoot = folder + "/buckets"
        configuration.storage.programFolders = [folder + "/bin", "/usr/bin", "/bin"]
    }

    /// Waits for the file `number` of a bucket.
    private func hang(_ id: String, _ number: Int, _ volumes: VolumeRuntime) async throws {
        let test = volumes.test, path = test.folder + "/bin/ossfs2"
        mkdir(test.folder + "/bin", 0o755)
        let script = "#!/bin/sh\nexec python3 \(Self.program) --background $2 \(test.folder)/\(id).log\n"
        try Script.write(script, to: path)
        let bucket = SandboxVolume(
            name: "b", mountPath: try MountPath("/b", of: "b"), isReadOnly: false, subPath: nil,
            source: .bucket(BucketClaim(bucket: "abc", endpoint: "oss.example", version: .two)))
        _ = try await test.runtime.prepare(volumes.spec(id, "exec cat /b/hang-\(number)", [bucket]))
        try await test.runtime.start(id, bucketKeys: ["b": BucketKeys(id: "the-id", secret: "tops3cret")])
        let isAsked = try await eventually { contents(of: "\(test.folder)/\(id).log")?.contains("asked") == true }
        #expect(isAsked)
    }

    @Test func `a deletion ends in time, holds up nobody, and goes on until the bucket is cut off`() async throws {
        try await VolumeRuntime.run(
            adjust: adjust, patience: EndPatience(end: .milliseconds(200), bucket: .seconds(3600))
        ) { volumes async throws in
            let test = volumes.test, runtime = test.runtime
            try await hang("hung-1", 1, volumes)
            await #expect {
                try await runtime.delete("hung-1")
            } throws: {
                "\($0)".contains("may not answer")
            }
            // It is killed, and what is in the way of its end is not taken away yet.
            #expect(await runtime.list() == ["hung-1"])
            _ = try await test.started("free-1", "exec sleep 1000")
            try await runtime.delete("free-1")
            let later = try LocalEngine(
                configuration: test.configuration, patience: EndPatience(end: .seconds(5), bucket: .zero),
                logger: Logger(label: "test"))
            try await later.delete("hung-1")
            #expect(await later.list().isEmpty)
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `a storage has a part of the threads, and another its own`() async throws {
        var threads = VolumeThreads()
        threads.checkPatience = .seconds(3600)
        let hung = DispatchSemaphore(value: 0), (begun, begin) = AsyncStream<Void>.makeStream()
        let waiting = (0..<StoragePlaces.most).map { [threads] _ in
            Task {
                try? await threads.check(["silent"]) { () throws(RuntimeError) in
                    begin.yield()
                    hung.wait()
                }
            }
        }
        var count = 0
        for await _ in begun {
            count += 1
            if count == waiting.count { break }
        }
        var impatient = threads
        impatient.checkPatience = .milliseconds(20)
        for storages in [["silent"], ["silent", "other"]] {
            await #expect {
                try await impatient.check(Set(storages)) { () throws(RuntimeError) in Issue.record("it has begun") }
            } throws: {
                "\($0)".contains("does not answer")
            }
        }
        try await threads.check(["other"]) { () throws(RuntimeError) in }
        for _ in waiting { hung.signal() }
        for task in waiting { await task.value }
        try await threads.check(["silent", "other"]) { () throws(RuntimeError) in }
    }

    @Test func `all buckets together leave threads to the folders of the machine`() async {
        let places = StoragePlaces(), limit = Duration.milliseconds(20)
        var taken: [StoragePlaces.Place] = []
        for number in 0...StoragePlaces.mostBuckets {
            if let place = await places.take([StoragePlaces.buckets, "bucket \(number)"], within: limit) {
                taken.append(place)
            }
        }
        #expect(taken.count == StoragePlaces.mostBuckets)
        let hasRoom = await places.take(["/srv"], within: limit) != nil
        #expect(hasRoom)
        withExtendedLifetime(taken) {}
    }

    @Test func `who is called off does not wait for storage`() async throws {
        let threads = VolumeThreads(), hung = DispatchSemaphore(value: 0)
        let (begun, begin) = AsyncStream<Void>.makeStream()
        let waiting = Task { () -> RuntimeError? in
            do throws(RuntimeError) {
                try await threads.open(["silent"]) { () throws(RuntimeError) in
                    begin.yield()
                    hung.wait()
                } late: {
                }
                return nil
            } catch { return error }
        }
        for await _ in begun { break }
        waiting.cancel()
        #expect(await waiting.value == .cancelled)
        hung.signal()
    }
}
