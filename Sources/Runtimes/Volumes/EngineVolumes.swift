import CLinux
import Logging
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The volumes of sandboxes on this machine: checks, opens and ends them.
struct EngineVolumes: Sendable {
    private let live: LiveStorage
    let named: NamedVolumes
    private let buckets: BucketVolumes
    let limits: DiskLimits
    let reserve: DiskReserve
    private let removals: Leftovers

    init(_ configuration: LocalConfiguration, limits: DiskLimits, reserve: DiskReserve, removals: Leftovers) {
        let storage = configuration.storage
        named = NamedVolumes(directory: configuration.volumesDirectory, sandboxes: configuration.stateDirectory)
        live = LiveStorage(
            hosts: HostFolders(
                allowed: storage.allowedHostPaths,
                withheld: storage.withheld + [
                    configuration.stateDirectory, configuration.volumesDirectory, storage.bucketRoot,
                    configuration.namespaceDirectory,
                ]), defaultBytes: storage.defaultBytes)
        buckets = BucketVolumes(storage, tag: configuration.tag, keysFolder: configuration.namespaceDirectory)
        (self.limits, self.reserve, self.removals) = (limits, reserve, removals)
        named.recover { removals.take(files: $0) }
        buckets.mounts.recover(sandboxes: File.names(in: configuration.stateDirectory) ?? [])
    }

    private var hosts: HostFolders { live.hosts }

    /// Sets what may be given from now on. Sandboxes keep what they have been given.
    func change(allowed: [HostPath], defaultBytes: Int64) { live.change(allowed: allowed, defaultBytes: defaultBytes) }

    /// For `VolumeThreads`: what has to answer when these are mounted.
    func storages(of volumes: [SandboxVolume]) -> Set<String> {
        Set(
            volumes.flatMap { volume -> Set<String> in
                switch volume.source {
                case .host(let path): hosts.storage(of: path)
                case .named: []
                case .bucket(let claim): buckets.storages(of: claim)
                }
            })
    }

    /// Checks without making anything, in the order of the request. What is checked may change until it is mounted, when it
    /// is checked again.
    /// - Parameter caller: as `EngineSpec.caller`.
    func check(_ volumes: [SandboxVolume], for caller: String?) throws(RuntimeError) {
        for volume in volumes {
            do throws(VolumeProblem) {
                switch volume.source {
                case .host(let path): _ = try hosts.open(path, volume, makes: false)
                case .named(let claim): try check(claim, for: caller)
                case .bucket(let claim): try buckets.check(claim, of: volume)
                }
            } catch { throw .volume(error) }
        }
    }

    private func check(_ claim: NamedVolumeClaim, for caller: String?) throws(VolumeProblem) {
        if let found = named[claim.claim] {
            guard found.isFor(caller) else { throw Self.missing(claim) }
            return
        }
        guard claim.createsIfMissing else { throw Self.missing(claim) }
        guard claim.bytes == nil || limits.isEnforced else {
            throw VolumeProblem(
                .unsupportedBackend,
                "the size of volume \(claim.claim) cannot be enforced on this server: it has neither project quotas nor loop devices"
            )
        }
    }

    /// Opens the volumes of a sandbox whose files are mounted and of which nothing runs.
    func open(
        _ record: SandboxRecord, _ folder: SandboxFolder, users: SandboxUsers?, keys: [String: BucketKeys]
    ) throws(RuntimeError) -> VolumeMounts {
        guard record.users == nil || users != nil else {
            throw .system(action: "mounting the volumes of \(record.spec.id)", reason: "its user namespace is gone")
        }
        let plan = VolumePlan(record.spec.volumes ?? [])
        let mounts = VolumeMounts()
        for entry in plan.entries {
            let source = try open(entry.volume, record, folder, users: users, keys: keys)
            // What a bucket's program shows belongs to the sandbox's users already.
            let mapped = entry.volume.isBucket ? nil : users
            try mounts.add(entry, of: plan, source: source, users: mapped, in: folder, seen: RuntimeView.folder)
        }
        return mounts
    }

