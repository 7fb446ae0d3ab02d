import Runtimes

/// Volumes.
extension Settings {
    static let storageSection = SettingSection(
        "storage", "Volumes of sandboxes (docs/volumes.md).",
        [
            SettingKey(
                "allowed_host_paths", "a list of absolute paths",
                default: "[]", "folders of this machine that sandboxes may be given, with all below; empty: none"
            ) { (value, settings) throws(ConfigurationError) in
                settings.storage.allowedHostPaths = try value.list(HostPath.init(configured:))
            }.live,
            SettingKey(
                "volume_default_size", "a quantity such as 1Gi, from 16Mi to 4Ti", default: "\"1Gi\"",
                "the size of a named volume whose request gives none"
            ) { (value, settings) throws(ConfigurationError) in
                settings.storage.defaultBytes = try value.bytes(in: ResourceLimits.leastDisk...ResourceLimits.maxDisk)
            }.live,
            SettingKey(
                "bucket_endpoints", "a list of host, host:port or *.domain", default: "[]",
                "endpoints of the buckets that sandboxes may be given; empty: none"
            ) { (value, settings) throws(ConfigurationError) in
                guard let endpoints = BucketEndpoints(try value.texts()) else { throw value.wrong() }
                settings.storage.bucketEndpoints = endpoints
            },
            .choice("s3_program", \.storage.s3Program, "what mounts buckets of S3 (docs/volumes.md)"),
            SettingKey("ossfs_mount_root", "an absolute path", default: "\"/mnt/ossfs\"", "where buckets are mounted") {
                (value, settings) throws(ConfigurationError) in
                guard let path = HostPath(configured: try value.text()) else { throw value.wrong() }
                settings.storage.bucketRoot = "\(path)"
            },
        ])
}
