import Logging
import Netfilter
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The snapshots of this machine's sandboxes: each is an image and a few layers above it. Snapshots of sandboxes that were
/// restored from one share its layers, so that restoring copies nothing, and neither does restoring often.
///
/// A layer is removed when neither a snapshot nor a sandbox stands on it.
package final class LayerStore: Sendable {
    private struct State {
        var records: [String: SnapshotRecord] = [:]
        /// Layers that a create or a capture is about to use, and how many of these there are.
        var borrowed: [String: Int] = [:]
        /// Folders of images that a create is about to use with them.
        var borrowedImages: [String: Int] = [:]
        /// Whether a record cannot be read: then nobody knows what it stands on.
        var isIncomplete = false

        func isFree(_ layer: String) -> Bool {
            !isIncomplete && borrowed[layer] == nil && !records.values.contains { $0.layers.contains(layer) }
        }
    }

    /// How many layers a snapshot has at most. The next snapshot joins them into one, which copies their files: rarely
    /// enough, and mounts stay quick.
    static let maxLayers = 8

    private let folders: LayerFolders
    private let reserve: DiskReserve
    private let leftovers: Leftovers
    private let logger: Logger
    private let state: Mutex<State>
    /// Snapshots are limited by the disk: two at a time keep it busy.
    private let threads = WorkerPool(maxThreads: 2)
    /// Apart from those that copy, for as long as that takes.
    private let removers = WorkerPool(maxThreads: 2)

    /// Reads the snapshots of an earlier server, and removes what it has left half done.
    ///
    /// - Parameters:
    ///   - directory: the store's own folder, created if missing.
    ///   - reserve: bytes to keep free on its disk.
    package init(
        directory: String, reserve: Int64 = DiskConfiguration().reserve, logger: Logger
    ) throws(RuntimeError) {
        folders = try LayerFolders(directory: directory)
        self.reserve = DiskReserve(folder: folders.directory, bytes: reserve)
        self.logger = logger
        leftovers = Leftovers(logger: logger)
        var found = State()
        for name in ControlGroup.entries(of: folders.records) where name.hasSuffix(".json") {
            let id = String(name.dropLast(5))
            if let record = SnapshotRecord.read(folders.record(id), id: id) {
                found.records[id] = record
            } else {
                logger.error(
                    "the stored record of a snapshot cannot be read; it is left as it is", metadata: ["file": "\(name)"]
                )
                found.isIncomplete = true
            }
        }
        for name in ControlGroup.entries(of: folders.records) where name.hasSuffix(".json" + ReplacementFile.suffix) {
            unlink(folders.records + "/" + name)
        }
        state = Mutex(found)
        for name in ControlGroup.entries(of: folders.work) { leftovers.take(files: folders.work + "/" + name) }
    }

    package var removals: [Leftover] { leftovers.all }

    /// The ids of a server's whole snapshots.
    func ids(of owner: String) -> [String] {
        state.withLock { $0.records.values.filter { $0.owner == owner }.map(\.id).sorted() }
    }

    /// Whether a snapshot, or a sandbox that is being restored from one, stands on an image's folder.
    package func holds(image root: String) -> Bool {
        state.withLock { state in
            state.isIncomplete || state.borrowedImages[root] != nil
                || state.records.values.contains { $0.image.root == root }
        }
    }

    // MARK: Restoring

    /// What a sandbox of this snapshot stands on. Its layers stay until `giveBack`, even if it is deleted meanwhile.
    /// - Returns: the image, and the folders of the layers, the topmost first.
    func borrow(_ id: String) throws(RuntimeError) -> (image: SandboxImage, layers: [String]) {
        let record = state.withLock { state -> SnapshotRecord? in
            guard let record = state.records[id] else { return nil }
            for layer in record.layers { state.borrowed[layer, default: 0] += 1 }
            state.borrowedImages[record.image.root, default: 0] += 1
            return record
        }
        guard let record else { throw .unusableSnapshot(id: id, reason: "its files are not there") }
        return (record.image, record.layers.map(folders.layer))
    }

    /// - Parameters: what `borrow` answered with; the folder of the image.
    func giveBack(_ layers: [String], image root: String? = nil) {
        func less(_ name: String, _ counts: inout [String: Int]) {
            let count = (counts[name] ?? 1) - 1
            counts[name] = count > 0 ? count : nil
        }
        state.withLock { state in
            for name in layers.map(\.splitAtLastSlash.name) { less(name, &state.borrowed) }
            if let root { less(root, &state.borrowedImages) }
        }
    }

    // MARK: Taking

    /// Takes a snapshot; when it returns, nothing takes it away but `delete`. After an error nothing of it is left.
    ///
    /// - Parameters:
    ///   - below: the folders of the layers that the sandbox stands on, the topmost first; it keeps them meanwhile.
    ///   - copy: adds the sandbox's own layer to what is at the target. The second argument says whether there may be anything.
    func take(
        _ id: String, of image: SandboxImage, below: [String], owner: String,
        _ copy: @Sendable (LayerTarget, Bool) async throws(RuntimeError) -> Void
    ) async throws(RuntimeError) {
        let names = below.map(\.splitAtLastSlash.name)
        // Its own as well, which is there before its record is.
        state.withLock { state in for name in names + [id] { state.borrowed[name, default: 0] += 1 } }
        defer { giveBack(below + [folders.layer(id)]) }
        let target = LayerTarget(folder: try folders.makeWork(), reserve: reserve)
        do throws(RuntimeError) {
            let joins = names.count >= Self.maxLayers
            if joins { try await join(below, target) }
            try await copy(target, joins)
            let record = SnapshotRecord(id: id, owner: owner, image: image, layers: [id] + (joins ? [] : names))
            try await threads.run { [folders] () throws(RuntimeError) in
                try folders.publish(target, as: id)
                try record.write(to: folders.record(id))
            }
            state.withLock { $0.records[id] = record }
        } catch {
            leftovers.take(files: target.folder)
            // A record that could not be written may be there all the same, and a record needs its layer.
            if (try? folders.removeRecord(id)) != nil { leftovers.take(files: folders.layer(id)) }
            throw error
        }
        leftovers.take(files: target.folder)
    }

    /// Makes one layer of those below a sandbox's own.
    private func join(_ layers: [String], _ target: LayerTarget) async throws(RuntimeError) {
        try await target.untilCancelled { [threads] () async throws(RuntimeError) in
            try await threads.run { () throws(RuntimeError) in
                for layer in layers.reversed() {
                    try LayerCopy(layer, to: target, LayerAttributes(), joins: true).run()
                }
            }
        }
    }

    // MARK: Removing

    /// Removes a snapshot, if it is there. Sandboxes that stand on it are not disturbed: its layers go after them.
    func delete(_ id: String) async throws(RuntimeError) {
        guard LocalEngine.isIdentifier(id) else { return }
        try await removers.run { [folders] () throws(RuntimeError) in try folders.removeRecord(id) }
        state.withLock { $0.records[id] = nil }
    }

    /// Removes layers that nobody stands on.
    /// - Parameter used: the folders of layers that sandboxes stand on; nil if that is not known, and nothing is removed.
    func collect(used: @escaping @Sendable () -> Set<String>?) async {
        await removers.run { [self] in
            let free = ControlGroup.entries(of: folders.layers).filter { layer in state.withLock { $0.isFree(layer) } }
            // A sandbox borrows its layers until its own record names them, so whatever begins from here on is seen below.
            guard !free.isEmpty, let used = used() else { return }
            for layer in free where !used.contains(folders.layer(layer)) {
                let aside = state.withLock { state in
                    state.isFree(layer)
                        ? try? TreeRemoval.setAside(folders.layer(layer), into: folders.work) : nil
                }
                if let aside { leftovers.take(files: aside) }
            }
        }
    }
}

extension LayerTarget {
    /// Tells the thread that copies when the task that waits for it is cancelled.
    func untilCancelled(
        _ body: @Sendable () async throws(RuntimeError) -> Void
    ) async throws(RuntimeError) {
        let result = await withTaskCancellationHandler { () -> Result<Void, RuntimeError> in
            do throws(RuntimeError) { return .success(try await body()) } catch { return .failure(error) }
        } onCancel: {
            isCalledOff.give()
        }
        try result.get()
    }
}
