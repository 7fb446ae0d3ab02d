import SecureAccess

/// The directory's answer for one port of one sandbox.
package enum EndpointLookup: Hashable, Sendable {
    case found(Backend)
    case unknown
    /// The sandbox exists but cannot be reached yet, or no longer. The reason is shown to authorised clients only.
    case notReady(String, credentialHash: [UInt8]? = nil, epoch: AccessEpoch = .first)
    /// The directory has never been reached, so no sandbox is known.
    case unavailable
}

/// Tells where sandboxes are. The gateway dials nothing else.
package protocol EndpointDirectory: Sendable {
    /// Called on an event loop for every request, so it must not block.
    func lookup(sandbox: String, port: Int) -> EndpointLookup
    /// Called for every permitted request. `renew` is false if the client asked not to renew the sandbox.
    func accessed(sandbox: String, renew: Bool)
    /// Whether the directory has been loaded.
    var isReady: Bool { get }
    /// Whether it has been heard of lately, so that what it says is still true.
    var isCurrent: Bool { get }
    /// - Parameter observer: called on any thread when access that was open has ended.
    func whenAccessEnds(_ observer: @escaping @Sendable (EndedAccess) -> Void)
}

extension EndpointDirectory {
    package var isReady: Bool { true }
    package var isCurrent: Bool { true }
    package func whenAccessEnds(_ observer: @escaping @Sendable (EndedAccess) -> Void) {}
}
