import ArgumentParser
import FoundationEssentials
import HTTPServer
import Ingress
import Redis
import SecureAccess

/// The flags: those of the reference gateway, with its defaults, then our own.
struct IngressOptions: ParsableArguments {
    enum Mode: String, ExpressibleByArgument, CaseIterable {
        case header, uri, wildcard
    }
    enum Provider: String, ExpressibleByArgument, CaseIterable {
        /// Sallyport's server.
        case sallyport
        case batchsandbox
        case agentSandbox = "agent-sandbox"
    }
    enum Version1: String, ExpressibleByArgument, CaseIterable {
        case accept, refuse
    }

    @Option(help: "debug, info, warn or error.") var logLevel = "info"
    @Option(help: "Where clients connect.") var port = 28888
    @Option(help: "How requests say which sandbox they are for.") var mode = Mode.header
    @Option(help: "Who knows the sandboxes. Only sallyport is in this version.") var providerType = Provider.sallyport
    @Option(help: "The Kubernetes namespace; the sallyport provider has none.") var namespace = "opensandbox"
    @Option(help: "Keys of signed routes, a=base64:…,b=base64:…; visible to other users of the machine.")
    var secureAccessKeys: String?
    @Flag(help: "Say through Redis which sandboxes are used (OSEP-0009).") var renewIntentEnabled = false
    @Option(help: "redis://[[user]:password@]host[:port][/database]; visible to other users of the machine.")
    var renewIntentRedisDsn = "redis://127.0.0.1:6379/0"
    @Option(help: "The list that intents go to.") var renewIntentQueueKey = RenewIntent.defaultQueue
    @Option(help: "Intents that the list may hold; 0: any number.") var renewIntentQueueMaxLen = 0
    @Option(help: "Seconds between two intents for one sandbox.") var renewIntentMinInterval = 60

    @Option(help: "The address to listen on.") var host = "0.0.0.0"
    @Option(help: "With wildcard: the domain beneath which sandboxes are.") var domain: String?
    @Option(help: "A file of keys, mode 0600, in the form of --secure-access-keys; looked at twice a second.")
    var secureAccessKeysFile: String?
    @Option(help: "Whether signed routes of version 1 (32 bits) open anything.") var secureAccessV1 = Version1.accept
    @Option(help: "The server's directory: unix:/path or host:port.")
    var directory = "unix:/run/sallyport/directory.sock"
    @Option(help: "A file with the directory's secret, mode 0600.")
    var directorySecretFile = "/var/lib/sallyport/secrets/directory-secret"
    @Option(help: "Requests a second of one client (an IPv4 address, an IPv6 /64).") var clientRate: Int?
    @Option(help: "Requests of one client at once, before the rate applies.") var clientBurst = TrafficLimits.none
        .clientBurst
    @Option(help: "Connections of one client at once.") var clientConnections: Int?
    @Option(help: "Permitted requests a second to one port of a sandbox.") var routeRate: Int?
    @Option(help: "Permitted requests at once, before the rate applies.") var routeBurst = TrafficLimits.none.routeBurst
    @Option(help: "Requests, streams and tunnels to one sandbox at once.") var sandboxConcurrency: Int?
    @Option(help: "Bytes of a request's body.") var maxBodyBytes: Int?
    @Option(
        name: .customLong("trusted-proxy"),
        help: "An address or block whose X-Forwarded-For is trusted; may be repeated.")
    var trustedProxies: [String] = []
    @Flag(inversion: .prefixedNo, help: "Tell sandboxes what opened them.") var identityHeader = true
    @Flag(help: "With uri: give browsers a cookie for what signed pages load.") var cookies = false
    @Option(help: "A file of this gateway's own in which used one-time routes are kept; without it they open nothing.")
    var oneTimeFile: String?
    @Option(help: "How log lines look: text or json.") var logFormat = "text"
    @Option(help: "Requests that get a line in the log: off, errors or all.") var accessLog = AccessLogMode.errors

    static let switches: Set<String> = ["--renew-intent-enabled"]

    func validate() throws {
        guard (0...65535).contains(port) else { throw ValidationError("--port must be from 0 to 65535") }
        guard providerType == .sallyport else {
            throw ValidationError(
                "--provider-type \(providerType.rawValue) is not in this version: Sallyport's server is followed "
                    + "(--provider-type sallyport)")
        }
        guard mode != .wildcard || domain != nil else { throw ValidationError("--mode wildcard needs --domain") }
        guard secureAccessKeys == nil || secureAccessKeysFile == nil else {
            throw ValidationError("give --secure-access-keys or --secure-access-keys-file")
        }
        guard !cookies || mode == .uri else { throw ValidationError("--cookies goes with --mode uri") }
        guard TrustedProxies(trustedProxies) != nil else {
            throw ValidationError("--trusted-proxy must be an address or a block, such as 192.0.2.1 or 2001:db8::/32")
        }
        let limits = [
            clientRate, clientBurst, clientConnections, routeRate, routeBurst, sandboxConcurrency, maxBodyBytes,
        ]
        guard limits.allSatisfy({ (1...1_000_000_000_000).contains($0 ?? 1) }) else {
            throw ValidationError("a limit must be from 1 to 10^12")
        }
        guard renewIntentQueueMaxLen >= 0, (0...86_400).contains(renewIntentMinInterval), !renewIntentQueueKey.isEmpty
        else {
            throw ValidationError(
                "the renew-intent flags: numbers must be 0 or more, the interval at most 86400, and the key not empty")
        }
    }

    var traffic: TrafficLimits {
        var limits = TrafficLimits()
        (limits.clientRate, limits.clientBurst, limits.clientConnections) = (clientRate, clientBurst, clientConnections)
        (limits.routeRate, limits.routeBurst, limits.sandboxConcurrency) = (routeRate, routeBurst, sandboxConcurrency)
        limits.maxBody = maxBodyBytes
        return limits
    }

    var routeMode: RouteMode {
        switch mode {
        case .header: .header(domain: domain)
        case .uri: .uri
        case .wildcard: .wildcard(domain: domain ?? "")
        }
    }

    /// - Throws: `RedisError.address`.
    func renewals() throws -> RenewPublisher.Settings? {
        guard renewIntentEnabled else { return nil }
        var settings = RenewPublisher.Settings(address: try RedisAddress(renewIntentRedisDsn))
        settings.queue = renewIntentQueueKey
        settings.queueLimit = renewIntentQueueMaxLen
        settings.interval = .seconds(renewIntentMinInterval)
        return settings
    }
}

extension AccessLogMode: ExpressibleByArgument {}
