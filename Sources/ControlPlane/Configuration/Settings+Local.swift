import Addresses
import JSON
import NetworkPolicy
import Runtimes

#if canImport(Glibc)
    import Glibc
#endif

/// The runtime of this machine.
extension Settings {
    static let localSection = SettingSection(
        "local", "The runtime of this machine.",
        [
            .text("state_dir", "a path", \.local.stateDirectory, "everything that is kept"),
            .text("run_dir", "a path", \.local.runDirectory, "sockets; open to root, and some of them to the gateway"),
            .optionalText("execd", "a path", \.local.execd, "the static execd; absent: looked for beside the program"),
            block("address_pool", isIPv4: true, \.local.addressPool, "IPv4 addresses of sandboxes"),
            block("address_pool_v6", isIPv4: false, \.local.addressPoolV6, "IPv6 addresses of sandboxes"),
            SettingKey(
                "tag", "1 to 4 letters and digits", default: "\"sp\"",
                "tells this server's links and tables from another's"
            ) { (value, settings) throws(ConfigurationError) in
                let tag = try value.text()
                guard (1...4).contains(tag.utf8.count), tag.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber) })
                else { throw value.wrong() }
                settings.local.tag = tag
            },
            quantity(
                "disk", "10Gi", ResourceLimits.leastDisk...ResourceLimits.maxDisk, \.limit,
                "the disk of a sandbox that names no resourceLimits.disk"),
            .choice("disk_limits", \.local.disk.enforcement, "how that limit is enforced"),
            quantity(
                "disk_reserve", "1Gi", 1...ResourceLimits.maxDisk, \.reserve,
                "what stays free on the server's own disk: below that, no sandbox is made"),
            quantity("log_max_bytes", "16Mi", 65536...(1 << 30), \.log, "how much of an entrypoint's output is kept"),
            SettingKey(
                "reachable_by", "names and ids of users of this machine, or \"*\" for all", default: "[\"root\"]",
                "users whose programs on this machine may connect to sandboxes, besides the gateway's"
            ) { (value, settings) throws(ConfigurationError) in
                guard try !value.texts().contains("*") else { return settings.local.reachableBy = nil }
                let ids = try value.entries().map { entry throws(ConfigurationError) in try user(entry) }
                settings.local.reachableBy = Set([0] + ids)
            },
            SettingKey(
                "user_namespaces", "auto, required or off", default: "\"auto\"",
                "required: no sandbox without; off: none has one (docs/isolation.md)"),
            SettingKey(
                "ids_base", "an id above 0", default: "\(UserNamespaceSettings.default.firstID)",
                "the first of this machine's ids that sandboxes' users get, 65536 for each sandbox"),
            SettingKey(
                "ids_count", "65536 or more", default: "\(UserNamespaceSettings.default.idCount)",
                "how many such ids there are"),
            .choice(
                "network_mode", \.local.network,
                "host: sandboxes share this machine's network, unguarded (docs/networking.md#the-machines-own-network)"),
            .optionalText(
                "base_image", "a path", \.local.baseImage, example: "/var/lib/sallyport/base",
                "the folder that sallyport/base:latest is"),
            .optionalText(
                "code_image", "a path", \.local.codeImage, example: "/var/lib/sallyport/code",
                "the folder that sallyport/code:latest is"),
            SettingKey(
                "insecure_registries", "a list of host:port", default: "[]",
                "registries without TLS; loopback ones need not be named"
            ) { (value, settings) throws(ConfigurationError) in
                settings.local.insecureRegistries = Set(try value.texts())
            },
            SettingKey(
                "longest_output_line", "1024 to 4194304", default: "1048576",
                "bytes of a command's line that wait for its line break"
            ) { (value, settings) throws(ConfigurationError) in
                settings.local.maxOutputLine = try value.integer(in: 1024...4 << 20)
            },
            SettingKey(
                "unqualified_registry", "host or host:port", example: "\"\"",
                "the registry of images that name none, such as python:3.11; absent: they are refused"
            ) { (value, settings) throws(ConfigurationError) in
                guard let registry = try value.textOrNothing() else { return }
                guard ImageReference.isRegistry(registry) else { throw value.wrong() }
                settings.local.unqualifiedRegistry = registry
            },
            SettingKey(
                "oci_runtime", "crun or runc", example: "\"crun\"", "absent: the first of them that is installed"
            ) { (value, settings) throws(ConfigurationError) in
                settings.local.ociRuntime = try value.choice(of: OCIRuntime.self)
            },
        ], lists: [poolList]
    ) { (values, settings) throws(ConfigurationError) in
        let known = UserNamespaceSettings.default
        let mode = try values["user_namespaces"]?.choice(of: UserNamespaceSettings.Mode.self) ?? known.mode
        let first = try values["ids_base"]?.integer(in: 1...Int(UInt32.max)) ?? Int(known.firstID)
        let count = try values["ids_count"]?.integer(in: 65536...Int(UInt32.max)) ?? Int(known.idCount)
        guard let users = UserNamespaceSettings(mode: mode, firstID: UInt32(first), idCount: UInt32(count)) else {
            throw ConfigurationError(
                "local.ids_base and local.ids_count: use a range of user ids above 0 and below 4294967295 that has room for "
                    + "one sandbox at least, 65536 of them")
        }
        settings.local.userNamespaces = users
        settings.pools = try configuredPools(values)
    }

    private static func quantity(
        _ name: String, _ shown: String, _ range: ClosedRange<Int64>,
        _ place: any WritableKeyPath<DiskConfiguration, Int64> & Sendable, _ summary: String
    ) -> SettingKey {
        SettingKey(
            name, "a quantity such as 10Gi, from \(range.lowerBound) to \(range.upperBound) bytes",
            default: "\"\(shown)\"",
            summary
        ) { (value, settings) throws(ConfigurationError) in
            settings.local.disk[keyPath: place] = try value.bytes(in: range)
        }
    }

    /// The id of a user of this machine, by name or id.
    static func user(_ value: SettingValue) throws(ConfigurationError) -> UInt32 {
        let name = try value.text()
        if let id = UInt32(name) { return id }
        guard let user = getpwnam(name) else { throw value.wrong() }
        return user.pointee.pw_uid
    }

    private static func block(
        _ name: String, isIPv4: Bool, _ place: any SettingKey.Place<CIDRBlock>, _ summary: String
    ) -> SettingKey {
        SettingKey(
            name, isIPv4 ? "an IPv4 block of /8 to /28" : "an IPv6 block of at most /96",
            default: "\"\(Settings()[keyPath: place])\"", summary
        ) { (value, settings) throws(ConfigurationError) in
            // The pool needs room for sandboxes and, for IPv6, as many host numbers as IPv4 has.
            let block = try value.block(mayBeOne: false)
            guard block.base.isIPv4 == isIPv4,
                isIPv4 ? (8...28).contains(block.prefixLength) : block.prefixLength <= 96
            else { throw value.wrong() }
            if let special = specialBlocks.first(where: block.overlaps) {
                throw value.wrong(
                    "addresses of a private network: \(special) is reserved and cannot be given to sandboxes")
            }
            settings[keyPath: place] = block
        }
    }

    /// Addresses that a pool must not contain: loopback and "this network", link-local (where the sandboxes' gateway
    /// and cloud metadata services are), multicast, and reserved ones.
    private static let specialBlocks = [
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "64:ff9b::/96", "fe80::/10", "ff00::/8",
    ].map { CIDRBlock($0)! }
}
