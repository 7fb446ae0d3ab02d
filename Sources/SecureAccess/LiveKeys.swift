import Synchronization

/// The key ring that is in force, for those who outlive it: keys are rotated while they serve.
public final class LiveKeys: Sendable {
    private let version = Atomic<UInt64>(0)
    private let ring: Mutex<KeyRing>

    public init(_ ring: KeyRing) { self.ring = Mutex(ring) }

    public var current: KeyRing { ring.withLock { $0 } }

    public func replace(with other: KeyRing) {
        ring.withLock { $0 = other }
        version.add(1, ordering: .releasing)
    }

    /// Changes with every replacement. Asking costs no lock: who keeps something that the keys yielded compares this.
    public var generation: UInt64 { version.load(ordering: .acquiring) }
}
