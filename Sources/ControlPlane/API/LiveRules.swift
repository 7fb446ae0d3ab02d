import Synchronization

/// What of the API's configuration may change while it serves.
struct APIRules: Sendable {
    /// The server's own key; nil if it asks for none.
    var apiKey: String?
    /// The host in endpoints of the server proxy; nil for the request's Host.
    var publicHost: String?
    var callers: CallerRules
    /// The most seconds from now to a sandbox's end, at creation and at renewal.
    var maxTimeout = RequestLimits.maxLife
    /// nil: those that the API was made with.
    var policies: OperatorPolicies?

    init(apiKey: String?, publicHost: String? = nil, callers: CallerRules, maxTimeout: Int = RequestLimits.maxLife) {
        (self.apiKey, self.publicHost, self.callers, self.maxTimeout) = (apiKey, publicHost, callers, maxTimeout)
    }

    /// - Parameter apiKey: the one in force, configured or stored.
    init(_ server: Settings.Server, apiKey: String?, policies: OperatorPolicies? = nil) {
        self.init(
            apiKey: apiKey, publicHost: server.publicHost,
            callers: CallerRules(
                names: HostNames(server.ownNames), origins: server.allowedOrigins, asksForKey: apiKey != nil),
            maxTimeout: server.maxSandboxTimeout)
        self.policies = policies
    }
}

/// Those in force. Each request takes them as they are when it asks.
final class LiveRules: Sendable {
    private let rules: Mutex<APIRules>

    init(_ rules: APIRules) { self.rules = Mutex(rules) }

    var current: APIRules { rules.withLock { $0 } }
    func replace(with rules: APIRules) { self.rules.withLock { $0 = rules } }
}
