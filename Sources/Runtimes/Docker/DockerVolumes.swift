import CLinux
import JSON
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What requests mount: volumes of the engine by their names, files of this machine, and buckets that a program of this machine
/// shows. The latter two are opened first, step by step, and bound to a place of this server's, which is what the engine is told:
/// no link can be put in between.
final class DockerVolumes: Sendable {
    private let engine: EngineClient
    private let engineFiles: EngineFiles
    private let live: LiveStorage
    private var hosts: HostFolders { live.hosts }
    private let buckets: BucketVolumes
    /// The folder of those places.
    private let places: String
    private let owner: String
    private let threads = WorkerPool(maxThreads: 8)
    private let volumeThreads = VolumeThreads()

    init(_ engine: EngineClient, _ configuration: DockerConfiguration, owner: String) {
        self.engine = engine
        self.owner = owner
        places = configuration.namespaceDirectory + "-volumes"
        engineFiles = EngineFiles(engine)
        live = LiveStorage(
            hosts: HostFolders(
                allowed: configuration.storage.allowedHostPaths,
                withheld: configuration.storage.withheld + [
                    configuration.stateDirectory, configuration.namespaceDirectory, places,
                ]), defaultBytes: configuration.storage.defaultBytes)
        buckets = BucketVolumes(
            configuration.storage, tag: configuration.tag, keysFolder: configuration.namespaceDirectory)
    }

    /// Takes away what a server that was killed has mounted for sandboxes that are none.
    /// - Parameter sandboxes: the ids of those that are.
    func recover(sandboxes: [String]) {
        let names = sandboxes.map(SandboxName.of)
        for name in Set(File.names(in: places) ?? []).subtracting(names) { Self.unbind(in: places + "/" + name) }
        buckets.mounts.recover(sandboxes: names)
    }

    /// Sets what may be given from now on.
    func change(_ storage: StorageConfiguration) {
        live.change(allowed: storage.allowedHostPaths, defaultBytes: storage.defaultBytes)
    }

    /// Checks without making anything.
    func check(_ volumes: [SandboxVolume], for caller: String?) async throws(RuntimeError) {
        for volume in volumes {
            switch volume.source {
            case .host(let path):
                let hosts = hosts.withholding(try await engineFiles.all())
                try await volumeThreads.check(hosts.storage(of: path)) { () throws(RuntimeError) in
                    do throws(VolumeProblem) { _ = try hosts.open(path, volume, makes: false) } catch {
                        throw .volume(error)
                    }
                }
            case .named(let claim):
                let found = try await find(claim.claim)
                guard found.map({ isFor(caller, $0) }) ?? claim.createsIfMissing else { throw Self.missing(claim) }
                guard found != nil || claim.bytes == nil else {
                    throw .volume(
                        VolumeProblem(
                            .unsupportedBackend,
                            "the size of volume \(claim.claim) cannot be enforced by the engine: leave it out"))
                }
                guard volume.subPath == nil || found.map({ $0.driver == "local" }) ?? true else {
                    throw .volume(
                        VolumeProblem(
                            .claimPartUnsupported,
                            "volume \(claim.claim) is of driver \(found!.driver), which has no subPath here: leave subPath out"
                        ))
                }
            case .bucket(let claim):
                do throws(VolumeProblem) { try buckets.check(claim, of: volume) } catch { throw .volume(error) }
            }
        }
    }

    /// Makes what is missing, and says what to mount.
    func open(_ spec: SandboxSpec) async throws(RuntimeError) -> [ContainerBody.Mount] {
        var mounts: [ContainerBody.Mount] = []
        for (place, entry) in VolumePlan(spec.volumes).entries.enumerated() {
            let volume = entry.volume, target = "\(volume.mountPath)"
            switch volume.source {
            case .host(let path):
                let hosts = hosts.withholding(try await engineFiles.all())
                let storage = hosts.storage(of: path)
                let bound = try await bind(volume, spec.id, place, storage) { () throws(RuntimeError) in
                    // Not nil, since it may be made.
                    do throws(VolumeProblem) { return try hosts.open(path, volume, makes: true)! } catch {
                        throw .volume(error)
                    }
                }
                mounts.append(.init(source: .folder(bound), target: target, isReadOnly: volume.isReadOnly))
            case .named(let claim):
                let found = try await make(claim, spec)
                guard volume.subPath != nil else {
                    mounts.append(
                        .init(
                            source: .volume(claim.claim), target: target, isReadOnly: volume.isReadOnly,
                            isFilled: !volume.isReadOnly))
                    continue
                }
                let bound = try await bind(volume, spec.id, place, []) { () throws(RuntimeError) in
                    guard let whole = try? FileDescriptor(opening: found.path ?? "", LINUX_O_PATH | O_DIRECTORY) else {
                        throw .volume(
                            VolumeProblem(
                                .claimPartUnsupported,
                                "the files of volume \(claim.claim) are not on this machine: leave subPath out"))
                    }
                    do throws(VolumeProblem) { return try VolumeParts.open(volume, in: whole, makes: true)! } catch {
                        throw .volume(error)
                    }
                }
                mounts.append(.init(source: .folder(bound), target: target, isReadOnly: volume.isReadOnly))
            case .bucket(let claim):
                let (buckets, keys, sandbox) = (buckets, spec.bucketKeys, SandboxName.of(spec.id))
                let bound = try await bind(volume, spec.id, place, buckets.storages(of: claim)) {
                    () throws(RuntimeError) in
                    // Containers have no users of their own: root is this machine's.
                    try buckets.open(claim, volume, keys, sandbox: sandbox, owner: 0)
                }
                mounts.append(.init(source: .folder(bound), target: target, isReadOnly: volume.isReadOnly))
            }
        }
        return mounts
    }

