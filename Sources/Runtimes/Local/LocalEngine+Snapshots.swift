/// Reading the files of sandboxes for snapshots.
extension LocalEngine {
    /// What a sandbox was made from; nil if there is none.
    func spec(of id: String) -> EngineSpec? {
        Self.isIdentifier(id) ? SandboxRecord.read(from: folder(of: id).path)?.spec : nil
    }

    /// The folders of the layers that sandboxes stand on; nil where the record of one cannot be read.
    var layersInUse: Set<String>? {
        guard SandboxFolder.withUnreadableRecords(in: configuration.stateDirectory).isEmpty else { return nil }
        return Set(Self.records(in: configuration.stateDirectory).flatMap { $0.record.spec.layers ?? [] })
    }

    /// Copies a sandbox's own layer while the sandbox stands still.
    /// - Parameter joins: whether layers below it have been copied to the target before.
    func copyLayer(of id: String, to target: LayerTarget, joins: Bool) async throws(RuntimeError) {
        try await target.untilCancelled { [self] () async throws(RuntimeError) in
            try await offPool(id, copies) { [self] () throws(RuntimeError) in
                // It may have waited for others.
                if target.isCalledOff.isGiven { throw .cancelled }
                let (record, folder) = try known(id)
                let state = currentState(id)
                guard [.running, .paused].contains(state) else {
                    throw .wrongState(id: id, state: "\(state)", needed: "running or paused")
                }
                try target.reserve.check()
                try folder.still(isPaused: state == .paused) { () throws(RuntimeError) in
                    // What is written reaches the layer's own files at once, and needs not be on the disk to be read.
                    let copy = try LayerCopy(
                        folder.upper, to: target, LayerAttributes(users: record.users),
                        excluded: SandboxFolder.ownFiles, joins: joins)
                    try copy.run()
                }
            }
        }
    }
}

extension SandboxFolder {
    /// What the server and the OCI runtime make in a sandbox's layer: mount points, and files about its network. A sandbox that
    /// is restored gets its own.
    static let ownFiles: Set<TreePath> = [
        "proc", "sys", "dev", "run", "etc/resolv.conf", "etc/hosts", "etc/hostname", "opt/opensandbox",
        "var/lib/execd/isolation",
    ]
}
