import Ingress
import NIOCore
import SecureAccess

extension GatewayConfiguration {
    /// What the gateway is told, whichever process it runs in.
    init(_ settings: Settings, keys: LiveKeys) {
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
        concealsUnknown = settings.gateway.concealsUnknown
        limits.headTimeout = .seconds(Int64(settings.gateway.headTimeout))
        limits.bodyTimeout = .seconds(Int64(settings.gateway.bodyTimeout))
    }
}

extension Settings.Gateway {
    /// What endpoints name: where clients reach the gateway.
    var advertised: String { address ?? "\(host):\(port)" }
    /// The advertised address without its port.
    fileprivate var domain: String { String(advertised.prefix { $0 != ":" }) }
}
