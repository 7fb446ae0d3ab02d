import DNSFilter
import Egress
import FoundationEssentials
import Logging
import NetworkPolicy
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The guard of this machine: in this process, or in one of its own (`sallyport guard`).
enum EgressPlane {
    /// The guard's configuration, whichever process it runs in.
    static func configuration(_ settings: Settings, logger: Logger) throws(ConfigurationError) -> EgressConfiguration {
        let resolvConf = File.text("/etc/resolv.conf") ?? ""
        var dns = settings.egress.dns
        dns.upstreams = settings.egress.upstreams ?? DNSConfiguration.upstreams(fromResolvConf: resolvConf)
        let zones = settings.egress.internalZones + DNSConfiguration.searchDomains(fromResolvConf: resolvConf)
        var configuration = EgressConfiguration(
            stateDirectory: settings.guardFolder, socketPath: settings.policySocket,
            adminSocketPath: settings.egressAdminSocket, dns: dns, internalZones: zones + [AnswerFilter.cluster],
            presets: Presets(try Installation.current.presetFiles(settings.egress)),
            budgets: settings.egress.budgets)
        if settings.egress.sharesConnections { configuration.budgets.connections = ConnectionShare.standard }
        configuration.internalRanges = settings.egress.internalRanges
        configuration.auditLog = settings.egress.auditLog.map {
            AuditLog(path: $0, limit: settings.egress.auditLogLimit, logger: logger)
        }
        configuration.denyWebhook = settings.egress.denyWebhook.map { DenyWebhook($0, logger: logger) }
        configuration.resolverBlock = try resolverBlock(settings)
        configuration.flowCheck = settings.egress.flowCheck
        return configuration
    }

    /// The operator's lists, for the process that the guard is in. Those of guards beside sandboxes are on the engine's machine, which
    /// need not be this one.
    static func lists(_ settings: Settings) throws(ConfigurationError) -> OperatorLists? {
        guard settings.egress.placement == .node, let folder = settings.egress.rulesFolder else { return nil }
        do throws(EgressError) { return try OperatorLists(folder: folder, mustExist: true) } catch {
            throw ConfigurationError("egress.rules_dir: \(error)")
        }
    }

    private static func resolverBlock(_ settings: Settings) throws(ConfigurationError) -> ResolverBlock {
        var block = ResolverBlock()
        block.overTLS = settings.egress.blocksDNSOverTLS
        var targets: [Target] = []
        for text in settings.egress.blockedResolvers {
            if text == "known" {
                targets += try Installation.current.knownResolvers(folder: settings.egress.presets).targets
            } else if let target = try? Target(text) {
                targets.append(target)
            }
        }
        if !targets.isEmpty { block.overHTTPS = .targets(targets) }
        return block
    }
}

/// Folders that programs share. Readable by root only, since one has sockets without a password.
enum StateFolders {
    /// Lets a gateway that runs as another user reach its sockets in the run folder, and creates its own folder. The
    /// other sockets there stay closed to it.
    static func open(_ settings: Settings, toGateway user: UInt32) throws(ConfigurationError) {
        let run = settings.local.runDirectory, own = settings.gatewayFolder
        mkdir(own, 0o700)
        // The place in earlier versions.
        rename(settings.local.stateDirectory + "/one-time-routes", settings.spentTokensFile)
        guard chown(run, 0, user) == 0, chmod(run, 0o710) == 0 else {
            throw ConfigurationError(
                "\(run) cannot be given to the gateway: \(String(cString: strerror(errno))); run as root")
        }
        // Files left by a server in a single process now belong to the gateway. Links are not followed, because the
        // gateway can change the folder.
        for path in [own, settings.spentTokensFile, settings.spentTokensFile + ".lock"] {
            var status = stat()
            if path != own, lstat(path, &status) != 0 || status.st_mode & S_IFMT != S_IFREG || status.st_nlink != 1 {
                continue
            }
            guard lchown(path, user, user) == 0 else {
                throw ConfigurationError("\(path) cannot be given to the gateway: \(String(cString: strerror(errno)))")
            }
        }
    }

    private static func isOpen(_ folder: String, toGateway user: UInt32) -> Bool {
        var status = stat()
        return stat(folder, &status) == 0 && (status.st_uid, status.st_gid) == (0, user)
            && status.st_mode & 0o7777 == 0o710
    }

    static func make(_ settings: Settings) throws(ConfigurationError) {
        for folder in [settings.local.stateDirectory, settings.local.runDirectory, settings.gatewayFolder] {
            do throws(SystemCallError) {
                try File.makeFolder(folder, mode: 0o700)
                // A running server may have given the folder to its gateway. This server may still be refused, and must
                // not have changed anything then.
                guard !isOpen(folder, toGateway: settings.gateway.user) else { continue }
                guard chmod(folder, 0o700) == 0 else { throw .last }
            } catch {
                throw ConfigurationError("\(folder) cannot be created: \(error); run as root")
            }
        }
    }
}
