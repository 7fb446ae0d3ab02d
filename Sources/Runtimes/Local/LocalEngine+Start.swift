import Netfilter
import Synchronization
import System
import Tracing

#if canImport(Glibc)
    import Glibc
#endif

/// Starting what was prepared.
extension LocalEngine {
    /// Starts the entrypoint; returns when execd accepts connections.
    /// - Parameter bucketKeys: of volumes that are buckets, by the volume's name.
    package func start(_ id: String, bucketKeys: [String: BucketKeys] = [:]) async throws(RuntimeError) {
        try await alone(id) { () async throws(RuntimeError) in
            let (record, folder) = try known(id)
            // The last thing that a create makes: nothing else refuses it after a folder or volume was made for it.
            let mounts = try await mounts(record, folder, bucketKeys)
            let span = ActiveSpan.current
            let pool = record.spec.volumes?.isEmpty == false ? volumeStarts : threads
            try await pool.runForRequest { [self] () throws(RuntimeError) in
                try start(record, folder, mounts, in: span)
            }
        }
    }

    private func mounts(
        _ record: SandboxRecord, _ folder: SandboxFolder, _ keys: [String: BucketKeys]
    ) async throws(RuntimeError) -> VolumeMounts {
        guard record.spec.volumes?.isEmpty == false else { return VolumeMounts() }
        let storages = volumes.storages(of: record.spec.volumes ?? [])
        return try await volumeThreads.open(storages) { [volumes, users] () throws(RuntimeError) in
            try volumes.open(record, folder, users: users.waiting(in: folder), keys: keys)
        } late: { [volumes] in
            volumes.closeBuckets(of: record, folder)
        }
    }

    private func start(
        _ record: SandboxRecord, _ folder: SandboxFolder, _ mounts: VolumeMounts, in span: ActiveSpan?
    ) throws(RuntimeError) {
        defer { withExtendedLifetime(mounts) {} }
        let id = record.spec.id
        let log = try folder.output.open()
        defer { close(log) }
        try folder.give([folder.output.path], to: record.users)
        let watch = folder.endWatch(of: record)
        let input = EndWatch.initsEnd(path: folder.end)
        defer { close(input) }
        // Only a process of this machine's kernel can join a group.
        let groups = runtime.kind == .containers ? try folder.group.openParts() : []
        defer { for descriptor in groups { close(descriptor) } }
        let joined = runtime.isStartedInGroup ? try folder.group.openPrograms() : []
        defer { for descriptor in joined { close(descriptor) } }
        let listener = record.shared.flatMap { _ in listeners.descriptor(of: id) }
        try publish(record)
        do throws(RuntimeError) {
            let view = RuntimeView(
                folder, execd: configuration.execdPath,
                networkNamespace: record.shared == nil ? record.link.namespacePath : nil,
                attachments: mounts.attachments)
            let passed = groups + (listener.map { [$0] } ?? [])
            try runtime.run(
                folder.name, view, detached: true, input: input, passed: passed, joined: joined, log: log)
            users.started(in: folder)
            try folder.group.denyAddedDevices()
        } catch {
            watch.close()
            throw .startFailed(id: id, reason: folder.withOutput("\(error)"))
        }
        let (address, port) = execd(of: record)
        let wait = StartWait(
            address: address,
            namespace: record.shared == nil ? NetworkNamespace(existing: record.link.namespacePath) : nil, port: port)
        guard let process = process(in: folder) else {
            throw .ended(watch.end(), in: folder)
        }
        let reaching = span?.child(CreateStep.reach)
        defer { reaching?.end() }
        switch wait.untilReached(process) {
        case .reached where !watch.hasReport: watcher.watch(process, watch)
        case .reached, .ended: throw .ended(watch.end(), in: folder)
        case .failed(let reason):
            watch.close()
            throw .startFailed(id: id, reason: folder.withOutput(reason))
        }
    }
}
