import SecureAccess

/// An access that has been permitted and has no connection of its own yet: what ends accesses finds it here.
final class PendingAccess {
    let incarnation: String
    let epoch: AccessEpoch
    var hasEnded = false

    init(_ backend: Backend) { (incarnation, epoch) = (backend.incarnation, backend.epoch) }
}
