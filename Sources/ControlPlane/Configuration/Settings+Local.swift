import NetworkPolicy
import Runtimes

#if canImport(Glibc)
    import Glibc
#endif

extension Settings {
    mutating func apply(_ section: ConfigurationFile.Local) throws(ConfigurationError) {
        local.stateDirectory = section.state_dir ?? local.stateDirectory
        local.runDirectory = section.run_dir ?? local.runDirectory
        local.execd = section.execd ?? local.execd
        local.baseImage = section.base_image ?? local.baseImage
        local.insecureRegistries = Set(section.insecure_registries ?? Array(local.insecureRegistries))
        try apply(disk: section)
        local.addressPool =
            try Self.block(section.address_pool, "local.address_pool", isIPv4: true) ?? local.addressPool
        local.addressPoolV6 =
            try Self.block(section.address_pool_v6, "local.address_pool_v6", isIPv4: false) ?? local.addressPoolV6
        if let bytes = section.longest_output_line {
            guard (1024...4 << 20).contains(bytes) else {
                throw ConfigurationError("local.longest_output_line is \(bytes); use 1024 to 4194304 bytes")
            }
            local.maxOutputLine = bytes
        }
        if let names = section.reachable_by {
            local.reachableBy = names.contains("*") ? nil : try Set([0] + names.map(Self.user))
        }
        local.userNamespaces = try Self.userNamespaces(section) ?? local.userNamespaces
        if let tag = section.tag {
            guard (1...4).contains(tag.utf8.count), tag.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber) })
            else {
                throw ConfigurationError("local.tag \"\(tag)\": use 1 to 4 letters and digits")
            }
            local.tag = tag
        }
        if let registry = section.unqualified_registry, !registry.isEmpty {
            guard ImageReference.isRegistry(registry) else {
                throw ConfigurationError("local.unqualified_registry \"\(registry)\": write it as host or host:port")
            }
            local.unqualifiedRegistry = registry
        }
        if let name = section.oci_runtime {
            guard let runtime = Settings.OCIRuntime(rawValue: name) else {
                throw ConfigurationError("local.oci_runtime \"\(name)\": use crun or runc")
            }
            local.ociRuntime = runtime
        }
    }

    private mutating func apply(disk section: ConfigurationFile.Local) throws(ConfigurationError) {
        if let name = section.disk_limits {
            guard let known = DiskConfiguration.Enforcement(rawValue: name) else {
                throw ConfigurationError("local.disk_limits \"\(name)\" is unknown; use auto, quota, image or off")
            }
            local.disk.enforcement = known
        }
        let keys: [(String, String?, ClosedRange<Int64>, WritableKeyPath<DiskConfiguration, Int64>)] = [
            ("disk", section.disk, ResourceLimits.leastDisk...ResourceLimits.maxDisk, \.limit),
            ("disk_reserve", section.disk_reserve, 1...ResourceLimits.maxDisk, \.reserve),
            ("log_max_bytes", section.log_max_bytes, 65536...(1 << 30), \.log),
        ]
        for (key, text, range, path) in keys {
            guard let text else { continue }
            guard let bytes = ResourceQuantity.bytes(text), range.contains(bytes) else {
                throw ConfigurationError(
                    "local.\(key) \"\(text)\": write a quantity such as 10Gi, from \(range.lowerBound) to "
                        + "\(range.upperBound) bytes")
            }
            local.disk[keyPath: path] = bytes
        }
    }

    private static func user(_ name: String) throws(ConfigurationError) -> UInt32 {
        if let id = UInt32(name) { return id }
        guard let entry = getpwnam(name) else {
            throw ConfigurationError(
                "local.reachable_by: this machine has no user \"\(name)\"; use a name, an id or \"*\"")
        }
        return entry.pointee.pw_uid
    }

    private static func userNamespaces(
        _ section: ConfigurationFile.Local
    ) throws(ConfigurationError) -> UserNamespaceSettings? {
        let known = UserNamespaceSettings.default
        guard let mode = UserNamespaceSettings.Mode(rawValue: section.user_namespaces ?? known.mode.rawValue) else {
            throw ConfigurationError(
                "local.user_namespaces \"\(section.user_namespaces ?? "")\": use auto, required or off")
        }
        guard let first = UInt32(exactly: section.ids_base ?? Int(known.firstID)),
            let count = UInt32(exactly: section.ids_count ?? Int(known.idCount)),
            let settings = UserNamespaceSettings(mode: mode, firstID: first, idCount: count)
        else {
            throw ConfigurationError(
                "local.ids_base and local.ids_count: use a range of user ids above 0 and below 4294967295 that has room for "
                    + "one sandbox at least, 65536 of them")
        }
        return settings
    }

    static func block(
        _ text: String?, _ key: String, isIPv4: Bool
    ) throws(ConfigurationError) -> CIDRBlock? {
        guard let text else { return nil }
        // The pool needs room for sandboxes and, for IPv6, as many host numbers as IPv4 has.
        guard let block = CIDRBlock(text), block.base.isIPv4 == isIPv4,
            isIPv4 ? (8...28).contains(block.prefixLength) : block.prefixLength <= 96
        else {
            throw ConfigurationError(
                "\(key) \"\(text)\": use an \(isIPv4 ? "IPv4 block of /8 to /28" : "IPv6 block of at most /96")")
        }
        if let special = specialBlocks.first(where: block.overlaps) {
            throw ConfigurationError(
                "\(key) \"\(text)\": \(special) is a special address; use addresses of a private network")
        }
        return block
    }

    /// Addresses that a pool must not contain: loopback and "this network", link-local (where the sandboxes' gateway
    /// and cloud metadata services are), multicast, and reserved ones.
    private static let specialBlocks = [
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "64:ff9b::/96", "fe80::/10", "ff00::/8",
    ].map { CIDRBlock($0)! }
}
