import Netfilter
import Synchronization
import System
import Tracing

#if canImport(Glibc)
    import Glibc
#endif

/// The steps of creating and removing a sandbox.
extension LocalEngine {
    /// Writes its record, and makes its users and its network.
    func connect(_ record: SandboxRecord, in folder: SandboxFolder) throws(RuntimeError) {
        var record = record
        let spec = record.spec
        try folder.create()
        let users = try users.make(for: folder, near: record.link.host)
        record.users = users?.range
        try record.write(to: folder.path)
        if let users {
            do throws(RuntimeError) {
                try folder.mountLower(spec, users)
            } catch {
                try self.users.giveUp(users, in: folder, image: spec.imageRoot, because: error)
                record.users = nil
                try record.write(to: folder.path)
            }
        }
        try makeNetwork(of: record, in: folder)
    }

    /// The other part, which a guard may begin beside: the sandbox's files and its control group. After an error it is to be
    /// deleted.
    package func furnish(_ id: String) async throws(RuntimeError) {
        try await offPool(id) { [self] () throws(RuntimeError) in
            let (record, folder) = try known(id)
            try furnish(record, in: folder)
        }
    }

    private func furnish(_ record: SandboxRecord, in folder: SandboxFolder) throws(RuntimeError) {
        let spec = record.spec, range = record.users
        try limits.make(
            folder.disk, bytes: spec.limits.diskBytes ?? configuration.disk.limit, keepsProjects: range != nil)
        try folder.createLayer(range, isolates: record.isolates)
        try folder.writeIdentity(
            hostname: record.hostname, record.shared == nil ? .own(execd(of: record).address) : .shared,
            lower: folder.lower(spec, range), range)
        try folder.mountFiles(spec, range)
        try folder.writeBundle(of: record, configuration, users.waiting(in: folder))
        try folder.group.clear()
        try folder.group.make(spec.limits)
        if runtime.isStartedInGroup { try folder.group.makePrograms(spec.limits) }
    }

    /// Of a sandbox whose first process has ended (`endProcesses`).
    func remove(_ record: SandboxRecord, in folder: SandboxFolder) throws(RuntimeError) {
        let id = record.spec.id
        let group = folder.group
        // What a start that was cut short has left in it is no child of that process.
        group.kill()
        try unpublish(record)
        if access(folder.pidFile, F_OK) == 0 || !group.folders.isEmpty { try runtime.delete(folder.name) }
        ProjectQuota.lift(folder.disk.path)
        folder.unmount()
        volumes.end(record, folder)
        try Self.translated("removing the network of \(id)") { () throws(NetfilterError) in try record.link.delete() }
        _ = group.remove()
        try setAside(folder, of: id)
        volumes.release(record)
        users.end(record.users, in: folder)
        hostPorts?.release(record.ports ?? [])
        listeners.release(id)
        state.withLock { $0.pool.release(record.link.host) }
    }

    /// Frees a sandbox's name at once. Its files are removed in the background, since there may be many, or removal may fail; so is
    /// its control group, if a process in it has not ended yet.
    func setAside(_ folder: SandboxFolder, of id: String) throws(RuntimeError) {
        do throws(RemovalError) {
            guard let aside = try TreeRemoval.setAside(folder.path, into: configuration.removedDirectory) else {
                return
            }
            // On a full disk the space is needed at once.
            if (try? reserve.check()) == nil, folder.group.remove(), (try? TreeRemoval.remove(aside)) != nil { return }
            removals.take(aside, folder.group, of: id)
        } catch {
            throw .system(action: "deleting \(id)", reason: "\(error)")
        }
    }

    func setFrozen(_ frozen: Bool, _ id: String, needed: EngineState) async throws(RuntimeError) {
        try await offPool(id) { [self] () throws(RuntimeError) in
            let (_, folder) = try known(id)
            let now = currentState(id)
            guard now == needed else { throw .wrongState(id: id, state: "\(now)", needed: "\(needed)") }
            guard folder.group.setFrozen(frozen) else {
                throw .system(
                    action: frozen ? "pausing \(id)" : "resuming \(id)", reason: String(cString: strerror(errno)))
            }
        }
    }

