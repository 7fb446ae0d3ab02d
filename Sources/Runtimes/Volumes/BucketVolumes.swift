import System

/// Buckets as volumes of sandboxes: which of them may be had, and what mounts them.
struct BucketVolumes: Sendable {
    private let endpoints: BucketEndpoints
    private let program: StorageConfiguration.S3Program
    let mounts: BucketMounts

    /// - Parameters:
    ///   - tag: each server of a machine has its own, so that it knows which mounts are nobody's any more.
    ///   - keysFolder: where the configuration names none.
    init(_ storage: StorageConfiguration, tag: String, keysFolder: String) {
        (endpoints, program) = (storage.bucketEndpoints, storage.s3Program)
        mounts = BucketMounts(
            root: storage.bucketRoot + "/" + tag, keysFolder: storage.keysFolder ?? keysFolder,
            folders: storage.programFolders)
    }

    /// For `VolumeThreads`: what has to answer. By the operator's entry: a caller may spell an endpoint, or choose a host below
    /// one, in any number of ways.
    func storages(of claim: BucketClaim) -> Set<String> {
        [StoragePlaces.buckets, "bucket " + (endpoints.entry(for: claim.endpoint) ?? "")]
    }

    /// Checks without mounting anything.
    func check(_ claim: BucketClaim, of volume: SandboxVolume) throws(VolumeProblem) {
        guard endpoints.allow(claim.endpoint) else {
            throw VolumeProblem(
                .invalidEndpoint,
                "the endpoint of volume \(volume.name) is not one that this server may connect to "
                    + "(storage.bucket_endpoints)")
        }
        try mounts.check(program.of(claim))
    }

    /// - Parameters:
    ///   - keys: of the request, by the volume's name.
    ///   - owner: the id of this machine whose files they are to be.
    /// - Returns: a descriptor (O_PATH) of the bucket's files.
    func open(
        _ claim: BucketClaim, _ volume: SandboxVolume, _ keys: [String: BucketKeys], sandbox: String, owner: UInt32
    ) throws(RuntimeError) -> FileDescriptor {
        guard let keys = keys[volume.name] else {
            throw .volume(VolumeProblem(.invalidBucketKeys, "there are no keys for volume \(volume.name)"))
        }
        return try mounts.mount(program.of(claim), volume, keys, sandbox: sandbox, owner: owner)
    }
}
