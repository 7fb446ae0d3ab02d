import SecureAccess

/// What the directory knows of one port of one sandbox.
public enum EndpointLookup: Hashable, Sendable {
    case found(Backend)
    case unknown
    /// The sandbox exists and cannot be reached yet or any more. The reason is shown to whoever may reach it.
    case notReady(String, credentialHash: [UInt8]? = nil, epoch: AccessEpoch = .first)
    /// The directory has never been reached: nothing is known of any sandbox.
    case unavailable
}

/// Says where sandboxes are. Only what it names is ever dialled.
public protocol EndpointDirectory: Sendable {
    /// Called on an event loop's thread for every request: it must not block.
    func lookup(sandbox: String, port: Int) -> EndpointLookup
    /// A permitted request goes to the sandbox. With `renew` false the client asked not to prolong its life.
    func accessed(sandbox: String, renew: Bool)
    /// Whether there is anything that lookups could find.
    var isReady: Bool { get }
    /// - Parameter observer: told, on any thread, which access that was open has ended.
    func whenAccessEnds(_ observer: @escaping @Sendable (EndedAccess) -> Void)
}

extension EndpointDirectory {
    public var isReady: Bool { true }
    public func whenAccessEnds(_ observer: @escaping @Sendable (EndedAccess) -> Void) {}
}