    /// Takes away what a sandbox had, but for volumes that stay.
    func end(_ id: String) async throws(RuntimeError) {
        let folder = folder(of: id), mounted = buckets.mounts
        await threads.run {
            Self.unbind(in: folder)
            mounted.unmount(sandbox: SandboxName.of(id))
        }
        let filters = EngineCall.filters([
            "label": ["\(DockerNames.goesWithKey)=\(id)", "\(SandboxLabels.ownerKey)=\(owner)"]
        ])
        do throws(EngineFailure) {
            let list: VolumeList = try await engine.get(EngineCall("GET", "volumes", query: [filters]))
            for volume in list.volumes ?? [] {
                var call = EngineCall("DELETE", "volumes", volume.name)
                // 409: another sandbox has it, which keeps it.
                call.expected = [404, 409]
                try await engine.send(call)
            }
        } catch { throw RuntimeError(error, "removing the volumes of \(id)") }
    }

    /// Ends what waits for the buckets of a sandbox, as `BucketMounts.cutOff`.
    func cutOffBuckets(of id: String) async {
        await threads.run { [mounted = buckets.mounts] in mounted.cutOff(sandbox: SandboxName.of(id)) }
    }

    // MARK: files of this machine

    private static func unbind(in folder: String) {
        for name in File.names(in: folder) ?? [] { unbind(folder + "/" + name) }
        rmdir(folder)
    }

    private static func unbind(_ place: String) {
        while linux_unmount_detached(place) == 0 {}
        if unlink(place) != 0 { rmdir(place) }
    }

    private func folder(of id: String) -> String { places + "/" + SandboxName.of(id) }

    private func bind(
        _ volume: SandboxVolume, _ id: String, _ number: Int, _ storage: Set<String>,
        _ open: @escaping @Sendable () throws(RuntimeError) -> FileDescriptor
    ) async throws(RuntimeError) -> String {
        let folder = folder(of: id), place = "\(folder)/\(number)", places = places, mounted = buckets.mounts
        try await volumeThreads.open(storage) { () throws(RuntimeError) in
            let found = try open()
            func failed() -> RuntimeError {
                .system(action: "mounting volume \(volume.name)", reason: String(cString: strerror(errno)))
            }
            mkdir(places, 0o700)
            guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw failed() }
            if PlaceKind(found.number) == .folder {
                guard mkdir(place, 0o700) == 0 else { throw failed() }
            } else {
                do throws(SystemCallError) { try File.write([], to: place, mode: 0o600) } catch { throw failed() }
            }
            let kept = UInt(MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV)
            guard linux_mount("/proc/self/fd/\(found.number)", place, nil, UInt(MS_BIND), nil) == 0,
                linux_mount(nil, place, nil, kept, nil) == 0
            else { throw failed() }
        } late: {
            Self.unbind(place)
            if volume.isBucket { mounted.unmount([volume], sandbox: SandboxName.of(id)) }
            rmdir(folder)
        }
        return place
    }

    // MARK: volumes of the engine

    private func find(_ name: String) async throws(RuntimeError) -> EngineVolume? {
        do throws(EngineFailure) { return try await engine.find(EngineCall("GET", "volumes", name)) } catch {
            throw RuntimeError(error, "looking for volume \(name)")
        }
    }

    /// Whom a volume is for: the server's own key may have all but those that belong to a runtime, another key its own.
    private func isFor(_ caller: String?, _ volume: EngineVolume) -> Bool {
        func label(_ key: String) -> String? { volume.labels?[ExactName(key)] }
        guard label(DockerNames.partKey) == nil, !DockerNames.isOwnVolume(volume.name) else { return false }
        // Another server may have a key of the same name.
        return caller == nil || label(DockerNames.callerKey) == caller && label(SandboxLabels.ownerKey) == owner
    }

    private func make(_ claim: NamedVolumeClaim, _ spec: SandboxSpec) async throws(RuntimeError) -> EngineVolume {
        if let found = try await find(claim.claim) {
            guard isFor(spec.caller, found) else { throw Self.missing(claim) }
            return found
        }
        guard claim.createsIfMissing else { throw Self.missing(claim) }
        var labels: JSONObject = [
            DockerNames.managedKey: .string("server"), SandboxLabels.ownerKey: .string(owner),
            DockerNames.callerKey: .string(spec.caller ?? ""),
        ]
        if claim.goesWithSandbox { labels.set(DockerNames.goesWithKey, .string(spec.id)) }
        let body: JSONValue = .object([
            "Name": .string(claim.claim), "Driver": .string("local"), "Labels": .object(labels),
        ])
        let made: EngineVolume
        do throws(EngineFailure) {
            // The engine gives the one that there is, if another request was faster.
            made = try await engine.get(EngineCall("POST", "volumes", "create", body: .json(body)))
        } catch { throw RuntimeError(error, "making volume \(claim.claim)") }
        guard isFor(spec.caller, made) else { throw Self.missing(claim) }
        return made
    }

    private static func missing(_ claim: NamedVolumeClaim) -> RuntimeError {
        .volume(VolumeProblem(.claimNotFound, "there is no volume \(claim.claim) for this caller"))
    }
}
