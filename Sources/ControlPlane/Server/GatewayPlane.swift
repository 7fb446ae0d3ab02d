import Ingress
import Logging
import NIOCore
import SecureAccess

extension GatewayConfiguration {
    /// The gateway's configuration, whichever process it runs in.
    /// - Parameter spentTokensFile: nil for the one in the state folder.
    /// - Throws: `SpentTokens.FileError`.
    init(_ settings: Settings, keys: LiveKeys, spentTokensFile: String? = nil, logger: Logger) throws {
        let mode: RouteMode =
            switch settings.gateway.routing {
            case .header: .header()
            case .uri: .uri
            case .wildcard: .wildcard(domain: settings.gateway.domain)
            }
        self.init(mode: mode, keys: keys)
        acceptsVersion1 = settings.gateway.acceptsVersion1
        host = settings.gateway.host
        port = settings.gateway.port
        tls = settings.gateway.tls
        concealsUnknown = settings.gateway.concealsUnknown
        limits.headTimeout = .seconds(Int64(settings.gateway.headTimeout))
        limits.bodyTimeout = .seconds(Int64(settings.gateway.bodyTimeout))
        traffic = settings.gateway.traffic
        accessLog = settings.gateway.accessLog
        tellsIdentity = settings.gateway.tellsIdentity
        cookies = settings.gateway.cookies
        trustedProxies = settings.gateway.trustedProxies
        do throws(SpentTokens.FileError) {
            spentTokens = try SpentTokens(
                path: spentTokensFile ?? settings.spentTokensFile, now: UInt64(max(0, Timestamp.now().seconds)))
        } catch {
            // A second gateway on this state works, except for one-time routes.
            guard error.isTaken else { throw error }
            logger.warning("one-time routes are not accepted", metadata: ["error": "\(error)"])
        }
    }
}

extension Settings.Gateway {
    /// The gateway's address in endpoints.
    var advertised: String { address ?? "\(host.contains(":") ? "[\(host)]" : host):\(port)" }
    /// The advertised address without its port.
    fileprivate var domain: String { String(advertised.prefix { $0 != ":" }) }
}