    private func open(
        _ volume: SandboxVolume, _ record: SandboxRecord, _ folder: SandboxFolder, users: SandboxUsers?,
        keys: [String: BucketKeys]
    ) throws(RuntimeError) -> FileDescriptor {
        switch volume.source {
        case .host(let path):
            do throws(VolumeProblem) {
                // Not nil, since it may be made.
                return try hosts.open(path, volume, makes: true)!
            } catch { throw .volume(error) }
        case .named(let claim):
            let whole = try open(claim, for: record)
            if !volume.isReadOnly, volume.subPath == nil {
                let seed = VolumeSeed(
                    folder: named.folder(of: claim.claim), lower: record.spec.lower, mountPath: volume.mountPath)
                try seed.plant(reserve: reserve)
            }
            do throws(VolumeProblem) { return try VolumeParts.open(volume, in: whole, makes: true)! } catch {
                throw .volume(error)
            }
        case .bucket(let claim):
            return try buckets.open(
                claim, volume, keys, sandbox: folder.name, owner: users?.range.first ?? 0)
        }
    }

    private func open(_ claim: NamedVolumeClaim, for record: SandboxRecord) throws(RuntimeError) -> FileDescriptor {
        if let found = try named.open(claim.claim, for: record.spec) { return found }
        guard claim.createsIfMissing else { throw .volume(Self.missing(claim)) }
        let volume = VolumeRecord(
            name: claim.claim, createdAt: time(nil), bytes: claim.bytes ?? live.defaultBytes, madeBy: .server,
            owner: record.spec.caller, goesWith: claim.goesWithSandbox ? record.spec.id : nil)
        _ = try named.create(volume, limits, reserve: reserve.bytes)
        guard let made = try named.open(claim.claim, for: record.spec) else { throw .volume(Self.missing(claim)) }
        return made
    }

    /// Gives back the volumes of a sandbox that has ended, whose record is still there. Failures do not hold up its
    /// deletion.
    func end(_ record: SandboxRecord, _ folder: SandboxFolder) {
        closeBuckets(of: record, folder)
        for claim in Set((record.spec.volumes ?? []).compactMap(\.claim?.claim)) {
            guard named[claim]?.goesWith == record.spec.id else { continue }
            // If others have it, it stays.
            _ = try? named.remove(claim, besides: folder.name) { removals.take(files: $0) }
        }
    }

    /// Ends what waits for a sandbox's buckets.
    func cutOffBuckets(of record: SandboxRecord, _ folder: SandboxFolder) {
        buckets.mounts.cutOff((record.spec.volumes ?? []).filter(\.isBucket), sandbox: folder.name)
    }

    func closeBuckets(of record: SandboxRecord, _ folder: SandboxFolder) {
        buckets.mounts.unmount((record.spec.volumes ?? []).filter(\.isBucket), sandbox: folder.name)
    }

    /// Call when the record of a sandbox is gone: disks that nobody has any more are unmounted.
    func release(_ record: SandboxRecord) {
        for claim in Set((record.spec.volumes ?? []).compactMap(\.claim?.claim)) {
            removals.take("the disk of volume \(claim)", of: record.spec.id) { [named] in try named.release(claim) }
        }
    }

    private static func missing(_ claim: NamedVolumeClaim) -> VolumeProblem {
        // The same for one that is another key's: nobody learns that it is there.
        VolumeProblem(
            .claimNotFound,
            claim.createsIfMissing
                ? "there is no volume \(claim.claim) for this API key, and none can be made of that name"
                : "there is no volume \(claim.claim), and createIfNotExists is false")
    }
}

extension SandboxVolume {
    var isBucket: Bool { if case .bucket = source { true } else { false } }
}

/// What volumes of this machine may be.
package struct StorageConfiguration: Hashable, Sendable {
    /// With what is below them; empty for none.
    package var allowedHostPaths: [HostPath] = []
    /// The size in bytes of a named volume whose request names none.
    package var defaultBytes: Int64 = 1 << 30
    /// Where buckets may be; nowhere by default.
    package var bucketEndpoints = BucketEndpoints()
    /// What mounts buckets of S3.
    package enum S3Program: String, Hashable, Sendable, CaseIterable {
        case s3fs, rclone

        func of(_ claim: BucketClaim) -> BucketClaim {
            guard self == .rclone, claim.version == .s3 else { return claim }
            var claim = claim
            claim.version = .rclone
            return claim
        }
    }
    package var s3Program = S3Program.s3fs
    /// Where the programs that mount buckets are looked for.
    package var programFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    /// The folder in which buckets are mounted.
    package var bucketRoot = "/mnt/ossfs"
    /// Where files with buckets' keys are while they are mounted, in memory; nil for beside the network namespaces.
    package var keysFolder: String?
    /// Files and folders of the server that no volume shows, besides those of sandboxes and volumes.
    package var withheld: [String] = []

    package init() {}
}
