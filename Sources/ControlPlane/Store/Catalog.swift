import Synchronization

/// The sandboxes in memory: what every request reads. It is written through to the store: a change that the store refuses
/// has not happened.
final class Catalog: Sendable {
    private let store: any SandboxStore
    private let sandboxes = Mutex<[String: Sandbox]>([:])
    /// Changes of one sandbox are stored in the order in which they are made.
    private let locks = KeyedLock()
    private let observer: @Sendable (_ id: String, _ sandbox: Sandbox?) -> Void

    /// - Parameter observer: hears of every change after it is stored.
    init(store: any SandboxStore, observer: @escaping @Sendable (_ id: String, _ sandbox: Sandbox?) -> Void) {
        self.store = store
        self.observer = observer
    }

    var all: [Sandbox] { sandboxes.withLock { Array($0.values) } }
    subscript(id: String) -> Sandbox? { sandboxes.withLock { $0[id] } }

    func load() async throws(StoreError) {
        for sandbox in try await store.all() {
            sandboxes.withLock { $0[sandbox.id] = sandbox }
            observer(sandbox.id, sandbox)
        }
    }

    func save(_ sandbox: Sandbox) async throws(StoreError) {
        try await locks.withLock(sandbox.id) { () async throws(StoreError) in try await keep(sandbox) }
    }

    /// Makes another sandbox of what is there now, whoever else is changing it.
    /// - Parameter change: nil leaves it as it is.
    /// - Returns: the sandbox afterwards; nil where there is none.
    @discardableResult
    func change(
        _ id: String, _ change: @Sendable (Sandbox) -> Sandbox?
    ) async throws(StoreError) -> Sandbox? {
        try await locks.withLock(id) { () async throws(StoreError) in
            guard let sandbox = self[id], let changed = change(sandbox) else { return self[id] }
            try await keep(changed)
            return changed
        }
    }

    func remove(_ id: String) async throws(StoreError) {
        try await locks.withLock(id) { () async throws(StoreError) in
            try await store.remove(id)
            sandboxes.withLock { $0[id] = nil }
            observer(id, nil)
        }
    }

    private func keep(_ sandbox: Sandbox) async throws(StoreError) {
        try await store.save(sandbox)
        sandboxes.withLock { $0[sandbox.id] = sandbox }
        observer(sandbox.id, sandbox)
    }

    /// Changes only what is in memory, where the store refuses what must go on nevertheless.
    func note(_ sandbox: Sandbox) {
        sandboxes.withLock { $0[sandbox.id] = sandbox }
        observer(sandbox.id, sandbox)
    }
}
