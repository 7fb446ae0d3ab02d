import Addresses
import Runtimes

/// Published ports (docs/networking.md).
extension Settings {
    /// Ports of this machine that forward to sandboxes, and what clients call the machine.
    package struct Ports: Sendable {
        package var configuration: PortConfiguration
        package var host = "127.0.0.1"
        /// Ports that are published of every sandbox.
        package var always: [UInt16] = []
    }

    static let portsSection = SettingSection(
        "local.ports",
        "Ports of this machine that creates may have forwarded to their sandbox (docs/networking.md); none without a range.",
        [
            SettingKey("first", "1024 to 65535", example: "20000", "the first port of the range"),
            SettingKey("last", "1024 to 65535", example: "29999", "the last port of the range"),
            SettingKey(
                "host", "a host name or an address, without a port", default: "\"127.0.0.1\"",
                "this machine, in what clients are told of a published port"),
            SettingKey(
                "allow", "address blocks", default: "[\"127.0.0.0/8\", \"::1\"]",
                "who may connect to published ports; no create can widen it"),
            SettingKey("deny", "address blocks", default: "[]", "who may not, although allowed"),
            SettingKey(
                "always", "up to 16 of a sandbox's ports, other than 18080", default: "[]",
                "ports that are published of every sandbox: [44772, 8080], as OpenSandbox's Docker runtime has them"),
        ]
    ) { (values, settings) throws(ConfigurationError) in
        // Whom a server that publishes nothing would allow means nothing.
        guard values["first"] != nil || values["last"] != nil else { return }
        guard let first = values["first"], let last = values["last"] else {
            throw ConfigurationError("local.ports: give first and last, the range of the ports")
        }
        let range = (try first.integer(in: 1024...65535), try last.integer(in: 1024...65535))
        guard range.0 <= range.1 else { throw last.wrong("\(range.0) to 65535, no less than local.ports.first") }
        var ports = Ports(configuration: PortConfiguration(range: UInt16(range.0)...UInt16(range.1)))
        if let allow = try values["allow"].map(blocks) { ports.configuration.sources.allow = allow }
        if let deny = try values["deny"].map(blocks) { ports.configuration.sources.deny = deny }
        if let host = values["host"] {
            guard let name = hostName(try host.text()) else { throw host.wrong() }
            ports.host = name
        }
        if let always = values["always"] { ports.always = try numbers(always) }
        settings.local.ports = ports
    }

    private static func numbers(_ value: SettingValue) throws(ConfigurationError) -> [UInt16] {
        let ports = try value.entries().map { entry throws(ConfigurationError) in
            UInt16(try SettingValue(path: entry.path, advice: "1 to 65535", value: entry.value).integer(in: 1...65535))
        }
        guard ports.count <= PortsRequest.maxPorts, Set(ports).count == ports.count,
            !ports.contains(UInt16(RouteTable.policyPort))
        else { throw value.wrong() }
        return ports
    }

    private static func blocks(_ value: SettingValue) throws(ConfigurationError) -> [CIDRBlock] {
        let blocks = try value.entries().map { entry throws(ConfigurationError) in
            let block = try entry.block()
            guard !block.isMapped else { throw entry.wrong() }
            return block
        }
        guard blocks.count <= SourceList.maxBlocks else { throw value.wrong("at most \(SourceList.maxBlocks) blocks") }
        return blocks
    }

    /// As it stands before a port; nil if it is none.
    private static func hostName(_ text: String) -> String? {
        if let address = IPAddress(text) { return address.isIPv4 ? "\(address)" : "[\(address)]" }
        let isName = text.utf8.allSatisfy { byte in
            let character = Character(Unicode.Scalar(byte))
            return character.isASCII
                && (character.isLetter || character.isNumber || character == "-" || character == ".")
        }
        return isName && (1...253).contains(text.utf8.count) ? text : nil
    }
}