    func currentState(_ id: String) -> EngineState {
        let folder = folder(of: id)
        guard folder.hasRecord else { return .missing }
        guard access(folder.pidFile, F_OK) == 0 else { return .prepared }
        guard let process = process(in: folder), !process.hasEnded(within: 0) else { return .exited }
        return folder.group.isFrozen && !folder.isBeingCaptured ? .paused : .running
    }

    func known(_ id: String) throws(RuntimeError) -> (SandboxRecord, SandboxFolder) {
        let folder = folder(of: id)
        guard let record = SandboxRecord.read(from: folder.path) else { throw .notFound(id) }
        return (record, folder)
    }

    /// As much of a record as a deletion needs, where the one that was written cannot be read. Its address stays taken.
    func unreadableRecord(of id: String, in folder: SandboxFolder) -> SandboxRecord {
        SandboxRecord(
            spec: EngineSpec(id: id, imageRoot: "", entrypoint: []),
            link: SandboxLink(
                name: folder.name, host: 0, tag: configuration.tag, folder: configuration.namespaceDirectory))
    }

    /// Servers before 0.4 used a sandbox's id as its name.
    func folder(of id: String) -> SandboxFolder {
        let old = SandboxFolder(path: configuration.stateDirectory + "/" + id)
        return access(old.path, F_OK) == 0
            ? old : SandboxFolder(path: configuration.stateDirectory + "/" + SandboxName.of(id))
    }

    /// The records of all sandboxes that were more than a folder when their creation was interrupted.
    static func records(in directory: String) -> [(record: SandboxRecord, folder: SandboxFolder)] {
        ControlGroup.entries(of: directory).filter(isIdentifier).compactMap { name in
            let folder = SandboxFolder(path: directory + "/" + name)
            return SandboxRecord.read(from: folder.path).map { ($0, folder) }
        }
    }

    static func process(in folder: SandboxFolder) -> SandboxProcess? {
        SandboxProcess(pidFile: folder.pidFile, group: folder.group)
    }

    func process(in folder: SandboxFolder) -> SandboxProcess? { Self.process(in: folder) }

    // MARK: Threads

    /// Runs blocking work outside the cooperative pool, one job at a time for each sandbox.
    func offPool<Result: Sendable>(
        _ id: String, _ pool: WorkerPool? = nil, _ body: @escaping @Sendable () throws(RuntimeError) -> Result
    ) async throws(RuntimeError) -> Result {
        try await alone(id) { () async throws(RuntimeError) in try await (pool ?? threads).runForRequest(body) }
    }

    /// One at a time for each sandbox. Others are refused, not kept waiting.
    func alone<Result: Sendable>(
        _ id: String, _ body: () async throws(RuntimeError) -> Result
    ) async throws(RuntimeError) -> Result {
        guard Self.isIdentifier(id) else { throw .notFound(String(id.prefix(80))) }
        guard state.withLock({ $0.busy.insert(id).inserted }) else {
            throw .wrongState(id: id, state: "being changed by another request", needed: "done with that first")
        }
        defer { _ = state.withLock { $0.busy.remove(id) } }
        if Task.isCancelled { throw .cancelled }
        return try await body()
    }

    /// Ids are used in names of folders and control groups.
    package static func isIdentifier(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                ("a"..."z").contains(Character(Unicode.Scalar($0)))
                    || ("0"..."9").contains(Character(Unicode.Scalar($0)))
                    || $0 == UInt8(ascii: "-")
            } && text.first != "-"
    }

    static func translated<Result>(
        _ action: String, _ body: () throws(NetfilterError) -> Result
    ) throws(RuntimeError) -> Result {
        do throws(NetfilterError) { return try body() } catch { throw .system(action: action, reason: "\(error)") }
    }
}
