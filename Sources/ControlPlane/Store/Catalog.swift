import Synchronization

/// The sandboxes in memory, which all requests read. Changes are written through to the store; if the store refuses
/// one, nothing is changed.
final class Catalog: Sendable {
    private let store: any SandboxStore
    private let sandboxes = Mutex<[String: Sandbox]>([:])
    /// Serialises changes of one sandbox.
    private let locks = KeyedLock()
    private let observer: @Sendable (_ id: String, _ sandbox: Sandbox?) -> Void

    /// - Parameter observer: called for every change after it is stored.
    init(store: any SandboxStore, observer: @escaping @Sendable (_ id: String, _ sandbox: Sandbox?) -> Void) {
        self.store = store
        self.observer = observer
    }

    var all: [Sandbox] { sandboxes.withLock { Array($0.values) } }
    subscript(id: String) -> Sandbox? { sandboxes.withLock { $0[id] } }

    /// - Returns: the ids of what is stored and cannot be read.
    func load() async throws(StoreError) -> [String] {
        for sandbox in try await store.all() {
            sandboxes.withLock { $0[sandbox.id] = sandbox }
            observer(sandbox.id, sandbox)
        }
        return try await store.unreadable()
    }

    func save(_ sandbox: Sandbox) async throws(StoreError) {
        try await locks.withLock(sandbox.id) { () async throws(StoreError) in try await keep(sandbox) }
    }

    /// Changes a sandbox atomically.
    /// - Parameter change: returns the changed sandbox; nil to leave it unchanged.
    /// - Returns: the sandbox afterwards; nil if there is none.
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

    /// Changes only the memory, for operations that must go on even if the store fails.
    func note(_ sandbox: Sandbox) {
        sandboxes.withLock { $0[sandbox.id] = sandbox }
        observer(sandbox.id, sandbox)
    }
}
