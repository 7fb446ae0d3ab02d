import SecureAccess

/// How a gateway listens, routes and checks.
public struct GatewayConfiguration: Sendable {
    public var host = "0.0.0.0"
    /// 0 takes a free one.
    public var port = 28888
    /// A second listener, with TLS.
    public var tls: TLSListener?
    public var mode: RouteMode
    /// Verifies signed routes; without keys none is valid.
    public var keys: LiveKeys?
    /// Whether tokens of version 1 open anything.
    public var acceptsVersion1 = true
    /// Who may not enter is not told whether a sandbox exists: unknown ones answer 401, as forbidden ones do, but to a
    /// genuine signature. By default where there are keys.
    public var concealsUnknown: Bool
    public var limits = ProxyLimits()
    public var traffic = TrafficLimits.none
    /// Whose word about their clients is taken.
    public var trustedProxies = TrustedProxies.none
    /// Sandboxes are told what opened them (`OpenSandbox-Access-Identity`).
    public var tellsIdentity = true
    /// With routes in paths: a browser that opens a page by a signed route gets a cookie for what the page loads. Off, since
    /// the pages of all sandboxes have one origin then.
    public var cookies = false
    /// Which one-time routes have been used; nil: none is accepted.
    public var spentTokens: SpentTokens?
    public var failures = FailureBudget.Limits()

    public init(mode: RouteMode = .header(), keys: LiveKeys? = nil) {
        self.mode = mode
        self.keys = keys
        concealsUnknown = keys != nil
    }
}
