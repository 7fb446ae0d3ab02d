import Egress
import Ingress
import NetworkPolicy
import SecureAccess

extension Settings {
    mutating func apply(_ section: ConfigurationFile.Ingress) throws(ConfigurationError) {
        guard ["gateway", nil].contains(section.mode) else {
            throw ConfigurationError(
                "ingress.mode \"\(section.mode!)\" does not go with the local runtime; use \"gateway\"")
        }
        gateway.host = section.host ?? gateway.host
        gateway.port = try Self.port(section.port, "ingress.port") ?? gateway.port
        gateway.isExternal = section.external ?? gateway.isExternal
        gateway.concealsUnknown = section.conceal_unknown ?? gateway.concealsUnknown
        gateway.headTimeout = try Self.seconds(section.head_timeout_seconds, "head") ?? gateway.headTimeout
        gateway.bodyTimeout = try Self.seconds(section.body_timeout_seconds, "body") ?? gateway.bodyTimeout
        gateway.address = section.gateway?.address ?? gateway.address
        if let mode = section.gateway?.route?.mode {
            guard let known = Routing(rawValue: mode) else {
                throw ConfigurationError(
                    "ingress.gateway.route.mode \"\(mode)\" is unknown; use header, uri or wildcard")
            }
            gateway.routing = known
        }
        if gateway.routing == .wildcard {
            let domain = gateway.address.map { $0.prefix { $0 != ":" } } ?? ""
            guard !domain.isEmpty, IPAddress(domain) == nil, (try? DomainName(String(domain))) != nil else {
                throw ConfigurationError(
                    "ingress.gateway.route.mode \"wildcard\" needs a domain whose names lead to the gateway: give it in "
                        + "ingress.gateway.address")
            }
        }
        if let access = section.secure_access { try apply(access) }
        if let tls = section.tls { try apply(tls) }
        gateway.tellsIdentity = section.identity_header ?? gateway.tellsIdentity
        gateway.cookies = section.cookies ?? gateway.cookies
        gateway.reachesLoopback = section.reach_loopback ?? gateway.reachesLoopback
        guard !gateway.cookies || gateway.routing == .uri else {
            throw ConfigurationError(
                "ingress.cookies are for routes in paths (ingress.gateway.route.mode = \"uri\"): elsewhere what a page loads "
                    + "has the page's host name, signature and all")
        }
        if let texts = section.trusted_proxies {
            guard let proxies = TrustedProxies(texts) else {
                throw ConfigurationError(
                    "ingress.trusted_proxies: use addresses and blocks, 192.0.2.1 or 2001:db8::/32")
            }
            gateway.trustedProxies = proxies
        }
        if let limits = section.limits { try apply(limits) }
        if let text = section.directory?.listen {
            let address: DirectoryAddress
            do { address = try DirectoryAddress(text) } catch {
                throw ConfigurationError("ingress.directory.listen: \(error)")
            }
            guard case .tcp = address.place else {
                throw ConfigurationError(
                    "ingress.directory.listen: the unix socket is always served; give host:port, or leave it out")
            }
            guard !address.leavesMachine || section.directory?.plaintext == true else {
                throw ConfigurationError(
                    "ingress.directory.listen \"\(text)\" is reachable from other machines, unencrypted and with secrets "
                        + "in it: use a loopback address, or set plaintext = true for a network that only gateways share"
                )
            }
            gateway.directory = address
        }
    }

    private mutating func apply(_ limits: ConfigurationFile.Ingress.Limits) throws(ConfigurationError) {
        func positive(_ number: Int?, _ key: String) throws(ConfigurationError) -> Int? {
            guard let number, !(1...EgressBudgets.most).contains(number) else { return number }
            throw ConfigurationError("ingress.limits.\(key) is \(number); use 1 to 10^12, or leave it out")
        }
        gateway.traffic.clientRate = try positive(limits.client_rate, "client_rate")
        gateway.traffic.clientBurst = try positive(limits.client_burst, "client_burst") ?? gateway.traffic.clientBurst
        gateway.traffic.clientConnections = try positive(limits.client_connections, "client_connections")
        gateway.traffic.routeRate = try positive(limits.route_rate, "route_rate")
        gateway.traffic.routeBurst = try positive(limits.route_burst, "route_burst") ?? gateway.traffic.routeBurst
        gateway.traffic.sandboxConcurrency = try positive(limits.sandbox_concurrency, "sandbox_concurrency")
        gateway.maxBody = try positive(limits.max_body_bytes, "max_body_bytes")
    }

    private mutating func apply(_ tls: ConfigurationFile.Ingress.TLS) throws(ConfigurationError) {
        let files = (tls.certificates ?? []).map { CertificateFiles(certificate: $0.certificate, key: $0.key) }
        guard !files.isEmpty else {
            throw ConfigurationError("ingress.tls has no [[ingress.tls.certificates]] with certificate and key")
        }
        gateway.tls = TLSListener(
            host: tls.host ?? gateway.host,
            port: try Self.port(tls.port, "ingress.tls.port") ?? TLSListener.defaultPort,
            certificates: files)
    }

    private mutating func apply(_ access: ConfigurationFile.Ingress.SecureAccess) throws(ConfigurationError) {
        if let text = access.v1 {
            guard ["accept", "refuse"].contains(text) else {
                throw ConfigurationError("ingress.secure_access.v1 \"\(text)\" is unknown; use accept or refuse")
            }
            gateway.acceptsVersion1 = text == "accept"
        }
        if let number = access.sign {
            guard let version = RouteToken.Version(rawValue: number) else {
                throw ConfigurationError("ingress.secure_access.sign is \(number); use 2 or 1")
            }
            gateway.signs = version
        }
        guard gateway.signs == .two || gateway.acceptsVersion1 else {
            throw ConfigurationError(
                "ingress.secure_access: sign = 1 makes tokens that v1 = \"refuse\" does not accept")
        }
        guard access.keys != nil || access.active_key != nil else { return }
        guard let active = access.active_key, active.count == 1 else {
            throw ConfigurationError("ingress.secure_access.active_key: use one character of 0-9 and a-z")
        }
        let entries = (access.keys ?? []).map { "\($0.key_id)=base64:\($0.key)" }.joined(separator: ",")
        do {
            gateway.keys = try KeyRing.parse(entries, active: active.first)
        } catch {
            throw ConfigurationError("ingress.secure_access: \(error)")
        }
    }

    private static func seconds(_ number: Int?, _ what: String) throws(ConfigurationError) -> Int? {
        guard let number, !(1...3600).contains(number) else { return number }
        throw ConfigurationError("ingress.\(what)_timeout_seconds is \(number); use 1 to 3600")
    }
}
