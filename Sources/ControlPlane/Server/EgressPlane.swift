import DNSFilter
import Egress
import FoundationEssentials
import Logging

/// The guard of this machine: in this process, or in one of its own (`sallyport egress`).
enum EgressPlane {
    /// What a guard is told, whichever process it runs in.
    static func configuration(_ settings: Settings) throws(ConfigurationError) -> EgressConfiguration {
        let upstreams: [UpstreamAddress]
        if let configured = settings.egress.upstreams {
            upstreams = configured
        } else {
            let text = FileManager.default.contents(atPath: "/etc/resolv.conf") ?? Data()
            upstreams = DNSConfiguration.upstreams(fromResolvConf: String(decoding: text, as: UTF8.self))
        }
        return EgressConfiguration(
            stateDirectory: settings.local.stateDirectory + "/egress", socketPath: settings.policySocket,
            adminSocketPath: settings.egressAdminSocket, dns: DNSConfiguration(upstreams: upstreams),
            internalZones: settings.egress.internalZones,
            presets: try Installation.current.presets(folder: settings.egress.presets))
    }
}

/// Folders that programs share: readable by root only, since sockets without a password lie in one of them.
enum Folders {
    static func make(_ settings: Settings) throws(ConfigurationError) {
        for folder in [settings.local.stateDirectory, settings.local.runDirectory] {
            do {
                try FileManager.default.createDirectory(
                    atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder)
            } catch {
                throw ConfigurationError("\(folder) cannot be made: \(error); run as root")
            }
        }
    }
}
