import HTTPServer
import SecureAccess
import ServerTLS
import Tracing

/// The settings of a gateway.
package struct GatewayConfiguration: Sendable {
    package static let defaultTLSPort = 28443

    package var host = "0.0.0.0"
    /// 0 for any free port.
    package var port = 28888
    /// A second listener, with TLS.
    package var tls: TLSListener?
    /// Reads the certificates' files.
    package var files: any FileSource = DiskFiles()
    /// Listening sockets to use instead of new ones.
    package var openListener: CInt?
    package var openTLSListener: CInt?
    package var mode: RouteMode
    /// The keys that verify signed routes; without any no signed route is valid.
    package var keys: LiveKeys?
    /// Whether tokens of version 1 are accepted.
    package var acceptsVersion1 = true
    /// Whether to hide which sandboxes exist: unknown ones answer 401 like forbidden ones, except to a genuine
    /// signature. The default if there are keys.
    package var concealsUnknown: Bool
    package var limits = ProxyLimits()
    package var traffic = TrafficLimits.none
    /// Proxies whose forwarding fields are trusted.
    package var trustedProxies = TrustedProxies.none
    /// Whether sandboxes are told what gave access (`OpenSandbox-Access-Identity`).
    package var tellsIdentity = true
    /// With routes in paths: whether a browser that opens a page by a signed route gets a cookie for what the page
    /// loads. Off by default, because the pages of all sandboxes then share one origin.
    package var cookies = false
    /// Records used one-time routes; nil to accept none.
    package var spentTokens: SpentTokens?
    package var failures = FailureBudget.Limits()
    /// Begins a span for each request; nil: nothing is traced.
    package var tracer: Tracer?
    /// Which requests get a line in the log.
    package var accessLog = AccessLogMode.errors
    /// Names of this server's other processes that do not serve at the moment.
    package var down: @Sendable () -> [String] = { [] }

    package init(mode: RouteMode = .header(), keys: LiveKeys? = nil) {
        self.mode = mode
        self.keys = keys
        concealsUnknown = keys != nil
    }
}
