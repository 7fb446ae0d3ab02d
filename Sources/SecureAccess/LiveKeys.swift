import Synchronization

/// The present key ring, which may be replaced while the program runs.
public final class LiveKeys: Sendable {
    private let version = Atomic<UInt64>(0)
    private let ring: Mutex<KeyRing>

    public init(_ ring: KeyRing) { self.ring = Mutex(ring) }

    public var current: KeyRing { ring.withLock { $0 } }

    public func replace(with other: KeyRing) {
        ring.withLock { $0 = other }
        version.add(1, ordering: .releasing)
    }

    /// Changes with every replacement and is read without a lock. Caches of results from the keys compare it.
    public var generation: UInt64 { version.load(ordering: .acquiring) }
}
