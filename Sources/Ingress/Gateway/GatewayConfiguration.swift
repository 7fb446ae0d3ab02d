import SecureAccess
import ServerTLS

/// The settings of a gateway.
public struct GatewayConfiguration: Sendable {
    public static let defaultTLSPort = 28443

    public var host = "0.0.0.0"
    /// 0 for any free port.
    public var port = 28888
    /// A second listener, with TLS.
    public var tls: TLSListener?
    /// Reads the certificates' files.
    public var files: any FileSource = DiskFiles()
    /// Listening sockets to use instead of new ones.
    public var openListener: CInt?
    public var openTLSListener: CInt?
    public var mode: RouteMode
    /// The keys that verify signed routes; without any no signed route is valid.
    public var keys: LiveKeys?
    /// Whether tokens of version 1 are accepted.
    public var acceptsVersion1 = true
    /// Whether to hide which sandboxes exist: unknown ones answer 401 like forbidden ones, except to a genuine
    /// signature. The default if there are keys.
    public var concealsUnknown: Bool
    public var limits = ProxyLimits()
    public var traffic = TrafficLimits.none
    /// Proxies whose forwarding fields are trusted.
    public var trustedProxies = TrustedProxies.none
    /// Whether sandboxes are told what gave access (`OpenSandbox-Access-Identity`).
    public var tellsIdentity = true
    /// With routes in paths: whether a browser that opens a page by a signed route gets a cookie for what the page
    /// loads. Off by default, because the pages of all sandboxes then share one origin.
    public var cookies = false
    /// Records used one-time routes; nil to accept none.
    public var spentTokens: SpentTokens?
    public var failures = FailureBudget.Limits()
    /// Names of this server's other processes that do not serve at the moment.
    public var down: @Sendable () -> [String] = { [] }

    public init(mode: RouteMode = .header(), keys: LiveKeys? = nil) {
        self.mode = mode
        self.keys = keys
        concealsUnknown = keys != nil
    }
}
